/* The embedded journal's writer: units of records into the log, in bounded write transactions. See
 * lmdb.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "journal/lmdb/lmdb.h"

static struct lmdb_writer *writer_of(struct journal_writer *jw)
{
    return (struct lmdb_writer *)jw;
}

/* --- opening --- */

static bool busy(int fd, const char *path, struct err *err)
{
    char pid[32] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? n : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    return err_set(
        err, ERR_BUSY,
        "lmdb journal %s has a writer already (pid %s): only one capture per pipeline may run; stop that one",
        path, pid[0] != '\0' ? pid : "unknown");
}

bool lmdb_lock_writer(const char *path, int *ret_fd, struct err *err)
{
    char *name CLEANUP(free_ptr) = xasprintf("%s/writer.lock", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_set_errno(err, errno, "lmdb journal: opening %s", name);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int saved = errno;
        if (saved == EWOULDBLOCK)
            busy(fd, path, err);
        else
            err_set_errno(err, saved, "lmdb journal: locking %s", name);
        close(fd);
        return false;
    }
    char pid[32]; /* for people: whether it can be written decides nothing */
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, pid, (size_t)len, 0);
    *ret_fd = fd;
    return true;
}

static struct lmdb_stream *add_stream(struct lmdb_writer *w, const char *name,
                                      const struct lmdb_stream_row *row)
{
    if (w->stream_count == w->stream_cap) {
        w->stream_cap = w->stream_cap != 0 ? w->stream_cap * 2 : 64;
        w->streams = xrealloc(w->streams, w->stream_cap * sizeof *w->streams);
    }
    struct lmdb_stream *s = &w->streams[w->stream_count];
    *s = (struct lmdb_stream){.name = xstrdup(name), .row = *row, .unit_first = row->next_offset};
    name_map_put(w->names, name, (int)w->stream_count++);
    return s;
}

static bool load_streams(struct lmdb_writer *w, MDB_txn *txn, struct err *err)
{
    for (uint32_t id = 0;; id++) {
        struct lmdb_stream_row row;
        const char *name;
        bool found;
        if (!lmdb_row_get(w->env, txn, id, &row, &name, &found, err))
            return false;
        if (!found)
            return true;
        add_stream(w, name, &row);
    }
}

static bool load_state(struct lmdb_writer *w, const struct journal_config *config, bool *ret_fresh,
                       struct err *err)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(w->env->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "opening", err);
    bool found = false;
    bool ok = lmdb_meta_get(w->env, txn, &w->meta, &found, err) &&
              (!found || (lmdb_meta_check(w->env, &w->meta, config, err) && load_streams(w, txn, err)));
    mdb_txn_abort(txn);
    *ret_fresh = !found;
    return ok;
}

static bool begin(struct lmdb_writer *w, struct err *err)
{
    if (w->txn != NULL)
        return true;
    int rc = mdb_txn_begin(w->env->env, NULL, 0, &w->txn);
    if (rc != 0) {
        w->txn = NULL;
        return lmdb_fail(w->env, rc, "beginning a unit", err);
    }
    rc = mdb_cursor_open(w->txn, w->env->log, &w->log_cursor);
    w->txn_bytes = 0;
    return rc == 0 || lmdb_fail(w->env, rc, "beginning a unit", err);
}

/* LMDB closes a write transaction's cursors with it. */
static bool end(struct lmdb_writer *w, const char *what, struct err *err)
{
    MDB_txn *txn = w->txn;
    w->txn = NULL;
    w->log_cursor = NULL;
    int rc = mdb_txn_commit(txn);
    return rc == 0 || lmdb_fail(w->env, rc, what, err);
}

static bool init_meta(struct lmdb_writer *w, const struct journal_config *config, struct err *err)
{
    w->meta = (struct lmdb_meta){.magic = LMDB_MAGIC,
                                 .format = LMDB_FORMAT,
                                 .visible_seq = 1,
                                 .first_seq = 1,
                                 .created_us = clock_wall_us()};
    (void)snprintf(w->meta.pipeline, sizeof w->meta.pipeline, "%s", config->pipeline);
    (void)snprintf(w->meta.topic_prefix, sizeof w->meta.topic_prefix, "%s", config->topic_prefix);
    return begin(w, err) && lmdb_writer_put_rows(w, w->txn, err) && end(w, "making the journal", err);
}

