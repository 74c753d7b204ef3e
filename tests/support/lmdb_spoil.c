/*
 * lmdb-spoil FOLDER COMMAND…: damages an embedded journal on purpose, behind the pipeline's back (tests of `journal verify`).
 *
 *   drop STREAM OFFSET             the record is gone
 *   truncate STREAM OFFSET         the record keeps its head alone: it does not parse
 *   replace STREAM OFFSET FROM     the record has the content of the one at FROM
 *   swap STREAM OFFSET OTHER       the two records have changed places
 *   append STREAM FROM             a copy of the record at FROM is the new last one of its stream
 *   edit STREAM OFFSET OLD NEW     OLD is NEW in the record's value (of the same length)
 *
 * No writer may have the journal open.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "journal/lmdb/lmdb.h"

static MDB_txn *txn;
static struct lmdb_env *env;

static void check(int rc, const char *what)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "%s: %s\n", what, mdb_strerror(rc));
    exit(1);
}

static uint32_t find_stream(const char *name, struct lmdb_stream_row *row)
{
    struct err err = ERR_INIT;
    for (uint32_t id = 0;; id++) {
        const char *found_name;
        bool found;
        if (!lmdb_row_get(env, txn, id, row, &found_name, &found, &err) || !found) {
            (void)fprintf(stderr, "no stream %s\n", name);
            exit(1);
        }
        if (row->name_len == strlen(name) && memcmp(found_name, name, row->name_len) == 0)
            return id;
    }
}

/* The record with its key in its database; bytes are copied. */
struct found {
    MDB_dbi dbi;
    size_t head; /* bytes before the record itself */
    size_t key_len, len;
    unsigned char key[16];
    unsigned char *bytes;
};

static bool is_it(const struct found *f, const MDB_val *val, uint32_t id, uint64_t offset)
{
    struct lmdb_record_head head;
    return lmdb_record_head((const char *)val->mv_data + f->head, val->mv_size - f->head, &head) &&
           head.stream == id && head.offset == offset;
}

static struct found find(const char *stream, uint64_t offset)
{
    struct lmdb_stream_row row;
    uint32_t id = find_stream(stream, &row);
    bool forever = row.kind == STREAM_FOREVER;
    struct found f = {.dbi = forever ? env->at : env->log,
                      .head = forever ? sizeof(struct lmdb_forever_head) : 0};
    MDB_cursor *cursor;
    MDB_val key, val;
    check(mdb_cursor_open(txn, f.dbi, &cursor), "cursor");
    int rc = mdb_cursor_get(cursor, &key, &val, MDB_FIRST);
    while (rc == 0 && (val.mv_size <= f.head || !is_it(&f, &val, id, offset)))
        rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
    check(rc, "looking for the record");
    f.key_len = key.mv_size;
    memcpy(f.key, key.mv_data, key.mv_size);
    f.len = val.mv_size;
    f.bytes = xmalloc(val.mv_size);
    memcpy(f.bytes, val.mv_data, val.mv_size);
    mdb_cursor_close(cursor);
    return f;
}

static void put(const struct found *at, const void *bytes, size_t len)
{
    MDB_val key = {at->key_len, (void *)at->key}, val = {len, (void *)bytes};
    check(mdb_put(txn, at->dbi, &key, &val, 0), "put");
}

static void set_offset(struct found *f, uint64_t offset)
{
    struct lmdb_record_head head;
    memcpy(&head, f->bytes + f->head, sizeof head);
    head.offset = offset;
    memcpy(f->bytes + f->head, &head, sizeof head);
}

static void drop(const char *stream, uint64_t offset)
{
    struct found f = find(stream, offset);
    MDB_val key = {f.key_len, f.key};
    check(mdb_del(txn, f.dbi, &key, NULL), "delete");
    free(f.bytes);
}

