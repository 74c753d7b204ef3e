/*
 * Decodes Avro bodies by a compiled plan. Input is untrusted: each read is bounded by the cursor, skipped
 * structures by a budget of steps that the record's length sets, so no record costs more than its size
 * warrants. Texts and bytes stay where they are in the record.
 */
#include <string.h>

#include "change/avro_schema.h"
#include "change/avro_wire.h"
#include "change/codec_avro.h"
#include "change/envelope.h"
#include "core/utf8.h"

#define SKIP_DEPTH_MAX 64

struct reader {
    struct avro_cursor c;
    struct arena *arena;
    const struct avro_plan *plan;
    size_t steps_left;
    struct raw_envelope raw;
};

static void skip(struct reader *rd, const struct avro_node *node, int depth);

static void skip_blocks(struct reader *rd, const struct avro_node *node, int depth)
{
    struct avro_cursor *c = &rd->c;
    for (int64_t count = get_long(c); count != 0 && c->failed == NULL; count = get_long(c)) {
        if (count < 0) { /* a block that tells its size */
            int64_t size = get_long(c);
            if (size < 0)
                cursor_fail(c, "negative length");
            else
                (void)get_raw(c, (uint64_t)size);
            continue;
        }
        for (; count > 0 && c->failed == NULL; count--) {
            if (node->kind == AVRO_KIND_MAP) {
                size_t len;
                (void)get_bytes(c, &len);
            }
            skip(rd, node->items[0], depth + 1);
        }
    }
}

static void skip(struct reader *rd, const struct avro_node *node, int depth)
{
    struct avro_cursor *c = &rd->c;
    size_t len;
    if (rd->steps_left == 0 || depth > SKIP_DEPTH_MAX) {
        cursor_fail(c, "nested too deeply");
        return;
    }
    rd->steps_left--;
    switch (node->kind) {
    case AVRO_KIND_NULL:
    case AVRO_KIND_UNKNOWN:
        return;
    case AVRO_KIND_BOOL:
        (void)get_bool(c);
        return;
    case AVRO_KIND_INT:
    case AVRO_KIND_ENUM:
    case AVRO_KIND_LONG:
        (void)get_long(c);
        return;
    case AVRO_KIND_FLOAT:
        (void)get_raw(c, 4);
        return;
    case AVRO_KIND_DOUBLE:
        (void)get_raw(c, 8);
        return;
    case AVRO_KIND_BYTES:
    case AVRO_KIND_STRING:
        (void)get_bytes(c, &len);
        return;
    case AVRO_KIND_FIXED:
        (void)get_raw(c, node->count);
        return;
    case AVRO_KIND_ARRAY:
    case AVRO_KIND_MAP:
        skip_blocks(rd, node, depth);
        return;
    case AVRO_KIND_UNION: {
        int64_t branch = get_long(c);
        if (branch < 0 || (uint64_t)branch >= node->count)
            cursor_fail(c, "union branch out of range");
        else
            skip(rd, node->items[branch], depth + 1);
        return;
    }
    case AVRO_KIND_RECORD:
        for (size_t i = 0; i < node->count && c->failed == NULL; i++)
            skip(rd, node->items[i], depth + 1);
        return;
    }
}

/* False = null. */
static inline bool enter(struct avro_cursor *c, const struct avro_step *step)
{
    if (step->null_branch < 0)
        return true;
    int64_t branch = get_long(c);
    if (branch != 0 && branch != 1)
        cursor_fail(c, "union branch out of range");
    return branch != step->null_branch && c->failed == NULL;
}

static struct span read_text(struct avro_cursor *c)
{
    struct span s;
    s.p = get_bytes(c, &s.len);
    if (s.p != NULL && !utf8_valid(s.p, s.len))
        cursor_fail(c, "text is not valid UTF-8");
    return s;
}

static void read_datum(struct avro_cursor *c, enum phys phys, struct datum *d)
{
    d->state = DATUM_VALUE;
    if (!get_scalar(c, phys, d))
        cursor_fail(c, "column without a type");
}

