/* The file in which an entry of PgBouncer's [databases] stands. @thread owner */
#ifndef CUTOVER_POOLERS_INI_FILE_H
#define CUTOVER_POOLERS_INI_FILE_H

#include <sys/stat.h>

#include "cutover/poolers/connstr.h"
#include "cutover/poolers/ini.h"

struct ini_entry {
    char *path; /* of that file: the configuration, or one that it includes; links resolved */
    char *text; /* all of it */
    size_t len;
    struct stat as_read;
    struct ini_item item; /* in text; the last of this name, which is the one that counts */
    struct connstr now;   /* where it leads */
};

/* ERR_CONFIG: no such entry, or a file that PgBouncer would not take; ERR_IO: a file that cannot be read. */
bool ini_entry_find(const char *ini, const char *database, struct ini_entry *ret, struct err *err) MUST_CHECK;
void ini_entry_release(struct ini_entry *entry);
/* Whether ini_entry_replace() may be expected to succeed: a new file is tried beside it, and taken away. */
bool ini_entry_writable(const struct ini_entry *entry, struct err *err) MUST_CHECK;
/* Replaces the whole file by text: at once and durably, with the owner, group, mode and ACL that it had. ERR_BUSY: somebody
 * else has changed it since it was read. Failure leaves the file as it was. */
bool ini_entry_replace(const struct ini_entry *entry, const struct strbuf *text, struct err *err) MUST_CHECK;

#endif
