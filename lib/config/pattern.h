/* Globs of names: '*' stands for any number of characters, double quotes take a part literally. Private to this module. */
#ifndef CONFIG_PATTERN_H
#define CONFIG_PATTERN_H

#include <stdbool.h>

/* Inside a glob: any run of characters. Not a byte of UTF-8 text, so a quoted '*' stays a star. */
#define PATTERN_WILDCARD '\x01'

/* Reads one part up to an unquoted '.' or the end and moves *at there; NULL = malformed. malloc'd glob. */
char *pattern_read(const char **at);
bool pattern_matches(const char *glob, const char *text);
bool pattern_is_literal(const char *glob); /* it stands for one name, itself */

#endif
