/* Owns: the set of parked keys, and how a record becomes a dead letter. See letters.h. */
#include "apply/letters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "core/utf8.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

#define HEADERS_MAX_BYTES ((size_t)256 << 20)
#define NAME_MAX_BYTES    ((size_t)1100 << 20)

struct parked {
    int64_t chain;
    UT_hash_handle hh;
    size_t len;
    char name[]; /* schema, 0, table, 0, key */
};

/* A table with parked keys. Bytes of keys can be compared only where they were made alike: when a change comes whose key has
 * another shape (another type of its column, another encoding), all of the table is parked, as one chain. */
struct parked_table {
    UT_hash_handle hh;
    size_t len;
    char *shape; /* of its keys; NULL = not known: held by a version that did not say */
    bool whole;
    int64_t chain; /* of one of its letters: of all, once it is parked as a whole */
    char name[];   /* schema, 0, table, 0 */
};

struct letters {
    struct target *tgt;
    const struct target_letters_ops *ops;
    struct parked *keys;
    struct parked_table *tables;
    struct strbuf shape; /* scratch */
    struct strbuf name;  /* scratch */
    uint64_t max, count, fence_id;
    bool stale;
};

struct letters *letters_new(struct target *tgt, uint64_t max)
{
    struct letters *l = xcalloc(1, sizeof *l);
    l->tgt = tgt;
    l->ops = target_letters(tgt);
    l->max = max;
    l->stale = l->ops != NULL;
    strbuf_init(&l->name, NAME_MAX_BYTES);
    strbuf_init(&l->shape, NAME_MAX_BYTES);
    return l;
}

static void forget_all(struct letters *l)
{
    struct parked *p, *next;
    HASH_ITER(hh, l->keys, p, next)
    {
        HASH_DEL(l->keys, p);
        free(p);
    }
    struct parked_table *t, *next_table;
    HASH_ITER(hh, l->tables, t, next_table)
    {
        HASH_DEL(l->tables, t);
        free(t->shape);
        free(t);
    }
    l->count = 0;
}

void letters_free(struct letters *l)
{
    if (l == NULL)
        return;
    forget_all(l);
    strbuf_release(&l->name);
    strbuf_release(&l->shape);
    free(l);
}

uint64_t letters_count(const struct letters *l)
{
    return l->count;
}

void letters_stale(struct letters *l)
{
    l->stale = l->ops != NULL;
}

void letters_committed(struct letters *l)
{
    l->stale = false;
}

static struct parked *find(struct letters *l, const char *schema, const char *table, const void *key,
                           size_t key_len)
{
    struct parked *p = NULL;
    if (l->keys == NULL)
        return NULL;
    strbuf_clear(&l->name);
    strbuf_add(&l->name, schema, strlen(schema) + 1);
    strbuf_add(&l->name, table, strlen(table) + 1);
    strbuf_add(&l->name, key, key != NULL ? key_len : 0);
    HASH_FIND(hh, l->keys, l->name.data, l->name.len, p);
    return p;
}

static struct parked_table *find_table(struct letters *l, const char *schema, const char *table)
{
    struct parked_table *t = NULL;
    if (l->tables == NULL)
        return NULL;
    strbuf_clear(&l->name);
    strbuf_add(&l->name, schema, strlen(schema) + 1);
    strbuf_add(&l->name, table, strlen(table) + 1);
    HASH_FIND(hh, l->tables, l->name.data, l->name.len, t);
    return t;
}

/* How the item's key is made: Avro's frame names its schema (0, id in 4 bytes); JSON says nothing, its fields do. Valid until the
 * next call. */
static const char *shape_of(struct letters *l, const struct item *it)
{
    const struct table_schema *s = it->schema;
    const unsigned char *key = it->key;
    strbuf_clear(&l->shape);
    if (key != NULL && it->key_len >= 5 && key[0] == 0)
        strbuf_addf(&l->shape, "schema %u; ",
                    (unsigned)key[1] << 24 | (unsigned)key[2] << 16 | (unsigned)key[3] << 8 | key[4]);
    for (size_t i = 0; i < s->key_count; i++) {
        const struct field *f = &s->fields[s->key_fields[i]];
        strbuf_addf(&l->shape, "%s%s %s", i > 0 ? ", " : "", f->name,
                    f->source_type != NULL ? f->source_type
                    : f->semantic != NULL  ? f->semantic
                                           : "?");
        if (f->foreign) /* connectors need not tell types; the value's form they do */
            strbuf_addf(&l->shape, " %d", (int)f->phys);
    }
    return l->shape.data;
}

