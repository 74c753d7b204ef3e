/*
 * Decodes JSON envelopes, bare or beside their schema (which is not looked at: its id is in a header). Input is untrusted; members may come in any order, unknown ones outside of the
 * rows are passed over, a member given twice in a row is refused.
 */
#include <string.h>

#include "change/codec_json.h"
#include "change/envelope.h"
#include "change/json_nested.h"
#include "change/json_read.h"
#include "change/json_schema.h"

/* A datum that no member has filled yet. */
#define UNSEEN ((enum datum_state)99)

struct parse {
    struct json_reader jr;
    const struct table_schema *table;
    const struct json_plan *plan;
    struct raw_envelope raw;
};

static bool name_is(const char *name, size_t len, const char *text)
{
    return strlen(text) == len && memcmp(name, text, len) == 0;
}

static void take_span(struct json_reader *jr, struct span *ret)
{
    if (json_take_null(jr))
        *ret = (struct span){0};
    else
        json_take_string(jr, &ret->p, &ret->len);
}

/* Optional number; false = null. */
static bool take_number(struct json_reader *jr, int64_t *ret)
{
    if (json_take_null(jr))
        return false;
    *ret = json_take_int(jr);
    return true;
}

/* The column of this name; nearly always the one after the last. SIZE_MAX if there is none. */
static size_t find_column(const struct json_plan *plan, size_t guess, const char *name, size_t len)
{
    for (size_t n = 0; n < plan->count; n++) {
        size_t i = guess + n < plan->count ? guess + n : guess + n - plan->count;
        if (plan->columns[i].name_len == len && memcmp(plan->columns[i].name, name, len) == 0)
            return i;
    }
    return SIZE_MAX;
}

static bool complete_row(struct parse *ps, struct datum *row)
{
    for (size_t i = 0; i < ps->plan->count; i++) {
        if (row[i].state != UNSEEN)
            continue;
        if (!ps->table->fields[i].optional)
            return false;
        row[i].state = DATUM_NULL;
    }
    return true;
}

static void take_column(struct json_reader *jr, const struct field *f, struct datum *ret)
{
    if (json_take_null(jr)) {
        ret->state = DATUM_NULL;
        if (!f->optional)
            json_fail(jr, "null in a column that is not optional");
    } else if (f->phys < PHYS_ARRAY) {
        json_take_scalar(jr, f->phys, ret);
    } else {
        json_take_nested(jr, f, ret);
    }
}

static struct datum *take_row(struct parse *ps)
{
    struct json_reader *jr = &ps->jr;
    if (json_take_null(jr))
        return NULL;
    struct datum *row = arena_alloc(jr->arena, (ps->plan->count + 1) * sizeof *row);
    if (row == NULL) {
        json_fail(jr, "row is larger than its memory limit");
        return NULL;
    }
    for (size_t i = 0; i < ps->plan->count; i++)
        row[i].state = UNSEEN;
    const char *name;
    size_t len, at = SIZE_MAX;
    bool first = true;
    json_open(jr, '{');
    while (json_member(jr, &first, &name, &len)) {
        at = find_column(ps->plan, at + 1, name, len);
        if (at == SIZE_MAX || row[at].state != UNSEEN) {
            json_fail(jr,
                      at == SIZE_MAX ? "row has a column that its schema lacks" : "row has a column twice");
            return NULL;
        }
        take_column(jr, &ps->table->fields[at], &row[at]);
    }
    if (jr->failed == NULL && !complete_row(ps, row))
        json_fail(jr, "row lacks a column");
    return row;
}

static void take_source(struct parse *ps)
{
    struct json_reader *jr = &ps->jr;
    struct raw_envelope *raw = &ps->raw;
    const char *name;
    size_t len;
    bool first = true;
    json_open(jr, '{');
    while (json_member(jr, &first, &name, &len)) {
        if (name_is(name, len, "name"))
            take_span(jr, &raw->server);
        else if (name_is(name, len, "db"))
            take_span(jr, &raw->database);
        else if (name_is(name, len, "ts_ms"))
            raw->source_ms = json_take_int(jr);
        else if (name_is(name, len, "ts_us"))
            raw->has_source_us = take_number(jr, &raw->source_us);
        else if (name_is(name, len, "snapshot"))
            take_span(jr, &raw->snapshot);
        else if (name_is(name, len, "sequence"))
            take_span(jr, &raw->sequence);
        else if (name_is(name, len, "txId"))
            (void)take_number(jr, &raw->xid);
        else if (name_is(name, len, "lsn"))
            (void)take_number(jr, &raw->lsn);
        else if (name_is(name, len, "connector"))
            take_span(jr, &raw->connector);
        else if (name_is(name, len, "schema"))
            take_span(jr, &raw->schema);
        else if (name_is(name, len, "table"))
            take_span(jr, &raw->table);
        else if (name_is(name, len, "file"))
            take_span(jr, &raw->file);
        else if (name_is(name, len, "gtid"))
            take_span(jr, &raw->gtid);
        else if (name_is(name, len, "pos"))
            (void)take_number(jr, &raw->pos);
        else if (name_is(name, len, "row"))
            (void)take_number(jr, &raw->row);
        else if (name_is(name, len, "server_id"))
            (void)take_number(jr, &raw->server_id);
        else
            json_skip(jr);
    }
    raw->has_source = true;
}

static void take_transaction(struct parse *ps)
{
    struct json_reader *jr = &ps->jr;
    const char *name;
    size_t len;
    bool first = true;
    if (json_take_null(jr))
        return;
    json_open(jr, '{');
    while (json_member(jr, &first, &name, &len)) {
        if (name_is(name, len, "id"))
            take_span(jr, &ps->raw.transaction_id);
        else if (name_is(name, len, "total_order"))
            ps->raw.total_order = json_take_int(jr);
        else if (name_is(name, len, "data_collection_order"))
            ps->raw.table_order = json_take_int(jr);
        else
            json_skip(jr);
    }
    ps->raw.has_transaction = true;
}