static void replace(const char *stream, uint64_t offset, uint64_t from)
{
    struct found to = find(stream, offset), source = find(stream, from);
    set_offset(&source, offset);
    put(&to, source.bytes, source.len);
    free(to.bytes);
    free(source.bytes);
}

static void swap(const char *stream, uint64_t offset, uint64_t other)
{
    struct found a = find(stream, offset), b = find(stream, other);
    set_offset(&a, other);
    set_offset(&b, offset);
    put(&a, b.bytes, b.len);
    put(&b, a.bytes, a.len);
    free(a.bytes);
    free(b.bytes);
}

static void edit(const char *stream, uint64_t offset, const char *old, const char *new)
{
    struct found f = find(stream, offset);
    unsigned char *at = memmem(f.bytes, f.len, old, strlen(old));
    if (at == NULL || strlen(old) != strlen(new)) {
        (void)fprintf(stderr, "%s is not in the record, or not as long as %s\n", old, new);
        exit(1);
    }
    memcpy(at, new, strlen(new));
    put(&f, f.bytes, f.len);
    free(f.bytes);
}

/* A data stream's record goes behind the log's last one, a forever stream's behind its own. */
static void append(const char *stream, uint64_t from)
{
    struct found f = find(stream, from);
    struct lmdb_stream_row row;
    struct lmdb_meta meta;
    struct err err = ERR_INIT;
    uint32_t id = find_stream(stream, &row);
    uint64_t row_key = (uint64_t)id + 1, meta_key = LMDB_META_KEY;
    bool found;
    MDB_val key = {sizeof row_key, &row_key}, val;
    if (!lmdb_meta_get(env, txn, &meta, &found, &err) || !found)
        exit(1);
    set_offset(&f, row.next_offset);
    if (f.head == 0) {
        memcpy(f.key, &meta.visible_seq, sizeof meta.visible_seq);
        meta.visible_seq++;
    } else {
        lmdb_at_key_make((struct lmdb_at_key *)f.key, id, row.next_offset);
    }
    put(&f, f.bytes, f.len);
    check(mdb_get(txn, env->streams, &key, &val), "row");
    char *whole = xmalloc(val.mv_size);
    memcpy(whole, val.mv_data, val.mv_size);
    row.next_offset++;
    memcpy(whole, &row, sizeof row);
    val.mv_data = whole;
    check(mdb_put(txn, env->streams, &key, &val, 0), "row");
    key.mv_data = &meta_key;
    val = (MDB_val){sizeof meta, &meta};
    check(mdb_put(txn, env->streams, &key, &val, 0), "meta");
    free(whole);
    free(f.bytes);
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    if (argc < 5 || !lmdb_env_acquire(argv[1], false, &env, &err)) {
        (void)fprintf(stderr, "lmdb-spoil: %s\n", argc < 5 ? "see the head of lmdb_spoil.c" : err.text);
        return 2;
    }
    check(mdb_txn_begin(env->env, NULL, 0, &txn), "begin");
    if (strcmp(argv[2], "drop") == 0) {
        drop(argv[3], number(argv[4]));
    } else if (strcmp(argv[2], "truncate") == 0) {
        struct found f = find(argv[3], number(argv[4]));
        put(&f, f.bytes, f.head + sizeof(struct lmdb_record_head));
        free(f.bytes);
    } else if (strcmp(argv[2], "append") == 0) {
        append(argv[3], number(argv[4]));
    } else if (strcmp(argv[2], "replace") == 0 && argc == 6) {
        replace(argv[3], number(argv[4]), number(argv[5]));
    } else if (strcmp(argv[2], "swap") == 0 && argc == 6) {
        swap(argv[3], number(argv[4]), number(argv[5]));
    } else if (strcmp(argv[2], "edit") == 0 && argc == 7) {
        edit(argv[3], number(argv[4]), argv[5], argv[6]);
    } else {
        return 2;
    }
    check(mdb_txn_commit(txn), "commit");
    lmdb_env_release(env);
    return 0;
}