/* A letter of the table is held. */
static void park_table(struct letters *l, const char *schema, const char *table, const char *shape,
                       int64_t chain)
{
    struct parked_table *t = find_table(l, schema, table);
    if (t == NULL) {
        t = xcalloc(1, sizeof *t + strlen(schema) + strlen(table) + 2);
        t->len = strlen(schema) + strlen(table) + 2;
        memcpy(t->name, schema, strlen(schema));
        memcpy(t->name + strlen(schema) + 1, table, strlen(table));
        HASH_ADD_KEYPTR(hh, l->tables, t->name, t->len, t);
    }
    t->chain = chain;
    if (t->shape == NULL && shape != NULL)
        t->shape = xstrdup(shape);
    t->whole = t->whole || (shape != NULL && strcmp(t->shape, shape) != 0);
}

static void park(struct letters *l, const char *schema, const char *table, const void *key, size_t key_len,
                 int64_t chain)
{
    struct parked *p = find(l, schema, table, key, key_len);
    if (p != NULL) {
        p->chain = chain;
        return;
    }
    size_t len = strlen(schema) + strlen(table) + 2 + (key != NULL ? key_len : 0);
    p = xcalloc(1, sizeof *p + len + 1);
    p->len = len;
    p->chain = chain;
    memcpy(p->name, schema, strlen(schema));
    memcpy(p->name + strlen(schema) + 1, table, strlen(table));
    if (key != NULL)
        memcpy(p->name + len - key_len, key, key_len);
    HASH_ADD_KEYPTR(hh, l->keys, p->name, len, p);
}

static bool take_held(void *ctx, const struct dead_letter *letter, struct err *err)
{
    struct letters *l = ctx;
    (void)err;
    park_table(l, letter->schema_name, letter->table_name, letter->key_shape, letter->chain);
    park(l, letter->schema_name, letter->table_name, letter->key, letter->key_len, letter->chain);
    if (letter->other_key != NULL)
        park(l, letter->schema_name, letter->table_name, letter->other_key, letter->other_key_len,
             letter->chain);
    l->count++;
    return true;
}

bool letters_begin(struct letters *l, uint64_t fence_id, struct err *err)
{
    l->fence_id = fence_id;
    if (!l->stale)
        return true;
    forget_all(l);
    if (!l->ops->each(l->tgt, LETTERS_HELD, 0, take_held, l, err))
        return false;
    l->stale = false;
    return true;
}

/* May the item's key not be compared with those that are parked? */
static bool differs(struct letters *l, const struct parked_table *t, const struct item *it)
{
    return t->shape != NULL && strcmp(t->shape, shape_of(l, it)) != 0;
}

bool letters_parks(const struct letters *l, const struct item *it)
{
    struct letters *mine = (struct letters *)(uintptr_t)l; /* the scratch name alone changes */
    const struct table_schema *t = it->schema;
    const struct parked_table *table = find_table(mine, t->schema, t->table);
    if (table == NULL)
        return false;
    return table->whole || differs(mine, table, it) ||
           find(mine, t->schema, t->table, it->key, it->key_len) != NULL ||
           (it->other_key != NULL &&
            find(mine, t->schema, t->table, it->other_key, it->other_key_len) != NULL);
}

static void show_value(struct strbuf *out, const struct field *f, const struct datum *d)
{
    strbuf_addf(out, "%s%s=", out->len > 0 ? "," : "", f->name);
    if (d->state != DATUM_VALUE)
        strbuf_adds(out, "?");
    else if (f->phys == PHYS_STRING)
        strbuf_addf(out, "%.*s", (int)MIN_OF(d->s.len, 80U), d->s.p);
    else if (f->phys >= PHYS_BOOL && f->phys <= PHYS_INT64)
        strbuf_addf(out, "%" PRId64, d->i);
    else if (f->phys == PHYS_FLOAT32 || f->phys == PHYS_FLOAT64)
        strbuf_addf(out, "%.17g", d->f);
    else
        strbuf_adds(out, "…");
}

/* "id=5" of the item's key. */
static void show_key(struct strbuf *out, const struct item *it)
{
    const struct datum *row = it->row != NULL ? it->row : it->old;
    for (size_t i = 0; row != NULL && i < it->schema->key_count; i++)
        show_value(out, &it->schema->fields[it->schema->key_fields[i]], &row[it->schema->key_fields[i]]);
    if (out->len > 0)
        utf8_make_valid(out->data);
}