static void take_unavailable(struct parse *ps, struct unavailable *ret)
{
    struct json_reader *jr = &ps->jr;
    bool first = true;
    *ret =
        (struct unavailable){.fields = arena_alloc(jr->arena, (ps->plan->count + 1) * sizeof *ret->fields)};
    if (ret->fields == NULL) {
        json_fail(jr, "row is larger than its memory limit");
        return;
    }
    json_open(jr, '[');
    while (json_element(jr, &first)) {
        if (ret->count == ps->plan->count) {
            json_fail(jr, "too many unavailable columns");
            return;
        }
        ret->fields[ret->count++] = (uint32_t)json_take_ranged(jr, 0, UINT32_MAX);
    }
}

static void take_hints(struct parse *ps)
{
    struct json_reader *jr = &ps->jr;
    const char *name;
    size_t len;
    bool first = true;
    if (json_take_null(jr))
        return;
    json_open(jr, '{');
    while (json_member(jr, &first, &name, &len)) {
        if (name_is(name, len, "before_key_only"))
            ps->raw.before_key_only = json_take_bool(jr);
        else if (name_is(name, len, "before_unavailable"))
            take_unavailable(ps, &ps->raw.before_unavailable);
        else if (name_is(name, len, "after_unavailable"))
            take_unavailable(ps, &ps->raw.after_unavailable);
        else
            json_skip(jr);
    }
}

/* True if the member belongs to an envelope. */
static bool take_envelope_member(struct parse *ps, const char *name, size_t len)
{
    struct json_reader *jr = &ps->jr;
    struct raw_envelope *raw = &ps->raw;
    if (name_is(name, len, "before"))
        raw->before = take_row(ps);
    else if (name_is(name, len, "after"))
        raw->after = take_row(ps);
    else if (name_is(name, len, "source"))
        take_source(ps);
    else if (name_is(name, len, "transaction"))
        take_transaction(ps);
    else if (name_is(name, len, "op"))
        take_span(jr, &raw->op);
    else if (name_is(name, len, "ts_ms"))
        (void)take_number(jr, &raw->envelope_ms);
    else if (name_is(name, len, "ts_us"))
        raw->has_envelope_us = take_number(jr, &raw->envelope_us);
    else if (name_is(name, len, HINTS_FIELD))
        take_hints(ps);
    else
        return false;
    return true;
}

static void take_payload(struct parse *ps)
{
    const char *name;
    size_t len;
    bool first = true;
    json_open(&ps->jr, '{');
    while (json_member(&ps->jr, &first, &name, &len)) {
        if (!take_envelope_member(ps, name, len))
            json_skip(&ps->jr);
    }
}

/* An envelope, or {"schema":…,"payload":envelope}. */
static void take_record(struct parse *ps)
{
    struct json_reader *jr = &ps->jr;
    const char *name;
    size_t len;
    bool first = true;
    json_open(jr, '{');
    while (json_member(jr, &first, &name, &len)) {
        if (take_envelope_member(ps, name, len))
            continue;
        if (name_is(name, len, "payload") && ps->raw.op.p == NULL)
            take_payload(ps);
        else
            json_skip(jr);
    }
    json_end(jr);
}

/* Records of ours that carry a schema begin so; a bare key or envelope cannot: no value of a key is a list of structs. */
#define STRUCT_HEAD JSON_SCHEMA_HEAD "{\"type\":\"struct\",\"fields\":["

void codec_payload(const void *text, size_t len, const void **ret, size_t *ret_len)
{
    const size_t head_len = sizeof STRUCT_HEAD - 1, mid_len = sizeof JSON_PAYLOAD_HEAD - 1;
    *ret = text;
    *ret_len = len;
    if (text == NULL || len <= head_len || memcmp(text, STRUCT_HEAD, head_len) != 0)
        return;
    /* Inside of the schema these bytes cannot be: quotes in its texts are escaped, and it has no member of this name. */
    const char *mid = memmem(text, len, JSON_PAYLOAD_HEAD, mid_len), *end = (const char *)text + len;
    if (mid == NULL || end[-1] != '}')
        return;
    *ret = mid + mid_len;
    *ret_len = (size_t)(end - 1 - (mid + mid_len));
}

bool json_decode_raw(const struct shape *shape, const void *value, size_t len, struct arena *arena,
                     struct raw_envelope *ret, struct err *err)
{
    struct parse ps = {.table = shape->table, .plan = shape->plan};
    json_reader_init(&ps.jr, value, len, arena);
    take_record(&ps);
    if (ps.jr.failed != NULL)
        return err_set(err, ERR_PROTOCOL, "topic=%s schema=%u: record does not parse: %s",
                       shape->table->topic, shape->id, ps.jr.failed);
    *ret = ps.raw;
    return true;
}

bool json_decode_value(struct decoder *dec, const char *topic, uint32_t schema_id, const void *value,
                       size_t len, struct arena *arena, struct change *ret, struct err *err)
{
    struct shape *shape;
    if (schema_id == 0)
        return err_set(err, ERR_PROTOCOL, "topic=%s: record has no header %s", topic, HEADER_SCHEMA_ID);
    if (!decoder_shape(dec, topic, schema_id, &shape, err))
        return false;
    struct raw_envelope raw;
    return json_decode_raw(shape, value, len, arena, &raw, err) &&
           envelope_finish(shape, &raw, arena, ret, err);
}
