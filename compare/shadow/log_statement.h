/*
 * The statement of a log record: the lines of log_statement, log_min_duration_statement and log_min_duration_sample, with the
 * parameters of their detail. Private to compare.
 */
#ifndef COMPARE_SHADOW_LOG_STATEMENT_H
#define COMPARE_SHADOW_LOG_STATEMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "log_records.h"

enum log_found {
    LOG_NO_STATEMENT = 0, /* another kind of record */
    LOG_STATEMENT,
    LOG_CUT_PARAMETERS, /* log_parameter_max_length has cut a value */
    LOG_BAD_PARAMETERS, /* the detail does not read */
    LOG_SQL_EXECUTE     /* EXECUTE of a PREPARE: its text is another statement's */
};

struct log_statement {
    const char *sql; /* into the record */
    char **params;   /* NULL = null; malloc'd */
    size_t param_count;
};

enum log_found log_statement_read(const struct log_record *record, struct log_statement *ret);
void log_statement_release(struct log_statement *st);

#endif
