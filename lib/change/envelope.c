/* Owns: the envelope's rules that both codecs share. See envelope.h. */
#include "change/envelope.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/utf8.h"

bool envelope_images_fit(enum change_op op, bool has_before, bool has_after)
{
    switch (op) {
    case CHANGE_READ:
    case CHANGE_INSERT:
        return !has_before && has_after;
    case CHANGE_UPDATE:
        return has_after;
    case CHANGE_DELETE:
        return has_before && !has_after;
    case CHANGE_TRUNCATE:
        return !has_before && !has_after;
    case CHANGE_UNKNOWN:
        break;
    }
    return false;
}

bool envelope_check(const struct encoder *enc, const struct change *chg, struct err *err)
{
    const struct table_schema *schema = enc->schema;
    if (chg->schema != schema)
        return err_set(err, ERR_BUG, "table=%s.%s: a change of another table version reached this encoder",
                       schema->schema, schema->table);
    if (!envelope_images_fit(chg->op, chg->before != NULL, chg->after != NULL))
        return err_set(err, ERR_BUG, "table=%s.%s lsn=" LSN_FMT ": images do not fit operation %d",
                       schema->schema, schema->table, LSN_ARGS(chg->source.lsn), (int)chg->op);
    for (size_t k = 0; chg->before != NULL && chg->before_key_only && k < schema->key_count; k++) {
        if (chg->before[schema->key_fields[k]].state == DATUM_UNAVAILABLE)
            return err_set(err, ERR_BUG, "table=%s.%s column=%s: key image lacks a key value", schema->schema,
                           schema->table, schema->fields[schema->key_fields[k]].name);
    }
    return true;
}

static bool fits(enum phys phys, int64_t i)
{
    switch (phys) {
    case PHYS_BOOL:
        return i == 0 || i == 1;
    case PHYS_INT16:
        return i >= INT16_MIN && i <= INT16_MAX;
    case PHYS_INT32:
        return i >= INT32_MIN && i <= INT32_MAX;
    default:
        return true;
    }
}

bool envelope_check_datum(const struct table_schema *schema, size_t index, const struct datum *d,
                          struct err *err)
{
    const struct field *f = &schema->fields[index];
    const char *why = NULL;
    enum err_code code = ERR_BUG;
    switch (d->state) {
    case DATUM_NULL:
        if (!f->optional) {
            why = "NULL in a NOT NULL column";
            code = ERR_DATA;
        }
        break;
    case DATUM_UNAVAILABLE:
        break;
    case DATUM_VALUE:
        if (f->phys == PHYS_STRING && !utf8_valid(d->s.p, d->s.len)) {
            why = "text is not valid UTF-8: the source's encoding must be UTF8";
            code = ERR_DATA;
        } else if (!fits(f->phys, d->i)) {
            why = "number is out of its type's range";
        }
        break;
    }
    return why == NULL ||
           err_set(err, code, "table=%s.%s column=%s: %s", schema->schema, schema->table, f->name, why);
}

bool envelope_check_key(const struct table_schema *schema, size_t index, const struct datum *d,
                        struct err *err)
{
    if (d->state == DATUM_UNAVAILABLE)
        return err_set(err, ERR_BUG, "table=%s.%s column=%s: key value is unavailable", schema->schema,
                       schema->table, schema->fields[index].name);
    return envelope_check_datum(schema, index, d, err);
}

const struct datum *envelope_other_datum(const struct field *f, const struct datum *d, bool key_only,
                                         struct stand_in *room)
{
    if (key_only && !f->key) {
        room->datum = f->optional ? (struct datum){.state = DATUM_NULL} : nested_empty(f);
        return &room->datum;
    }
    if (d->state != DATUM_UNAVAILABLE)
        return d;
    room->datum = nested_stand_in(f, room->bytes);
    return &room->datum;
}

size_t envelope_unavailable_count(const struct table_schema *schema, const struct datum *image)
{
    size_t count = 0;
    for (size_t i = 0; image != NULL && i < schema->field_count; i++)
        count += image[i].state == DATUM_UNAVAILABLE;
    return count;
}

bool envelope_needs_hints(const struct change *chg)
{
    return (chg->before != NULL && chg->before_key_only) ||
           envelope_unavailable_count(chg->schema, chg->before) != 0 ||
           envelope_unavailable_count(chg->schema, chg->after) != 0;
}

const char *envelope_snapshot_text(const struct change *chg)
{
    switch (chg->source.snapshot) {
    case SNAPSHOT_FALSE:
        return "false";
    case SNAPSHOT_TRUE:
        return "true";
    case SNAPSHOT_LAST:
        return "last";
    }
    return "false";
}

static char *put_u64(char *to, uint64_t v)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    while (n != 0)
        *to++ = digits[--n];
    return to;
}