/* A nested value stays where it is. */
static void read_nested(struct reader *rd, const struct avro_step *step, const struct field *f,
                        struct datum *d)
{
    struct avro_cursor *c = &rd->c;
    const uint8_t *start = c->p;
    skip(rd, step->node, 0);
    d->state = DATUM_VALUE;
    d->s.p = (const char *)start;
    d->s.len = (uint32_t)(c->p - start);
    if (c->failed == NULL && ((uint64_t)(c->p - start) > UINT32_MAX || !nested_valid(f, start, d->s.len)))
        cursor_fail(c, "a nested value does not parse");
}

static struct datum *read_row(struct reader *rd, const struct table_schema *table)
{
    const struct avro_steps *columns = &rd->plan->columns;
    struct datum *row = arena_alloc(rd->arena, (columns->count + 1) * sizeof *row);
    if (row == NULL) {
        cursor_fail(&rd->c, "row is larger than its memory limit");
        return NULL;
    }
    for (size_t i = 0; i < columns->count; i++) {
        if (!enter(&rd->c, &columns->items[i]))
            row[i].state = DATUM_NULL;
        else if (table->fields[i].phys >= PHYS_ARRAY)
            read_nested(rd, &columns->items[i], &table->fields[i], &row[i]);
        else
            read_datum(&rd->c, table->fields[i].phys, &row[i]);
    }
    return row;
}

static void read_source(struct reader *rd)
{
    struct avro_cursor *c = &rd->c;
    struct raw_envelope *raw = &rd->raw;
    for (size_t i = 0; i < rd->plan->source.count && c->failed == NULL; i++) {
        const struct avro_step *step = &rd->plan->source.items[i];
        if (step->role == ROLE_SKIP) {
            skip(rd, step->node, 0);
            continue;
        }
        if (!enter(c, step))
            continue;
        switch (step->role) {
        case ROLE_SOURCE_NAME:
            raw->server = read_text(c);
            break;
        case ROLE_SOURCE_DB:
            raw->database = read_text(c);
            break;
        case ROLE_SOURCE_SNAPSHOT:
            raw->snapshot = read_text(c);
            break;
        case ROLE_SOURCE_SEQUENCE:
            raw->sequence = read_text(c);
            break;
        case ROLE_SOURCE_TS_MS:
            raw->source_ms = get_long(c);
            break;
        case ROLE_SOURCE_TS_US:
            raw->source_us = get_long(c);
            raw->has_source_us = true;
            break;
        case ROLE_SOURCE_TXID:
            raw->xid = get_long(c);
            break;
        case ROLE_SOURCE_LSN:
            raw->lsn = get_long(c);
            break;
        case ROLE_SOURCE_CONNECTOR:
            raw->connector = read_text(c);
            break;
        case ROLE_SOURCE_SCHEMA:
            raw->schema = read_text(c);
            break;
        case ROLE_SOURCE_TABLE:
            raw->table = read_text(c);
            break;
        case ROLE_SOURCE_FILE:
            raw->file = read_text(c);
            break;
        case ROLE_SOURCE_GTID:
            raw->gtid = read_text(c);
            break;
        case ROLE_SOURCE_POS:
            raw->pos = get_long(c);
            break;
        case ROLE_SOURCE_ROW:
            raw->row = get_long(c);
            break;
        case ROLE_SOURCE_SERVER_ID:
            raw->server_id = get_long(c);
            break;
        default:
            cursor_fail(c, "plan is wrong");
        }
    }
    raw->has_source = true;
}

static void read_transaction(struct reader *rd)
{
    struct avro_cursor *c = &rd->c;
    struct raw_envelope *raw = &rd->raw;
    for (size_t i = 0; i < rd->plan->transaction.count && c->failed == NULL; i++) {
        const struct avro_step *step = &rd->plan->transaction.items[i];
        if (step->role == ROLE_SKIP)
            skip(rd, step->node, 0);
        else if (!enter(c, step))
            continue;
        else if (step->role == ROLE_TRANSACTION_ID)
            raw->transaction_id = read_text(c);
        else if (step->role == ROLE_TOTAL_ORDER)
            raw->total_order = get_long(c);
        else
            raw->table_order = get_long(c);
    }
    raw->has_transaction = true;
}

