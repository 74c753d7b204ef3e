/*
 * Owns: the order of a copy's steps. See snapshot.h. Failpoints: capture.slot_before, capture.slot_created,
 * capture.snapshot_begun, capture.snapshot_copied.
 */
#include "capture/snapshot.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "capture/copy_work.h"
#include "capture/setup.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"

#define SHOW_INTERVAL_MS 250
/* Without statistics: rows in a block. */
#define ROWS_PER_BLOCK_GUESS 50

int64_t cap_chunk_blocks(int64_t blocks, int64_t rows, int64_t chunk_rows)
{
    if (blocks <= 0)
        return 1;
    int64_t per_block = rows < 0 ? ROWS_PER_BLOCK_GUESS : rows / blocks;
    int64_t chunk = chunk_rows / (per_block > 0 ? per_block : 1);
    return chunk < 1 ? 1 : chunk;
}

/* --- the slot --- */

struct watch {
    int stop_fd, done_fd;
    struct pg_conn *conn;
};

/* Creating a slot waits for transactions that may run for hours: a stop ends the wait. */
static void *watch_main(void *arg)
{
    struct watch *w = arg;
    struct pollfd fds[2] = {{.fd = w->stop_fd, .events = POLLIN}, {.fd = w->done_fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    while ((fds[1].revents & POLLIN) == 0) { /* again and again: the first may come before the command runs */
        pg_cancel(w->conn);
        while (poll(&fds[1], 1, 200) < 0 && errno == EINTR)
            ;
    }
    return NULL;
}

static bool create_slot(struct cap_session *s, struct repl_slot *ret, struct err *err)
{
    struct watch watch = {s->stop_fd, eventfd(0, EFD_CLOEXEC), s->stream};
    pthread_t thread;
    uint64_t one = 1;
    BUG_UNLESS(watch.done_fd >= 0 && pthread_create(&thread, NULL, watch_main, &watch) == 0);
    bool ok = repl_create_slot(s->stream, s->settings->slot, false, ret, err);
    ssize_t n = write(watch.done_fd, &one, sizeof one);
    BUG_UNLESS(n == sizeof one);
    pthread_join(thread, NULL);
    close(watch.done_fd);
    if (!ok && cap_stop_asked(s))
        return err_set(err, ERR_INTERRUPTED, "stopped while the slot was being created");
    return ok || err_wrap(err, "slot %s", s->settings->slot);
}

static bool make_slot(struct cap_session *s, struct repl_slot *ret, struct err *err)
{
    struct source_slot old;
    if (!cap_slot_free(s, &old, err) || (old.exists && !source_slot_drop(s->sql, s->settings->slot, err)))
        return false;
    log_event(LOG_LEVEL_INFO, "slot_create", "slot=%s text=\"waits for the transactions that run now\"",
              s->settings->slot);
    return failpoint("capture.slot_before", err) && create_slot(s, ret, err) &&
           failpoint("capture.slot_created", err);
}

/* --- the tables --- */

static bool load_parts(struct cap_session *s, struct err *err)
{
    for (size_t i = 0; i < s->tables.count; i++) {
        if (!source_table_parts(s->sql, &s->tables.items[i], err))
            return err_wrap(err, "table=%s.%s", s->tables.items[i].schema, s->tables.items[i].name);
    }
    return true;
}

struct part_mark {
    uint32_t oid, file_node;
};

static struct part_mark *mark_parts(const struct cap_session *s, size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < s->tables.count; i++)
        count += s->tables.items[i].part_count;
    struct part_mark *marks = xcalloc(count + 1, sizeof *marks);
    count = 0;
    for (size_t i = 0; i < s->tables.count; i++) {
        for (size_t p = 0; p < s->tables.items[i].part_count; p++)
            marks[count++] =
                (struct part_mark){s->tables.items[i].parts[p].oid, s->tables.items[i].parts[p].file_node};
    }
    *ret_count = count;
    return marks;
}

/* Between the first look and the lock, before or after the slot's point, nothing may have been rewritten: a
 * rewrite is not seen by older snapshots, the rows would be missing from the copy and from the stream. */
static bool lock_and_check(struct cap_session *s, struct err *err)
{
    size_t before_count, after_count;
    struct part_mark *before = mark_parts(s, &before_count);
    bool ok = pg_exec(s->sql, "BEGIN", err) && cap_copy_lock(s, s->sql, err) && load_parts(s, err);
    struct part_mark *after = mark_parts(s, &after_count);
    if (ok && (before_count != after_count || memcmp(before, after, before_count * sizeof *before) != 0))
        ok = err_set(err, ERR_TRANSIENT,
                     "a table was rewritten, truncated, attached or detached while the copy began: "
                     "the copy starts again");
    free(before);
    free(after);
    return ok;
}

/* --- chunks --- */

static void add_chunks(struct cap_copy *copy, size_t table, size_t part, int64_t chunk_rows)
{
    const struct source_part *p = &copy->session->tables.items[table].parts[part];
    int64_t step = cap_chunk_blocks(p->blocks, p->rows_estimate, chunk_rows);
    for (int64_t block = 0; block == 0 || block < p->blocks; block += step) {
        bool last = block + step >= p->blocks;
        copy->chunks = xrealloc(copy->chunks, (copy->chunk_count + 1) * sizeof *copy->chunks);
        copy->chunks[copy->chunk_count++] = (struct cap_chunk){table, part, block, last ? -1 : block + step};
        atomic_fetch_add(&copy->chunks_left[table], 1);
    }
}

static void copy_init(struct cap_copy *copy, struct cap_session *s, const struct repl_slot *slot)
{
    size_t tables = s->tables.count;
    *copy =
        (struct cap_copy){.session = s, .snapshot = slot->snapshot, .consistent_lsn = slot->consistent_lsn};
    copy->started_us = clock_wall_us();
    copy->rows = xcalloc(tables + 1, sizeof *copy->rows);
    copy->chunks_left = xcalloc(tables + 1, sizeof *copy->chunks_left);
    copy->conns = xcalloc((size_t)s->settings->snapshot_workers, sizeof(struct pg_conn *));
    pthread_mutex_init(&copy->lock, NULL);
    for (size_t t = 0; t < tables; t++) {
        for (size_t p = 0; p < s->tables.items[t].part_count; p++)
            add_chunks(copy, t, p, s->settings->chunk_rows);
    }
}

static void copy_release(struct cap_copy *copy)
{
    pthread_mutex_destroy(&copy->lock);
    free(copy->chunks);
    free(copy->rows);
    free(copy->chunks_left);
    free(copy->conns);
}

/* --- showing it --- */

static void init_table_status(const struct cap_session *s, struct table_status *tables)
{
    for (size_t i = 0; i < s->tables.count; i++) {
        const struct source_table *t = &s->tables.items[i];
        char *name CLEANUP(free_ptr) = xasprintf("%s.%s", t->schema, t->name);
        memcpy(tables[i].name, name, strnlen(name, sizeof tables[i].name - 1));
        for (size_t p = 0; p < t->part_count; p++)
            tables[i].rows_estimate +=
                t->parts[p].rows_estimate > 0 ? (uint64_t)t->parts[p].rows_estimate : 0;
    }
}

static void show(struct cap_session *s, struct cap_copy *copy, struct table_status *tables)
{
    struct role_status *st = s->status;
    st->snapshot_rows = st->snapshot_rows_estimate = 0;
    for (size_t i = 0; i < s->tables.count; i++) {
        tables[i].rows = atomic_load(&copy->rows[i]);
        tables[i].done = atomic_load(&copy->chunks_left[i]) == 0;
        st->snapshot_rows += tables[i].rows;
        st->snapshot_rows_estimate +=
            tables[i].done ? tables[i].rows : MAX_OF(tables[i].rows_estimate, tables[i].rows);
    }
    st->tables = tables;
    st->table_count = s->tables.count;
    cap_status_show(s, PHASE_SNAPSHOT);
    st->tables = NULL;
    st->table_count = 0;
}

/* --- running it --- */

static void wait_for_workers(struct cap_session *s, struct cap_copy *copy, struct table_status *tables)
{
    struct cap_progress progress;
    bool aborted = false;
    int64_t shown_us = 0;
    while (atomic_load(&copy->running) > 0) {
        struct pollfd stop = {.fd = s->stop_fd, .events = POLLIN};
        (void)poll(&stop, aborted ? 0 : 1, aborted ? 20 : 10);
        cap_publisher_progress(s->publisher, &progress);
        if (!aborted && (cap_stop_asked(s) || progress.failed || atomic_load(&copy->abort))) {
            cap_copy_abort(copy, s->settings->snapshot_workers);
            aborted = true;
        }
        if (clock_mono_us() - shown_us >= SHOW_INTERVAL_MS * 1000) {
            shown_us = clock_mono_us();
            show(s, copy, tables);
        }
    }
}

static bool run_workers(struct cap_session *s, struct cap_copy *copy, struct err *err)
{
    int count = s->settings->snapshot_workers;
    struct cap_copy_worker *workers = xcalloc((size_t)count, sizeof *workers);
    struct table_status *tables = xcalloc(s->tables.count + 1, sizeof *tables);
    init_table_status(s, tables);
    atomic_store(&copy->running, count);
    for (int i = 0; i < count; i++) {
        workers[i] = (struct cap_copy_worker){.copy = copy, .index = i};
        BUG_UNLESS(pthread_create(&workers[i].thread, NULL, cap_copy_worker_main, &workers[i]) == 0);
    }
    wait_for_workers(s, copy, tables);
    for (int i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    show(s, copy, tables);
    free(workers);
    free(tables);
    if (cap_stop_asked(s))
        return err_set(err, ERR_INTERRUPTED, "stopped during the copy");
    if (!err_is_set(&copy->first_err))
        return true;
    *err = copy->first_err;
    return false;
}

static bool copy_tables(struct cap_session *s, const struct repl_slot *slot, struct err *err)
{
    struct cap_copy copy;
    copy_init(&copy, s, slot);
    log_event(LOG_LEVEL_INFO, "snapshot_begin",
              "attempt=%llu lsn=" LSN_FMT " tables=%zu chunks=%zu workers=%d",
              (unsigned long long)s->status->attempt, LSN_ARGS(slot->consistent_lsn), s->tables.count,
              copy.chunk_count, s->settings->snapshot_workers);
    s->status->snapshot_started_us = copy.started_us;
    s->status->snapshot_finished_us = 0;
    bool ok = run_workers(s, &copy, err);
    copy_release(&copy);
    if (!ok)
        return false;
    s->status->snapshot_finished_us = clock_wall_us();
    log_event(LOG_LEVEL_INFO, "snapshot_end", "rows=%llu seconds=%.1f",
              (unsigned long long)s->status->snapshot_rows,
              (double)(s->status->snapshot_finished_us - s->status->snapshot_started_us) / 1e6);
    return true;
}

/* A copy that failed starts over with a slot of its own: this one would only hold back WAL, perhaps for long.
 */
static void drop_slot(struct cap_session *s)
{
    struct err ignored = ERR_INIT; /* whatever stays is dropped by the next copy */
    if (pg_exec(s->sql, "ROLLBACK", &ignored))
        (void)!source_slot_drop(s->sql, s->settings->slot, &ignored);
}

static bool copy_everything(struct cap_session *s, const struct repl_slot *slot, struct err *err)
{
    return lock_and_check(s, err) &&
           cap_publisher_fence(s->publisher, FENCE_SNAPSHOT_BEGIN, slot->consistent_lsn, 0, false, err) &&
           failpoint("capture.snapshot_begun", err) && copy_tables(s, slot, err) &&
           pg_exec(s->sql, "ROLLBACK", err) && failpoint("capture.snapshot_copied", err);
}

bool cap_snapshot_run(struct cap_session *s, lsn_t *ret_lsn, struct err *err)
{
    struct repl_slot slot;
    if (!cap_setup_publication(s, err) || !load_parts(s, err) || !make_slot(s, &slot, err))
        return false;
    if (!copy_everything(s, &slot, err)) {
        drop_slot(s);
        return err_wrap(err, "snapshot");
    }
    /* From here on the slot stays, whatever happens: the fence may be durable although its commit seems to
     * have failed. */
    if (!cap_publisher_fence(s->publisher, FENCE_STREAM, slot.consistent_lsn, s->status->snapshot_started_us,
                             true, err))
        return err_wrap(err, "snapshot");
    *ret_lsn = slot.consistent_lsn;
    return true;
}
