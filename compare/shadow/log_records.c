/* Owns: cutting a log into records. See log_records.h. */
#include "log_records.h"

#include <jansson.h>

enum {
    CSV_USER = 1,
    CSV_DATABASE = 2,
    CSV_SEVERITY = 11,
    CSV_MESSAGE = 13,
    CSV_DETAIL = 14,
    CSV_APPLICATION = 22,
    CSV_LEAST = 23
};

enum log_format log_format_of(const char *bytes, size_t len)
{
    if (len == 0)
        return LOG_FORMAT_UNKNOWN;
    return bytes[0] == '{' ? LOG_FORMAT_JSON : LOG_FORMAT_CSV;
}

static void record_clear(struct log_records *r)
{
    strbuf_clear(&r->text);
    r->text.failed = false;
    r->field_count = 1;
    r->starts[0] = 0;
    r->in_quotes = r->quote_seen = r->too_long = r->began = false;
}

void log_records_init(struct log_records *r, enum log_format format)
{
    *r = (struct log_records){.format = format};
    strbuf_init(&r->text, LOG_RECORD_MAX);
    record_clear(r);
}

void log_records_release(struct log_records *r)
{
    strbuf_release(&r->text);
}

static void add_char(struct log_records *r, char c)
{
    strbuf_addc(&r->text, c == '\0' ? '?' : c); /* a log has no NUL; one would end a field early */
    r->too_long = r->too_long || r->text.failed;
}

static const char *field(const struct log_records *r, size_t i)
{
    return i < r->field_count ? r->text.data + r->starts[i] : "";
}

static void csv_end(struct log_records *r, log_record_fn *each, void *ctx)
{
    if (!r->began) {
        record_clear(r); /* an empty line */
        return;
    }
    r->count++;
    if (r->too_long) {
        r->long_count++;
    } else if (r->field_count < CSV_LEAST) {
        r->broken_count++;
    } else {
        const struct log_record record = {.user = field(r, CSV_USER),
                                          .database = field(r, CSV_DATABASE),
                                          .severity = field(r, CSV_SEVERITY),
                                          .message = field(r, CSV_MESSAGE),
                                          .detail = field(r, CSV_DETAIL),
                                          .application = field(r, CSV_APPLICATION)};
        each(ctx, &record);
    }
    record_clear(r);
}

static void csv_separator(struct log_records *r)
{
    strbuf_add(&r->text, "", 1);
    r->too_long = r->too_long || r->text.failed;
    if (r->field_count < ARRAY_LEN(r->starts))
        r->starts[r->field_count++] = r->text.len;
}

static void csv_char(struct log_records *r, char c, log_record_fn *each, void *ctx)
{
    if (r->in_quotes && r->quote_seen) {
        r->quote_seen = false;
        if (c == '"') {
            add_char(r, c);
            return;
        }
        r->in_quotes = false;
    } else if (r->in_quotes) {
        if (c == '"')
            r->quote_seen = true;
        else
            add_char(r, c);
        return;
    }
    if (c == '\n') {
        csv_end(r, each, ctx);
        return;
    }
    r->began = r->began || c != '\r';
    if (c == '"')
        r->in_quotes = true;
    else if (c == ',')
        csv_separator(r);
    else if (c != '\r')
        add_char(r, c);
}

static const char *json_field(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));
    return text != NULL ? text : "";
}

static void json_end(struct log_records *r, log_record_fn *each, void *ctx)
{
    if (!r->began) {
        record_clear(r);
        return;
    }
    json_t *j = !r->too_long ? json_loadb(r->text.data, r->text.len, 0, NULL) : NULL;
    r->count++;
    if (r->too_long) {
        r->long_count++;
    } else if (!json_is_object(j)) {
        r->broken_count++;
    } else {
        const struct log_record record = {.user = json_field(j, "user"),
                                          .database = json_field(j, "dbname"),
                                          .severity = json_field(j, "error_severity"),
                                          .message = json_field(j, "message"),
                                          .detail = json_field(j, "detail"),
                                          .application = json_field(j, "application_name")};
        each(ctx, &record);
    }
    json_decref(j);
    record_clear(r);
}

void log_records_feed(struct log_records *r, const char *bytes, size_t len, log_record_fn *each, void *ctx)
{
    for (size_t i = 0; i < len; i++) {
        if (r->format == LOG_FORMAT_CSV) {
            csv_char(r, bytes[i], each, ctx);
        } else if (bytes[i] == '\n') {
            json_end(r, each, ctx);
        } else {
            r->began = r->began || (bytes[i] != '\r' && bytes[i] != ' ');
            add_char(r, bytes[i]);
        }
    }
}