size_t envelope_transaction_id(const struct change *chg, char out[TRANSACTION_ID_MAX])
{
    bool maria =
        chg->schema != NULL && chg->schema->mariadb; /* NULL: of a stream beside the tables' (meta.c) */
    size_t len = maria && chg->source.gtid != NULL ? strlen(chg->source.gtid) : 0;
    char *p = out + len;
    if (len > 0 && len < TRANSACTION_ID_MAX - 22)
        memcpy(out, chg->source.gtid, len);
    else
        p = put_u64(out, chg->source.xid);
    *p++ = ':';
    p = put_u64(p, chg->source.commit_lsn);
    return (size_t)(p - out);
}

static char *put_quoted_u64(char *p, uint64_t v)
{
    *p++ = '"';
    p = put_u64(p, v);
    *p++ = '"';
    return p;
}

size_t envelope_sequence(const struct change *chg, char out[SEQUENCE_MAX])
{
    char *p = out;
    *p++ = '[';
    if (chg->source.previous_commit_lsn == 0) {
        memcpy(p, "null", 4);
        p += 4;
    } else {
        p = put_quoted_u64(p, chg->source.previous_commit_lsn);
    }
    *p++ = ',';
    p = put_quoted_u64(p, chg->source.lsn);
    *p++ = ']';
    return (size_t)(p - out);
}

/* --- reading --- */