static void lmdb_close(struct journal_writer *jw)
{
    struct lmdb_writer *w = writer_of(jw);
    if (w->txn != NULL)
        mdb_txn_abort(w->txn);
    lmdb_env_release(w->env);
    if (w->lock_fd >= 0)
        close(w->lock_fd);
    for (size_t i = 0; i < w->stream_count; i++)
        free(w->streams[i].name);
    free(w->streams);
    free(w->touched);
    free(w->ranges);
    name_map_free(w->names);
    free(w);
}

static bool open_state(struct lmdb_writer *w, const struct journal_config *config, struct err *err)
{
    bool fresh = false;
    int dead = 0;
    (void)mdb_reader_check(w->env->env, &dead);
    if (!load_state(w, config, &fresh, err) || (fresh && !init_meta(w, config, err)) ||
        (!fresh && !lmdb_writer_cut_tail(w, err)))
        return false;
    w->next_seq = w->meta.visible_seq;
    return true;
}

static bool lmdb_open(const struct journal_config *config, struct journal_writer **ret, struct err *err)
{
    const char *path = lmdb_url_path(config->url);
    struct lmdb_env *env;
    if (!lmdb_env_acquire(path, true, &env, err))
        return false;
    struct lmdb_writer *w = xcalloc(1, sizeof *w);
    w->base.ops = &lmdb_writer_ops;
    w->env = env;
    w->lock_fd = -1;
    w->keep_ms = config->retention_ms;
    w->names = name_map_new();
    if (!lmdb_lock_writer(path, &w->lock_fd, err) || !open_state(w, config, err)) {
        lmdb_close(&w->base);
        return false;
    }
    *ret = &w->base;
    return true;
}

/* --- streams and rows --- */

static bool put_row(struct lmdb_writer *w, MDB_txn *txn, uint32_t id, struct err *err)
{
    const struct lmdb_stream *s = &w->streams[id];
    uint64_t row_id = (uint64_t)id + 1;
    MDB_val key = {sizeof row_id, &row_id};
    MDB_val val = {sizeof s->row + s->row.name_len + 1, NULL};
    int rc = mdb_put(txn, w->env->streams, &key, &val, MDB_RESERVE);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "writing a stream's row", err);
    memcpy(val.mv_data, &s->row, sizeof s->row);
    memcpy((char *)val.mv_data + sizeof s->row, s->name, s->row.name_len + 1);
    return true;
}

bool lmdb_writer_put_rows(struct lmdb_writer *w, MDB_txn *txn, struct err *err)
{
    for (size_t i = 0; i < w->touched_count; i++) {
        if (!put_row(w, txn, w->touched[i], err))
            return false;
    }
    uint64_t id = LMDB_META_KEY;
    MDB_val key = {sizeof id, &id}, val = {sizeof w->meta, &w->meta};
    int rc = mdb_put(txn, w->env->streams, &key, &val, 0);
    return rc == 0 || lmdb_fail(w->env, rc, "writing the meta row", err);
}

void lmdb_writer_touch(struct lmdb_writer *w, uint32_t id)
{
    struct lmdb_stream *s = &w->streams[id];
    if (s->touched)
        return;
    if (w->touched_count == w->touched_cap) {
        w->touched_cap = w->touched_cap != 0 ? w->touched_cap * 2 : 64;
        w->touched = xrealloc(w->touched, w->touched_cap * sizeof *w->touched);
    }
    w->touched[w->touched_count++] = id;
    s->touched = true;
    s->unit_first = s->row.next_offset;
}