static void pack_headers(struct strbuf *out, const struct journal_record *rec)
{
    for (size_t i = 0; i < rec->header_count; i++) {
        strbuf_add(out, rec->headers[i].name, strlen(rec->headers[i].name) + 1);
        strbuf_add_be32(out, (uint32_t)rec->headers[i].value_len);
        strbuf_add(out, rec->headers[i].value, rec->headers[i].value_len);
    }
}

bool letters_record(const struct dead_letter *letter, struct journal_record *ret, struct err *err)
{
    *ret = (struct journal_record){.stream = letter->stream,
                                   .partition = letter->partition,
                                   .offset = letter->offset,
                                   .timestamp_ms = letter->timestamp_ms,
                                   .key = letter->record_key,
                                   .key_len = letter->record_key_len,
                                   .value = letter->value,
                                   .value_len = letter->value_len};
    const char *p = letter->headers;
    size_t left = letter->headers_len;
    while (left > 0) {
        size_t name = strnlen(p, left) + 1;
        if (name + 4 > left || ret->header_count == JOURNAL_HEADERS_MAX)
            break;
        const unsigned char *n = (const unsigned char *)p + name;
        size_t len = (size_t)n[0] << 24 | (size_t)n[1] << 16 | (size_t)n[2] << 8 | n[3];
        if (len > left - name - 4)
            break;
        ret->headers[ret->header_count++] =
            (struct journal_header){.name = p, .value = p + name + 4, .value_len = len};
        p += name + 4 + len;
        left -= name + 4 + len;
    }
    return left == 0 ||
           err_set(err, ERR_PROTOCOL, "dead letter %" PRId64 ": its headers do not parse", letter->id);
}

static bool check_room(const struct letters *l, const struct item *it, const struct err *why, struct err *err)
{
    if (l->ops == NULL)
        return err_set(err, ERR_UNSUPPORTED, "this target keeps no dead letters");
    if (l->count < l->max)
        return true;
    return err_set(
        err, ERR_SQL,
        "table=%s.%s lsn=" LSN_FMT ": %" PRIu64 " dead letters are held, as many as "
        "apply.max_dead_letters allows. Hint: `crossfade apply dlq list` shows them; mend the target, ask "
        "for a retry and start apply again%s%s",
        it->schema->schema, it->schema->table, LSN_ARGS(it->commit_lsn), l->count,
        why != NULL ? ". The last one: " : "", why != NULL ? why->text : "");
}

bool letters_tie(struct letters *l, int64_t from, int64_t into, struct err *err)
{
    struct parked *p, *next;
    if (from == into)
        return true;
    HASH_ITER(hh, l->keys, p, next)
    {
        if (p->chain == from)
            p->chain = into;
    }
    struct parked_table *t, *next_table;
    HASH_ITER(hh, l->tables, t, next_table)
    {
        if (t->chain == from)
            t->chain = into;
    }
    return l->ops->tie(l->tgt, from, into, err);
}

/* From now on the table is one chain. */
static bool tie_table(struct letters *l, struct parked_table *t, struct err *err)
{
    struct parked *p, *next;
    t->whole = true;
    HASH_ITER(hh, l->keys, p, next)
    {
        if (p->len >= t->len && memcmp(p->name, t->name, t->len) == 0 &&
            !letters_tie(l, p->chain, t->chain, err))
            return false;
    }
    return true;
}

/* The chain that the item belongs to, 0 = a new one. Two that it ties together become one. */
static bool find_chain(struct letters *l, const struct item *it, int64_t *ret, struct err *err)
{
    const struct table_schema *t = it->schema;
    struct parked_table *table = find_table(l, t->schema, t->table);
    if (table != NULL && !table->whole && differs(l, table, it)) {
        log_event(LOG_LEVEL_WARN, "table_parked",
                  "table=%s.%s lsn=" LSN_FMT
                  " text=\"the key was (%s) when dead letters were held, it is (%s) now: all "
                  "changes of the table wait behind them\"",
                  t->schema, t->table, LSN_ARGS(it->commit_lsn), table->shape, shape_of(l, it));
        if (!tie_table(l, table, err))
            return false;
    }
    if (table != NULL && table->whole) {
        *ret = table->chain;
        return true;
    }
    struct parked *p = find(l, t->schema, t->table, it->key, it->key_len), *other = NULL;
    if (it->other_key != NULL)
        other = find(l, t->schema, t->table, it->other_key, it->other_key_len);
    *ret = p != NULL ? p->chain : other != NULL ? other->chain : 0;
    return p == NULL || other == NULL || letters_tie(l, other->chain, p->chain, err);
}