static bool span_is(struct span s, const char *text)
{
    return s.p != NULL && s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

/* Digits up to the end of the number; advances *p. False when there are none or they overflow. */
static bool take_u64(const char **p, const char *end, uint64_t *ret)
{
    uint64_t v = 0;
    const char *at = *p;
    while (at < end && *at >= '0' && *at <= '9') {
        uint64_t digit = (uint64_t)(*at++ - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (at == *p)
        return false;
    *p = at;
    *ret = v;
    return true;
}

static bool take_char(const char **p, const char *end, char c)
{
    if (*p == end || **p != c)
        return false;
    (*p)++;
    return true;
}

/* "<xid>:<lsn>", of MariaDB "<gtid>:<number>" */
static bool parse_transaction_id(struct span s, bool mariadb, lsn_t *ret_lsn)
{
    if (s.p == NULL)
        return false;
    const char *p = s.p, *end = s.p + s.len;
    const char *colon = mariadb ? memchr(p, ':', s.len) : NULL;
    uint64_t xid;
    if (colon != NULL) {
        p = colon + 1;
        return take_u64(&p, end, ret_lsn) && p == end;
    }
    return take_u64(&p, end, &xid) && take_char(&p, end, ':') && take_u64(&p, end, ret_lsn) && p == end;
}

/* First element of ["prev","lsn"] or [null,"lsn"]. */
bool envelope_parse_sequence(struct span s, lsn_t *ret_previous)
{
    const char *p = s.p, *end = s.p + s.len;
    uint64_t previous = 0, lsn;
    if (!take_char(&p, end, '['))
        return false;
    if (end - p >= 4 && memcmp(p, "null", 4) == 0)
        p += 4;
    else if (!take_char(&p, end, '"') || !take_u64(&p, end, &previous) || !take_char(&p, end, '"'))
        return false;
    *ret_previous = previous;
    return take_char(&p, end, ',') && take_char(&p, end, '"') && take_u64(&p, end, &lsn) &&
           take_char(&p, end, '"') && take_char(&p, end, ']') && p == end;
}

bool envelope_parse_snapshot(struct span s, enum snapshot_mark *ret)
{
    static const char *const running[] = {"true", "first", "first_in_data_collection",
                                          "last_in_data_collection", "incremental"};
    if (s.p == NULL || span_is(s, "false")) {
        *ret = SNAPSHOT_FALSE;
        return true;
    }
    if (span_is(s, "last")) {
        *ret = SNAPSHOT_LAST;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(running); i++) {
        if (span_is(s, running[i])) {
            *ret = SNAPSHOT_TRUE;
            return true;
        }
    }
    return false;
}

static bool bad(const struct shape *shape, struct err *err, const char *why)
{
    return err_set(err, ERR_PROTOCOL, "topic=%s schema=%u: record does not parse: %s", shape->table->topic,
                   shape->id, why);
}

/* A text that is nearly always the same: kept in the shape, else in the arena. */
static bool keep_text(char **kept, struct span s, struct arena *arena, const char **ret)
{
    if (*kept == NULL)
        *kept = xstrndup(s.p, s.len);
    if (strncmp(*kept, s.p, s.len) == 0 && (*kept)[s.len] == '\0') {
        *ret = *kept;
        return true;
    }
    *ret = arena_copy(arena, s.p, s.len);
    return *ret != NULL;
}

static bool mark_unavailable(const struct shape *shape, struct datum *image, const struct unavailable *list,
                             struct err *err)
{
    if (list->count != 0 && image == NULL)
        return bad(shape, err, "unavailable columns without a row");
    for (size_t i = 0; i < list->count; i++) {
        uint32_t at = list->fields[i];
        if (at >= shape->table->field_count || image[at].state == DATUM_UNAVAILABLE)
            return bad(shape, err, "unavailable column out of range");
        image[at].state = DATUM_UNAVAILABLE;
    }
    return true;
}

/* Debezium's own records: the text alone says it. */
static void guess_unavailable(const struct table_schema *schema, struct datum *image)
{
    for (size_t i = 0; image != NULL && i < schema->field_count; i++) {
        enum phys phys = schema->fields[i].phys;
        if ((phys == PHYS_STRING || phys == PHYS_BYTES) && image[i].state == DATUM_VALUE &&
            image[i].s.len == UNAVAILABLE_LEN && memcmp(image[i].s.p, UNAVAILABLE_TEXT, UNAVAILABLE_LEN) == 0)
            image[i].state = DATUM_UNAVAILABLE;
        else if (phys >= PHYS_ARRAY && image[i].state == DATUM_VALUE &&
                 nested_is_stand_in(&schema->fields[i], &image[i]))
            image[i].state = DATUM_UNAVAILABLE;
    }
}

static bool finish_images(struct shape *shape, struct raw_envelope *raw, struct err *err)
{
    const struct table_schema *schema = shape->table;
    if (!shape->has_hints) {
        guess_unavailable(schema, raw->before);
        guess_unavailable(schema, raw->after);
        return true;
    }
    if (raw->before_key_only && (raw->before == NULL || raw->before_unavailable.count != 0))
        return bad(shape, err, "a key image without a row or with unavailable columns");
    if (!mark_unavailable(shape, raw->before, &raw->before_unavailable, err) ||
        !mark_unavailable(shape, raw->after, &raw->after_unavailable, err))
        return false;
    for (size_t i = 0; raw->before_key_only && i < schema->field_count; i++) {
        if (!schema->fields[i].key)
            raw->before[i].state = DATUM_NULL;
    }
    return true;
}

static bool finish_source(struct shape *shape, const struct raw_envelope *raw, struct arena *arena,
                          struct change_source *ret, struct err *err)
{
    if (!raw->has_source || raw->server.p == NULL || raw->database.p == NULL)
        return bad(shape, err, "source is missing or not complete");
    if (raw->xid < 0 || raw->xid > UINT32_MAX)
        return bad(shape, err, "source.txId out of range");
    *ret = (struct change_source){
        .lsn = (lsn_t)raw->lsn, .commit_lsn = (lsn_t)raw->lsn, .xid = (uint32_t)raw->xid};
    if (!envelope_parse_snapshot(raw->snapshot, &ret->snapshot))
        return bad(shape, err, "source.snapshot is unknown");
    if (raw->sequence.p != NULL && !envelope_parse_sequence(raw->sequence, &ret->previous_commit_lsn))
        return bad(shape, err, "source.sequence is malformed");
    if (raw->has_transaction &&
        !parse_transaction_id(raw->transaction_id, shape->table->mariadb, &ret->commit_lsn))
        return bad(shape, err, "transaction.id is malformed");
    if (!raw->has_source_us && (raw->source_ms > INT64_MAX / 1000 || raw->source_ms < INT64_MIN / 1000))
        return bad(shape, err, "source.ts_ms out of range");
    ret->commit_time_us = raw->has_source_us ? raw->source_us : raw->source_ms * 1000;
    if (!keep_text(&shape->server, raw->server, arena, &ret->server) ||
        !keep_text(&shape->database, raw->database, arena, &ret->database))
        return err_set(err, ERR_NO_MEMORY, "topic=%s: record is larger than its memory limit",
                       shape->table->topic);
    return true;
}

bool envelope_finish(struct shape *shape, struct raw_envelope *raw, struct arena *arena, struct change *ret,
                     struct err *err)
{
    struct change chg = {.schema = shape->table, .before = raw->before, .after = raw->after};
    if (raw->op.p == NULL || raw->op.len != 1)
        return bad(shape, err, "op is missing or unknown");
    chg.op = (enum change_op)raw->op.p[0];
    if (!envelope_images_fit(chg.op, raw->before != NULL, raw->after != NULL))
        return bad(shape, err, "op is unknown or its images do not fit");
    if (!finish_images(shape, raw, err) || !finish_source(shape, raw, arena, &chg.source, err))
        return false;
    chg.before_key_only = shape->has_hints && raw->before_key_only;
    if (raw->has_transaction) {
        if (raw->total_order < 0 || raw->table_order < 0)
            return bad(shape, err, "transaction order is negative");
        chg.total_order = (uint64_t)raw->total_order;
        chg.table_order = (uint64_t)raw->table_order;
    }
    if (!raw->has_envelope_us && (raw->envelope_ms > INT64_MAX / 1000 || raw->envelope_ms < INT64_MIN / 1000))
        return bad(shape, err, "ts_ms out of range");
    chg.captured_us = raw->has_envelope_us ? raw->envelope_us : raw->envelope_ms * 1000;
    *ret = chg;
    return true;
}