static bool lmdb_stream(struct journal_writer *jw, const char *name, enum stream_kind kind, int *ret_id,
                        struct err *err)
{
    struct lmdb_writer *w = writer_of(jw);
    int id = name_map_get(w->names, name);
    if (id >= 0) {
        if (w->streams[id].row.kind != (uint32_t)kind)
            return err_set(err, ERR_IDENTITY, "lmdb journal %s: stream %s exists with another kind",
                           w->env->path, name);
        *ret_id = id;
        return true;
    }
    if (!begin(w, err))
        return false;
    struct lmdb_stream_row row = {.kind = (uint32_t)kind, .name_len = (uint32_t)strlen(name)};
    id = (int)w->stream_count;
    add_stream(w, name, &row);
    lmdb_writer_touch(w, (uint32_t)id);
    *ret_id = id;
    return true;
}

/* --- units --- */

/* A part of the unit goes to disk; readers do not see it yet. The meta page need not be synced: if it gets
 * lost, the journal is as it was before, and a later commit syncs both. */
static bool end_part(struct lmdb_writer *w, struct err *err)
{
    (void)mdb_env_set_flags(w->env->env, MDB_NOMETASYNC, 1);
    bool ok = end(w, "writing part of a unit", err);
    (void)mdb_env_set_flags(w->env->env, MDB_NOMETASYNC, 0);
    return ok && failpoint("journal.lmdb.part", err);
}

static bool append_data(struct lmdb_writer *w, uint32_t id, const struct journal_record *rec, size_t size,
                        struct err *err)
{
    struct lmdb_stream *s = &w->streams[id];
    uint64_t offset = s->row.next_offset;
    bool indexed = offset == s->unit_first || offset % LMDB_INDEX_EVERY == 0;
    MDB_val key = {sizeof w->next_seq, &w->next_seq}, val = {size, NULL};
    int rc = mdb_cursor_put(w->log_cursor, &key, &val, MDB_APPEND | MDB_RESERVE);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "appending", err);
    lmdb_record_write(val.mv_data, id, offset, indexed ? LMDB_RECORD_INDEXED : 0, rec);
    if (indexed) {
        struct lmdb_at_key at;
        lmdb_at_key_make(&at, id, offset);
        MDB_val at_key = {sizeof at, &at}, at_val = {sizeof w->next_seq, &w->next_seq};
        rc = mdb_put(w->txn, w->env->at, &at_key, &at_val, 0);
        if (rc != 0)
            return lmdb_fail(w->env, rc, "writing the index", err);
    }
    w->next_seq++;
    return true;
}

static bool append_forever(struct lmdb_writer *w, uint32_t id, const struct journal_record *rec, size_t size,
                           struct err *err)
{
    struct lmdb_stream *s = &w->streams[id];
    struct lmdb_forever_head head = {.log_seq = w->next_seq, .wall_ms = clock_wall_us() / 1000};
    struct lmdb_at_key at;
    lmdb_at_key_make(&at, id, s->row.next_offset);
    MDB_val key = {sizeof at, &at}, val = {sizeof head + size, NULL};
    int rc = mdb_put(w->txn, w->env->at, &key, &val, MDB_RESERVE);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "appending", err);
    memcpy(val.mv_data, &head, sizeof head);
    lmdb_record_write((char *)val.mv_data + sizeof head, id, s->row.next_offset, 0, rec);
    return true;
}

static bool record_fits(const struct lmdb_writer *w, uint32_t id, const struct journal_record *rec,
                        size_t size, struct err *err)
{
    if (rec->partition > 0)
        return err_set(err, ERR_BUG, "lmdb journal: partition=%d of topic=%s, there is only 0",
                       (int)rec->partition, w->streams[id].name);
    if (size > LMDB_RECORD_MAX)
        return err_set(err, ERR_DATA,
                       "lmdb journal %s: a record of %zu bytes, at most %zu are possible: topic=%s",
                       w->env->path, size, LMDB_RECORD_MAX, w->streams[id].name);
    return true;
}

/* PostgreSQL's rows end before LMDB's limit. */
static bool lmdb_fits(struct journal_writer *jw, int stream_id, const struct journal_record *rec)
{
    (void)jw;
    (void)stream_id;
    return lmdb_record_size(rec) <= LMDB_RECORD_MAX;
}