static bool put(struct letters *l, const struct item *it, const struct err *why, int64_t *chain,
                struct err *err)
{
    const struct journal_record *rec = it->raw;
    struct strbuf shown = STRBUF_INIT(2000), headers = STRBUF_INIT(HEADERS_MAX_BYTES);
    char whole[ERR_WHOLE_MAX];
    int64_t id = 0;
    show_key(&shown, it);
    pack_headers(&headers, rec);
    struct dead_letter letter = {.chain = *chain,
                                 .schema_name = it->schema->schema,
                                 .table_name = it->schema->table,
                                 .op = (char)it->op,
                                 .key_shown = shown.len > 0 ? shown.data : NULL,
                                 .key = it->key,
                                 .key_len = it->key_len,
                                 .key_shape = shape_of(l, it),
                                 .other_key = it->other_key,
                                 .other_key_len = it->other_key_len,
                                 .stream = rec->stream,
                                 .partition = rec->partition,
                                 .offset = rec->offset,
                                 .timestamp_ms = rec->timestamp_ms,
                                 .record_key = rec->key,
                                 .record_key_len = rec->key_len,
                                 .value = rec->value,
                                 .value_len = rec->value_len,
                                 .headers = headers.data,
                                 .headers_len = headers.len,
                                 .commit_lsn = it->commit_lsn,
                                 .total_order = it->total_order,
                                 .fence_id = l->fence_id,
                                 .behind = why == NULL};
    if (why != NULL) {
        memcpy(letter.sqlstate, why->sqlstate, sizeof letter.sqlstate);
        letter.message = err_whole(why, whole);
    }
    bool ok = strbuf_ok(&headers, "headers of a dead letter", err) && l->ops->put(l->tgt, &letter, &id, err);
    if (ok && *chain == 0)
        *chain = id;
    if (ok)
        log_event(why != NULL ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "dead_letter",
                  "id=%" PRId64 " chain=%" PRId64 " table=%s.%s lsn=" LSN_FMT
                  " topic=%s partition=%d offset=%" PRIu64 " sqlstate=%s text=\"%s\"",
                  id, *chain, it->schema->schema, it->schema->table, LSN_ARGS(it->commit_lsn), rec->stream,
                  (int)rec->partition, rec->offset, letter.sqlstate,
                  why != NULL ? why->text : "behind another one");
    strbuf_release(&shown);
    strbuf_release(&headers);
    return ok;
}

bool letters_hold(struct letters *l, const struct item *it, const struct err *why, int64_t *ret_chain,
                  struct err *err)
{
    int64_t chain = 0;
    BUG_UNLESS(it->raw != NULL);
    l->stale = l->ops != NULL; /* until the commit */
    if (!check_room(l, it, why, err) || !find_chain(l, it, &chain, err) || !put(l, it, why, &chain, err))
        return false;
    park_table(l, it->schema->schema, it->schema->table, shape_of(l, it), chain);
    park(l, it->schema->schema, it->schema->table, it->key, it->key_len, chain);
    if (it->other_key != NULL)
        park(l, it->schema->schema, it->schema->table, it->other_key, it->other_key_len, chain);
    l->count++;
    if (ret_chain != NULL)
        *ret_chain = chain;
    return failpoint("apply.dead_letter", err);
}

bool letters_void(struct letters *l, const struct item *truncate, struct err *err)
{
    char reason[80] = "a new copy began";
    if (l->keys == NULL)
        return true;
    if (truncate != NULL)
        (void)snprintf(reason, sizeof reason, "TRUNCATE on the source at " LSN_FMT,
                       LSN_ARGS(truncate->commit_lsn));
    if (!l->ops->supersede(l->tgt, truncate != NULL ? truncate->schema->schema : NULL,
                           truncate != NULL ? truncate->schema->table : NULL, reason, err))
        return false;
    l->stale = true;
    if (!letters_begin(l, l->fence_id, err))
        return false;
    l->stale = true; /* until the commit */
    return true;
}