/* The array of column indexes; more than there are columns is refused. */
static void read_unavailable(struct reader *rd, size_t columns, struct unavailable *ret)
{
    struct avro_cursor *c = &rd->c;
    for (int64_t count = get_long(c); count != 0 && c->failed == NULL; count = get_long(c)) {
        if (count < 0) {
            (void)get_long(c); /* size of the block */
            count = count == INT64_MIN ? INT64_MAX : -count;
        }
        if ((uint64_t)count > columns - ret->count) {
            cursor_fail(c, "too many unavailable columns");
            return;
        }
        if (ret->fields == NULL)
            ret->fields = arena_alloc(rd->arena, columns * sizeof *ret->fields);
        if (ret->fields == NULL) {
            cursor_fail(c, "row is larger than its memory limit");
            return;
        }
        for (; count > 0; count--)
            ret->fields[ret->count++] = (uint32_t)get_int(c);
    }
}

static void read_hints(struct reader *rd, size_t columns)
{
    rd->raw.before_key_only = get_bool(&rd->c);
    read_unavailable(rd, columns, &rd->raw.before_unavailable);
    read_unavailable(rd, columns, &rd->raw.after_unavailable);
}

static void read_envelope(struct reader *rd, const struct table_schema *table)
{
    struct avro_cursor *c = &rd->c;
    for (size_t i = 0; i < rd->plan->envelope.count && c->failed == NULL; i++) {
        const struct avro_step *step = &rd->plan->envelope.items[i];
        if (step->role == ROLE_SKIP) {
            skip(rd, step->node, 0);
            continue;
        }
        if (!enter(c, step))
            continue;
        switch (step->role) {
        case ROLE_BEFORE:
            rd->raw.before = read_row(rd, table);
            break;
        case ROLE_AFTER:
            rd->raw.after = read_row(rd, table);
            break;
        case ROLE_SOURCE:
            read_source(rd);
            break;
        case ROLE_TRANSACTION:
            read_transaction(rd);
            break;
        case ROLE_OP:
            rd->raw.op = read_text(c);
            break;
        case ROLE_TS_MS:
            rd->raw.envelope_ms = get_long(c);
            break;
        case ROLE_TS_US:
            rd->raw.envelope_us = get_long(c);
            rd->raw.has_envelope_us = true;
            break;
        case ROLE_HINTS:
            read_hints(rd, table->field_count);
            break;
        default:
            cursor_fail(c, "plan is wrong");
        }
    }
}

bool avro_decode_raw(const struct shape *shape, const void *body, size_t len, struct arena *arena,
                     struct raw_envelope *ret, struct err *err)
{
    struct reader rd = {.c = {.p = body, .end = (const uint8_t *)body + len},
                        .arena = arena,
                        .plan = shape->plan,
                        .steps_left = 1024 + 8 * len};
    read_envelope(&rd, shape->table);
    if (rd.c.failed == NULL && rd.c.p != rd.c.end)
        cursor_fail(&rd.c, "bytes are left over");
    if (rd.c.failed != NULL)
        return err_set(err, ERR_PROTOCOL, "topic=%s schema=%u: record does not parse: %s",
                       shape->table->topic, shape->id, rd.c.failed);
    *ret = rd.raw;
    return true;
}

bool avro_decode_value(struct decoder *dec, const char *topic, uint32_t schema_id, const void *value,
                       size_t len, struct arena *arena, struct change *ret, struct err *err)
{
    const uint8_t *bytes = value;
    uint32_t id;
    struct shape *shape;
    (void)schema_id; /* the frame has it */
    if (len < AVRO_FRAME_BYTES || bytes[0] != 0)
        return err_set(err, ERR_PROTOCOL, "topic=%s: record has no Confluent frame (zero byte, schema id)",
                       topic);
    memcpy(&id, bytes + 1, sizeof id);
    if (!decoder_shape(dec, topic, be32toh(id), &shape, err))
        return false;
    struct raw_envelope raw;
    return avro_decode_raw(shape, bytes + AVRO_FRAME_BYTES, len - AVRO_FRAME_BYTES, arena, &raw, err) &&
           envelope_finish(shape, &raw, arena, ret, err);
}
