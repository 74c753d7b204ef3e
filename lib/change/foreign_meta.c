/* Owns: the transaction topic of Debezium's connectors (provide.transaction.metadata), read. See foreign.h. */
#include <stdlib.h>
#include <string.h>

#include "change/avro_schema.h"
#include "change/avro_wire.h"
#include "change/foreign_internal.h"
#include "change/json_read.h"
#include "core/alloc.h"

#define COLLECTIONS_MAX 100000

struct meta {
    struct span status, id;
    int64_t ts_ms;
    struct foreign_count *counts;
    size_t count, cap;
};

static bool is_text(struct span s, const char *text)
{
    return s.p != NULL && s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

static bool bad(struct err *err, const char *why)
{
    return err_set(err, ERR_PROTOCOL, "a record of the transaction topic does not parse: %s", why);
}

static bool add_count(struct meta *m, struct arena *arena, struct span name, int64_t changes)
{
    if (m->count == m->cap) {
        size_t cap = m->cap == 0 ? 8 : 2 * m->cap;
        struct foreign_count *more = cap <= COLLECTIONS_MAX ? arena_alloc(arena, cap * sizeof *more) : NULL;
        if (more == NULL)
            return false;
        if (m->count > 0)
            memcpy(more, m->counts, m->count * sizeof *more);
        m->counts = more;
        m->cap = cap;
    }
    const char *text = name.p != NULL && changes >= 0 ? arena_copy(arena, name.p, name.len) : NULL;
    if (text != NULL)
        m->counts[m->count++] = (struct foreign_count){.collection = text, .changes = (uint64_t)changes};
    return text != NULL;
}

/* --- identities --- */

uint64_t foreign_hash(struct span text)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.p[i]) * UINT64_C(1099511628211);
    return hash != 0 ? hash : 1;
}

