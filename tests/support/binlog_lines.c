/*
 * binlog-lines: prints what lib/maria/binlog reads of a server, as JSON lines, for the system tests.
 *
 *   binlog-lines URL POSITION UNTIL [zero-date-null] [small-events]   to the position UNTIL, or its error as {"kind": "error"}
 *   binlog-lines check URL                                           the checks of a source
 *
 * Bytes are {"hex": "…"}; floats have all their digits.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maria/binlog/checks.h"
#include "maria/binlog/reader.h"

static void print(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(17));
    (void)puts(text != NULL ? text : "{\"kind\": \"error\", \"text\": \"a line that is no JSON\"}");
    (void)fflush(stdout);
    free(text);
    json_decref(line);
}

static json_t *hex(const struct datum *d)
{
    struct strbuf sb = STRBUF_INIT((size_t)1 << 30);
    for (uint32_t i = 0; i < d->s.len; i++)
        strbuf_addf(&sb, "%02x", (unsigned char)d->s.p[i]);
    json_t *made = json_pack("{s:s}", "hex", sb.data);
    strbuf_release(&sb);
    return made;
}

static json_t *value(const struct field *f, const struct datum *d)
{
    char text[40];
    if (d->state == DATUM_NULL)
        return json_null();
    switch (f->phys) {
    case PHYS_BOOL:
        return json_boolean(d->i != 0);
    case PHYS_INT16:
    case PHYS_INT32:
    case PHYS_INT64:
        return json_integer(d->i);
    case PHYS_FLOAT32:
    case PHYS_FLOAT64:
        (void)snprintf(text, sizeof text, "%.17g", d->f);
        return json_string(text);
    case PHYS_STRING:
        return json_stringn(d->s.p, d->s.len);
    default:
        return hex(d);
    }
}

static json_t *image(const struct table_schema *schema, const struct datum *data)
{
    if (data == NULL)
        return json_null();
    json_t *row = json_object();
    for (size_t i = 0; i < schema->field_count; i++)
        json_object_set_new(row, schema->fields[i].name, value(&schema->fields[i], &data[i]));
    return row;
}

static void print_schema(const struct table_schema *schema)
{
    json_t *fields = json_array(), *key = json_array();
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *f = &schema->fields[i];
        json_array_append_new(
            fields, json_pack("{s:s, s:i, s:s?, s:b, s:s, s:i, s:i, s:i, s:i, s:i, s:s?}", "name", f->name,
                              "phys", (int)f->phys, "semantic", f->semantic, "optional", (int)f->optional,
                              "type", f->source_type, "length", f->source_length, "scale", f->source_scale,
                              "decimal_scale", f->decimal_scale, "precision", f->decimal_precision, "bits",
                              f->bits_length, "allowed", f->allowed));
    }
    for (size_t i = 0; i < schema->key_count; i++)
        json_array_append_new(key, json_string(schema->fields[schema->key_fields[i]].name));
    print(json_pack("{s:s, s:s, s:s, s:s, s:i, s:o, s:o}", "kind", "schema", "database", schema->schema,
                    "table", schema->table, "topic", schema->topic, "version", (int)schema->version, "fields",
                    fields, "key", key));
}

static void print_row(const struct binlog_item *item)
{
    char op[2] = {(char)item->op, '\0'}, gtid[GTID_TEXT_MAX];
    print(json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o}", "kind", "row", "gtid",
                    gtid_text(item->gtid, gtid), "database", item->schema->schema, "table",
                    item->schema->table, "op", op, "ordinal", (json_int_t)item->ordinal, "before",
                    image(item->schema, item->before), "after", image(item->schema, item->after)));
}

static void print_end(const struct binlog *bl, const struct binlog_item *item)
{
    static const char *const outcomes[] = {[BINLOG_COMMITTED] = "committed",
                                           [BINLOG_ROLLED_BACK] = "rolled back",
                                           [BINLOG_PREPARED] = "prepared",
                                           [BINLOG_XA_COMMITTED] = "xa committed",
                                           [BINLOG_XA_ROLLED_BACK] = "xa rolled back"};
    char gtid[GTID_TEXT_MAX];
    struct strbuf position = STRBUF_INIT((size_t)1 << 20);
    struct datum xid = {.s = {.p = (const char *)item->xid.bytes,
                              .len = (uint32_t)item->xid.gtrid_len + item->xid.bqual_len}};
    binlog_position(bl, &position);
    print(json_pack("{s:s, s:s, s:s, s:s, s:i, s:o}", "kind", "end", "gtid", gtid_text(item->gtid, gtid),
                    "outcome", outcomes[item->outcome], "position", position.data, "time", (int)item->time_s,
                    "xid", item->has_xid ? hex(&xid) : json_null()));
    strbuf_release(&position);
}

static void print_item(const struct binlog *bl, const struct binlog_item *item)
{
    static const struct table_schema *last;
    char gtid[GTID_TEXT_MAX];
    if (item->kind == BINLOG_ROW && item->schema != last)
        print_schema(last = item->schema);
    if (item->kind == BINLOG_BEGIN)
        print(json_pack("{s:s, s:s}", "kind", "begin", "gtid", gtid_text(item->gtid, gtid)));
    else if (item->kind == BINLOG_ROW)
        print_row(item);
    else if (item->kind == BINLOG_STATEMENT)
        print(json_pack("{s:s, s:s, s:o, s:o}", "kind", "statement", "gtid", gtid_text(item->gtid, gtid),
                        "database", json_stringn(item->database.p, item->database.len), "text",
                        json_stringn(item->text.p, item->text.len)));
    else if (item->kind == BINLOG_END)
        print_end(bl, item);
}

static int failed(const struct err *err)
{
    print(json_pack("{s:s, s:s, s:s}", "kind", "error", "code", err_code_name(err->code), "text", err->text));
    return 1;
}

static bool not_system(void *ctx, const char *database, const char *table)
{
    (void)ctx, (void)table;
    return strcmp(database, "mysql") != 0;
}

static int stream(int argc, char **argv)
{
    struct binlog_options options = {
        .url = argv[1], .topic_prefix = "p", .position = argv[2], .heartbeat_ms = 200, .wanted = not_system};
    struct err err = ERR_INIT;
    struct gtid_list until = {0};
    struct binlog *bl = NULL;
    for (int i = 4; i < argc; i++) {
        options.zero_date_null = options.zero_date_null || strcmp(argv[i], "zero-date-null") == 0;
        options.max_event_bytes = strcmp(argv[i], "small-events") == 0 ? 20000 : options.max_event_bytes;
    }
    if (!gtid_list_parse(argv[3], &until, &err) || !binlog_open(&options, &bl, &err)) {
        gtid_list_release(&until);
        return failed(&err);
    }
    struct binlog_item item = {.kind = BINLOG_IDLE};
    bool ok = true;
    while (ok && !gtid_list_includes(binlog_position_list(bl), &until)) {
        ok = binlog_next(bl, &item, &err);
        if (ok)
            print_item(bl, &item);
    }
    binlog_close(bl);
    gtid_list_release(&until);
    return ok ? 0 : failed(&err);
}

static void print_check(void *ctx, enum binlog_verdict verdict, const char *name, const char *text)
{
    static const char *const names[] = {"?", "pass", "warn", "fail"};
    (void)ctx;
    print(json_pack("{s:s, s:s, s:s}", "name", name, "verdict", names[verdict], "text", text));
}

static int check(const char *url)
{
    struct err err = ERR_INIT;
    struct maria_conn *conn = NULL;
    bool ok = maria_open(url, &conn, &err) && binlog_check(conn, print_check, NULL, &err);
    maria_close(conn);
    return ok ? 0 : failed(&err);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return check(argv[2]);
    if (argc < 4) {
        (void)fputs("usage: binlog-lines URL POSITION UNTIL [zero-date-null] [small-events]\n", stderr);
        return 2;
    }
    return stream(argc, argv);
}