static bool lmdb_append(struct journal_writer *jw, int stream_id, const struct journal_record *rec,
                        struct err *err)
{
    struct lmdb_writer *w = writer_of(jw);
    uint32_t id = (uint32_t)stream_id;
    BUG_UNLESS(id < w->stream_count);
    size_t size = lmdb_record_size(rec);
    if (!record_fits(w, id, rec, size, err) || !begin(w, err))
        return false;
    struct journal_record stamped;
    if (rec->timestamp_ms == 0) {
        stamped = *rec;
        stamped.timestamp_ms = clock_wall_us() / 1000;
        rec = &stamped;
    }
    lmdb_writer_touch(w, id);
    struct lmdb_stream *s = &w->streams[id];
    if (!(s->row.kind == STREAM_DATA ? append_data(w, id, rec, size, err)
                                     : append_forever(w, id, rec, size, err)))
        return false;
    s->row.next_offset++;
    s->row.bytes += size;
    w->txn_bytes += size;
    return w->txn_bytes < LMDB_PART_BYTES || end_part(w, err);
}

static bool lmdb_flush(struct journal_writer *jw, const struct journal_range **ret_ranges, size_t *ret_count,
                       struct err *err)
{
    struct lmdb_writer *w = writer_of(jw);
    if (w->range_cap < w->touched_count) {
        w->range_cap = w->touched_cap;
        w->ranges = xrealloc(w->ranges, w->range_cap * sizeof *w->ranges);
    }
    size_t count = 0;
    for (size_t i = 0; i < w->touched_count; i++) {
        const struct lmdb_stream *s = &w->streams[w->touched[i]];
        if (s->unit_first < s->row.next_offset)
            w->ranges[count++] = (struct journal_range){
                .stream = s->name, .first_offset = s->unit_first, .next_offset = s->row.next_offset};
    }
    *ret_ranges = w->ranges;
    *ret_count = count;
    return true;
}

static void forget_touched(struct lmdb_writer *w)
{
    for (size_t i = 0; i < w->touched_count; i++) {
        struct lmdb_stream *s = &w->streams[w->touched[i]];
        s->touched = false;
        s->unit_first = s->row.next_offset;
    }
    w->touched_count = 0;
}

static bool lmdb_commit(struct journal_writer *jw, struct err *err)
{
    struct lmdb_writer *w = writer_of(jw);
    if (w->touched_count == 0 && w->txn == NULL)
        return true;
    w->meta.visible_seq = w->next_seq;
    if (!begin(w, err) || !lmdb_writer_put_rows(w, w->txn, err) || !failpoint("journal.lmdb.commit", err) ||
        !end(w, "committing", err))
        return false;
    forget_touched(w);
    lmdb_notify(w->env);
    return failpoint("journal.lmdb.committed", err);
}

static void lmdb_numbers(struct journal_writer *jw, struct journal_numbers *ret)
{
    const struct lmdb_writer *w = writer_of(jw);
    struct stat st;
    int fd = -1;
    ret->records = (int64_t)(w->meta.visible_seq - w->meta.first_seq);
    if (mdb_env_get_fd(w->env->env, &fd) == 0 && fstat(fd, &st) == 0)
        ret->bytes = (int64_t)st.st_blocks * 512;
}

const struct journal_writer_ops lmdb_writer_ops = {
    .name = "lmdb",
    .open = lmdb_open,
    .stream = lmdb_stream,
    .append = lmdb_append,
    .fits = lmdb_fits,
    .flush = lmdb_flush,
    .commit = lmdb_commit,
    .trim = lmdb_writer_trim,
    .numbers = lmdb_numbers,
    .close = lmdb_close,
};

const struct journal_impl journal_impl_lmdb = {.scheme = "lmdb",
                                               .writer = &lmdb_writer_ops,
                                               .reader = &lmdb_reader_ops,
                                               .parts = lmdb_parts,
                                               .remove_part = lmdb_remove_part};