/* Number of digits that it begins with. */
static size_t digits(struct span s)
{
    size_t n = 0;
    while (n < s.len && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    return n;
}

/* PostgreSQL's "xid:lsn"; MySQL's GTIDs have colons as well ("uuid:5", "uuid:tag:5"), but no number before the first. */
static size_t xid_length(struct span id)
{
    size_t n = digits(id);
    return n > 0 && n < id.len && id.p[n] == ':' ? n : 0;
}

uint64_t foreign_transaction(struct span id)
{
    size_t xid = xid_length(id);
    return foreign_hash((struct span){id.p, xid > 0 ? xid : id.len});
}

/* The digits before `end`; false when there are none. */
static bool last_number(const char *text, const char *end, const char **ret_begin, uint64_t *ret)
{
    const char *p = end;
    uint64_t v = 0;
    while (p > text && p[-1] >= '0' && p[-1] <= '9')
        p--;
    for (const char *q = p; q < end; q++)
        v = v * 10 + (uint64_t)(*q - '0');
    *ret_begin = p;
    *ret = v;
    return p < end && end - p < 20;
}

bool foreign_gtid(struct span id, uint64_t *ret_domain, uint64_t *ret_number)
{
    const char *p, *end = id.p + id.len;
    uint64_t server;
    size_t domain = digits(id);
    if (domain == 0 || domain >= id.len || id.p[domain] != '-' || !last_number(id.p, end, &p, ret_number) ||
        p == id.p || p[-1] != '-')
        return false;
    *ret_domain = foreign_hash((struct span){id.p, domain});
    return last_number(id.p, p - 1, &p, &server) && p == id.p + domain + 1;
}

/* PostgreSQL: "xid:lsn" (of an END: where the commit ended). MariaDB: "domain-server-number"; MySQL: "uuid:number" or
 * "uuid:tag:number". Without GTIDs: "file=name.000001,pos=123". */
bool foreign_order(struct span id, uint64_t *ret_domain, uint64_t *ret_order, bool *ret_rises)
{
    const char *end = id.p + id.len, *p;
    uint64_t file;
    *ret_domain = 0;
    *ret_rises = xid_length(id) > 0;
    if (!last_number(id.p, end, &p, ret_order) || p == id.p)
        return false;
    if (p[-1] == '=') {
        const char *comma = memrchr(id.p, ',', (size_t)(p - id.p));
        if (comma == NULL || !last_number(id.p, comma, &p, &file))
            return false;
        *ret_order |= file << 40;
        return true;
    }
    if (*ret_rises)
        return p[-1] == ':';
    if (foreign_gtid(id, ret_domain, ret_order))
        return true;
    *ret_domain = foreign_hash((struct span){id.p, (size_t)(p - 1 - id.p)});
    return p[-1] == ':' && p - 1 > id.p;
}

static bool finish(const struct meta *m, struct foreign_event *ret, struct err *err)
{
    if (m->id.p == NULL || m->id.len == 0 || (!is_text(m->status, "BEGIN") && !is_text(m->status, "END")))
        return bad(err, "status or id is missing or unknown");
    *ret = (struct foreign_event){.kind = is_text(m->status, "END") ? FOREIGN_END : FOREIGN_BEGIN,
                                  .transaction = foreign_transaction(m->id),
                                  .counts = m->counts,
                                  .count_count = m->count};
    if (ret->kind == FOREIGN_END && !foreign_order(m->id, &ret->domain, &ret->order, &ret->rises))
        return bad(err, "the id is neither of PostgreSQL, nor a GTID, nor a place in the binlog");
    return !__builtin_mul_overflow(m->ts_ms, 1000, &ret->end_us) || bad(err, "ts_ms is out of range");
}

/* --- JSON --- */

static bool name_is(const char *name, size_t len, const char *text)
{
    return strlen(text) == len && memcmp(name, text, len) == 0;
}

static void take_span(struct json_reader *jr, struct span *ret)
{
    *ret = (struct span){0};
    if (!json_take_null(jr))
        json_take_string(jr, &ret->p, &ret->len);
}

static void take_collection(struct json_reader *jr, struct meta *m)
{
    struct span collection = {0};
    int64_t changes = 0;
    const char *name;
    size_t len;
    bool first = true;
    if (json_take_null(jr))
        return;
    json_open(jr, '{');
    while (json_member(jr, &first, &name, &len)) {
        if (name_is(name, len, "data_collection"))
            take_span(jr, &collection);
        else if (name_is(name, len, "event_count"))
            changes = json_take_int(jr);
        else
            json_skip(jr);
    }
    if (jr->failed == NULL && !add_count(m, jr->arena, collection, changes))
        json_fail(jr, "data_collections");
}

static void take_collections(struct json_reader *jr, struct meta *m)
{
    bool first = true;
    if (json_take_null(jr))
        return;
    json_open(jr, '[');
    while (json_element(jr, &first))
        take_collection(jr, m);
}

bool foreign_meta_json(const void *body, size_t len, struct arena *arena, struct foreign_event *ret,
                       struct err *err)
{
    struct meta m = {.count = 0};
    struct json_reader jr;
    const char *name;
    size_t name_len;
    bool first = true;
    json_reader_init(&jr, body, len, arena);
    json_open(&jr, '{');
    while (json_member(&jr, &first, &name, &name_len)) {
        if (name_is(name, name_len, "status"))
            take_span(&jr, &m.status);
        else if (name_is(name, name_len, "id"))
            take_span(&jr, &m.id);
        else if (name_is(name, name_len, "ts_ms"))
            m.ts_ms = json_take_int(&jr);
        else if (name_is(name, name_len, "data_collections"))
            take_collections(&jr, &m);
        else
            json_skip(&jr);
    }
    json_end(&jr);
    return jr.failed != NULL ? bad(err, jr.failed) : finish(&m, ret, err);
}

/* --- Avro --- */

/* The value's node, with its union dealt with; NULL: null (or a failure). */
static const struct avro_node *enter(struct avro_cursor *c, const struct avro_node *node)
{
    if (node->kind != AVRO_KIND_UNION)
        return node;
    int64_t branch = get_long(c);
    if (branch < 0 || (uint64_t)branch >= node->count) {
        cursor_fail(c, "union branch out of range");
        return NULL;
    }
    node = node->items[branch];
    return node->kind != AVRO_KIND_NULL ? node : NULL;
}

static void read_span(struct avro_cursor *c, const struct avro_node *node, struct span *ret)
{
    *ret = (struct span){0};
    if (node == NULL)
        return;
    if (node->kind != AVRO_KIND_STRING)
        cursor_fail(c, "a text has another type");
    ret->p = get_bytes(c, &ret->len);
    if (ret->p != NULL && !utf8_valid(ret->p, ret->len))
        cursor_fail(c, "text is not valid UTF-8");
}

static int64_t read_number(struct avro_cursor *c, const struct avro_node *node)
{
    if (node != NULL && node->kind != AVRO_KIND_LONG && node->kind != AVRO_KIND_INT)
        cursor_fail(c, "a number has another type");
    return node != NULL ? get_long(c) : 0;
}

static void read_collection(struct avro_cursor *c, const struct avro_node *node, struct arena *arena,
                            struct meta *m)
{
    struct span collection = {0};
    int64_t changes = 0;
    if (node == NULL || node->kind != AVRO_KIND_RECORD) {
        cursor_fail(c, "data_collections");
        return;
    }
    for (size_t i = 0; i < node->count && c->failed == NULL; i++) {
        const struct avro_node *value = enter(c, node->items[i]);
        if (strcmp(node->names[i], "data_collection") == 0)
            read_span(c, value, &collection);
        else if (strcmp(node->names[i], "event_count") == 0)
            changes = read_number(c, value);
        else
            cursor_fail(c, "data_collections");
    }
    if (c->failed == NULL && !add_count(m, arena, collection, changes))
        cursor_fail(c, "data_collections");
}

static void read_collections(struct avro_cursor *c, const struct avro_node *node, struct arena *arena,
                             struct meta *m)
{
    if (node == NULL)
        return;
    if (node->kind != AVRO_KIND_ARRAY) {
        cursor_fail(c, "data_collections");
        return;
    }
    for (int64_t count = get_long(c); count != 0 && c->failed == NULL; count = get_long(c)) {
        if (count < 0) {
            (void)get_long(c); /* size of the block */
            count = count == INT64_MIN ? INT64_MAX : -count;
        }
        for (; count > 0 && c->failed == NULL; count--)
            read_collection(c, enter(c, node->items[0]), arena, m);
    }
}

bool foreign_meta_avro(struct foreign_schema *schema, const void *body, size_t len, struct arena *arena,
                       struct foreign_event *ret, struct err *err)
{
    struct meta m = {.count = 0};
    if (schema->meta == NULL && !avro_record_parse(schema->text, (struct avro_record **)&schema->meta, err))
        return false;
    const struct avro_node *root = avro_record_root(schema->meta);
    struct avro_cursor c = {.p = body, .end = (const uint8_t *)body + len};
    for (size_t i = 0; i < root->count && c.failed == NULL; i++) {
        const struct avro_node *value = enter(&c, root->items[i]);
        if (strcmp(root->names[i], "status") == 0)
            read_span(&c, value, &m.status);
        else if (strcmp(root->names[i], "id") == 0)
            read_span(&c, value, &m.id);
        else if (strcmp(root->names[i], "data_collections") == 0)
            read_collections(&c, value, arena, &m);
        else if (strcmp(root->names[i], "ts_ms") == 0)
            m.ts_ms = read_number(&c, value);
        else
            (void)read_number(&c, value);
    }
    if (c.failed == NULL && c.p != c.end)
        cursor_fail(&c, "bytes are left over");
    return c.failed != NULL ? bad(err, c.failed) : finish(&m, ret, err);
}

void foreign_meta_free(void *meta)
{
    avro_record_free(meta);
}
