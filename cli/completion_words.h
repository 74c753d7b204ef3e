/* What completion scripts are made of: words out of a command's usage and flags. Private to completion_*.c. */
#ifndef CLI_COMPLETION_WORDS_H
#define CLI_COMPLETION_WORDS_H

#include "cli.h"
#include "core/strbuf.h"

enum value_kind { VALUE_NONE = 0, VALUE_FREE, VALUE_FILE, VALUE_FOLDER, VALUE_CHOICE };

/* What stands behind --flag, by the name of its value: FILE, FOLDER, "a|b" or another word in small letters; others are
 * free text. */
enum value_kind completion_value_kind(const char *value);

/* The verbs of a command, divided by blanks: what its usage's alternatives begin with ("run add-table …"); `first` = NULL.
 * Else what follows the verb `first` ("list show retry" behind dlq). Each once. */
void completion_verbs(const struct command *command, const char *first, struct strbuf *out);

/* "a|b|c" as "a b c". */
void completion_choices(const char *choices, struct strbuf *out);

#endif
