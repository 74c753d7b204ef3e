/*
 * compare.redact: values of some columns are shown nowhere. In the place of each stands a mark with a short digest under a key that is made
 * for the run and kept nowhere, and that counts rows, too: the two sides of one row have the same mark exactly if the shown values are the
 * same, and two rows never do. A null gets a mark as well. Private to compare. @thread one owner
 */
#ifndef COMPARE_REPORT_REDACT_H
#define COMPARE_REPORT_REDACT_H

#include "compare/compare.h"
#include "config/column_filter.h"

struct redaction {
    struct column_filter *columns;
    char key[40];
    uint64_t row; /* of the run: goes into the digest */
};

bool redaction_open(const struct config *cfg, struct redaction *ret, struct err *err) MUST_CHECK;
void redaction_close(struct redaction *r); /* safe on a zeroed struct */
/* False: nothing is to be hidden. */
bool redaction_is_on(const struct redaction *r);
/* Replaces *value (malloc'd or NULL) with its mark. False: no memory. */
bool redaction_hide(struct redaction *r, const char *column, char **value, struct err *err) MUST_CHECK;
/* All values of the result, and what servers quote in reasons. */
bool redaction_apply(struct redaction *r, struct compare_result *result, struct err *err) MUST_CHECK;
/* What stands in quotes, in place: a server's message names values so. */
void redaction_unquote(char *text);
/* A statement without its literals and comments, malloc'd. */
char *redaction_sql(const char *sql, bool mariadb);

#endif
