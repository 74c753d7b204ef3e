/*
 * Records of PostgreSQL's own log in its CSV and JSON formats (log_destination = csvlog or jsonlog), read from bytes in pieces of any
 * size: a record of CSV may hold line breaks inside quotes. Format: "File-Based Logging" (csvlog, jsonlog) in PostgreSQL's manual;
 * columns of CSV are counted from the front, so that versions with more of them read alike. Private to compare.
 */
#ifndef COMPARE_SHADOW_LOG_RECORDS_H
#define COMPARE_SHADOW_LOG_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/strbuf.h"

#define LOG_RECORD_MAX ((size_t)8 << 20) /* bytes; a longer one is counted and left out */

enum log_format { LOG_FORMAT_UNKNOWN = 0, LOG_FORMAT_CSV, LOG_FORMAT_JSON };

/* "" for what is not there. Valid during the call that hands it out. */
struct log_record {
    const char *user, *database, *severity, *message, *detail, *application;
};

struct log_records {
    enum log_format format;
    struct strbuf text; /* fields of the record at hand, NUL-terminated one after the other; JSON: its line */
    size_t starts[32];  /* of the first fields */
    size_t field_count;
    bool in_quotes, quote_seen; /* CSV */
    bool too_long, began;
    uint64_t count, long_count, broken_count; /* records; those that were too long; those that do not read */
};

typedef void log_record_fn(void *ctx, const struct log_record *record);

/* By its first byte: '{' is JSON. */
enum log_format log_format_of(const char *bytes, size_t len);
void log_records_init(struct log_records *r, enum log_format format);
void log_records_feed(struct log_records *r, const char *bytes, size_t len, log_record_fn *each, void *ctx);
/* What has no line break at its end is half a record, still being written: it is left out. */
void log_records_release(struct log_records *r);

#endif
