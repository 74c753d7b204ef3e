/* Owns: external sorting of records. See spool.h. A record in the file: struct spooled, then stream, key,
 * value and headers one after another. The file never outlives the process, so its layout is the machine's.
 */
#include "apply/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apply/batch_internal.h"
#include "core/alloc.h"
#include "core/temp_file.h"

/* Read ahead per run while merging. */
#define WINDOW_BYTES ((size_t)64 << 10)
#define RECORD_MAX   ((size_t)2 << 30)

struct spooled {
    struct item at;       /* only what item_order() looks at */
    uint64_t total_bytes; /* all of the record, this struct included */
    uint64_t offset;
    int64_t timestamp_ms;
    int32_t partition;
    uint32_t stream_len; /* with NUL */
    uint64_t key_len, value_len;
    bool has_key, has_value;
    uint32_t header_count;
    struct {
        uint32_t name_len; /* with NUL */
        uint32_t value_len;
    } headers[JOURNAL_HEADERS_MAX];
};

struct run {
    uint64_t from, to; /* of the file, still to be read into the window */
    char *window;
    size_t window_cap, window_at, window_len;
};

struct spool {
    int fd;
    uint64_t file_bytes;
    size_t max_bytes;
    struct strbuf buffer; /* records of the run that is being filled */
    size_t *places;       /* of records in the buffer */
    size_t count, cap;
    struct run *runs;
    size_t run_count;
    size_t *heap; /* indexes of runs, smallest head first */
    size_t heap_count;
    bool advance; /* the heap's first run gave the last record */
};

void spool_close(struct spool *sp)
{
    if (sp == NULL)
        return;
    if (sp->fd >= 0)
        close(sp->fd);
    for (size_t i = 0; i < sp->run_count; i++)
        free(sp->runs[i].window);
    free(sp->runs);
    free(sp->places);
    free(sp->heap);
    strbuf_release(&sp->buffer);
    free(sp);
}

bool spool_open(size_t max_bytes, struct spool **ret, struct err *err)
{
    int fd = -1;
    if (!temp_file_open(&fd, err))
        return false;
    struct spool *sp = xcalloc(1, sizeof *sp);
    sp->fd = fd;
    sp->max_bytes = max_bytes;
    strbuf_init(&sp->buffer, max_bytes + RECORD_MAX);
    *ret = sp;
    return true;
}

/* glibc's qsort_r hands the buffer through. */
static int by_place(const void *a, const void *b, void *buffer)
{
    struct spooled x, y; /* the buffer is not aligned for them */
    memcpy(&x, (const char *)buffer + *(const size_t *)a, sizeof x);
    memcpy(&y, (const char *)buffer + *(const size_t *)b, sizeof y);
    return item_order(&x.at, &y.at);
}

static bool write_all(struct spool *sp, const char *bytes, size_t len, struct err *err)
{
    while (len > 0) {
        ssize_t n = pwrite(sp->fd, bytes, len, (off_t)sp->file_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, errno, "temporary file of %llu bytes",
                                 (unsigned long long)sp->file_bytes);
        bytes += n;
        len -= (size_t)n;
        sp->file_bytes += (uint64_t)n;
    }
    return true;
}

static bool write_run(struct spool *sp, struct err *err)
{
    struct run run = {.from = sp->file_bytes};
    struct strbuf out = STRBUF_INIT(RECORD_MAX + WINDOW_BYTES);
    bool ok = true;
    qsort_r(sp->places, sp->count, sizeof *sp->places, by_place, sp->buffer.data);
    for (size_t i = 0; ok && i < sp->count; i++) {
        struct spooled head;
        memcpy(&head, sp->buffer.data + sp->places[i], sizeof head);
        strbuf_add(&out, sp->buffer.data + sp->places[i], head.total_bytes);
        if (out.len >= WINDOW_BYTES || i + 1 == sp->count) {
            ok = strbuf_ok(&out, "record", err) && write_all(sp, out.data, out.len, err);
            strbuf_clear(&out);
        }
    }
    strbuf_release(&out);
    run.to = sp->file_bytes;
    sp->runs = xrealloc(sp->runs, (sp->run_count + 1) * sizeof *sp->runs);
    sp->runs[sp->run_count++] = run;
    strbuf_clear(&sp->buffer);
    sp->count = 0;
    return ok;
}

static void describe(const struct journal_record *rec, const struct item *at, struct spooled *ret)
{
    *ret = (struct spooled){
        .at = {.commit_lsn = at->commit_lsn, .total_order = at->total_order, .op = at->op, .seq = at->seq},
        .offset = rec->offset,
        .timestamp_ms = rec->timestamp_ms,
        .partition = rec->partition,
        .stream_len = (uint32_t)strlen(rec->stream) + 1,
        .key_len = rec->key_len,
        .value_len = rec->value_len,
        .has_key = rec->key != NULL,
        .has_value = rec->value != NULL,
        .header_count = (uint32_t)rec->header_count};
    ret->total_bytes = sizeof *ret + ret->stream_len + rec->key_len + rec->value_len;
    for (size_t i = 0; i < rec->header_count; i++) {
        ret->headers[i].name_len = (uint32_t)strlen(rec->headers[i].name) + 1;
        ret->headers[i].value_len = (uint32_t)rec->headers[i].value_len;
        ret->total_bytes += ret->headers[i].name_len + rec->headers[i].value_len;
    }
}

bool spool_add(struct spool *sp, const struct journal_record *rec, const struct item *at, struct err *err)
{
    struct spooled head;
    describe(rec, at, &head);
    if (sp->count == sp->cap) {
        sp->cap = sp->cap == 0 ? 1024 : 2 * sp->cap;
        sp->places = xrealloc(sp->places, sp->cap * sizeof *sp->places);
    }
    sp->places[sp->count++] = sp->buffer.len;
    strbuf_add(&sp->buffer, &head, sizeof head);
    strbuf_add(&sp->buffer, rec->stream, head.stream_len);
    strbuf_add(&sp->buffer, rec->key, rec->key_len);
    strbuf_add(&sp->buffer, rec->value, rec->value_len);
    for (size_t i = 0; i < rec->header_count; i++) {
        strbuf_add(&sp->buffer, rec->headers[i].name, head.headers[i].name_len);
        strbuf_add(&sp->buffer, rec->headers[i].value, rec->headers[i].value_len);
    }
    if (!strbuf_ok(&sp->buffer, "run of records", err))
        return false;
    return sp->buffer.len < sp->max_bytes || write_run(sp, err);
}

/* Makes sure that `want` bytes stand in the window from window_at on (fewer at the run's end). */
static bool fill_window(struct spool *sp, struct run *run, size_t want, struct err *err)
{
    size_t have = run->window_len - run->window_at;
    if (have >= want)
        return true;
    if (run->window_at > 0)
        memmove(run->window, run->window + run->window_at, have);
    run->window_at = 0;
    run->window_len = have;
    size_t target = MAX_OF(want, WINDOW_BYTES);
    if (run->window_cap < target) {
        run->window = xrealloc(run->window, target);
        run->window_cap = target;
    }
    while (run->window_len < run->window_cap && run->from < run->to) {
        size_t most = MIN_OF(run->window_cap - run->window_len, run->to - run->from);
        ssize_t n = pread(sp->fd, run->window + run->window_len, most, (off_t)run->from);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set_errno(err, n < 0 ? errno : EIO, "temporary file");
        run->window_len += (size_t)n;
        run->from += (uint64_t)n;
    }
    return run->window_len >= want || err_set(err, ERR_BUG, "temporary file ends inside a record");
}

static bool run_ended(const struct run *run)
{
    return run->window_at == run->window_len && run->from == run->to;
}

static bool load_head(struct spool *sp, struct run *run, struct err *err)
{
    struct spooled head;
    if (!fill_window(sp, run, sizeof head, err))
        return false;
    memcpy(&head, run->window + run->window_at, sizeof head);
    return fill_window(sp, run, head.total_bytes, err);
}

static bool before(const struct spool *sp, size_t a, size_t b)
{
    struct spooled x, y;
    memcpy(&x, sp->runs[a].window + sp->runs[a].window_at, sizeof x);
    memcpy(&y, sp->runs[b].window + sp->runs[b].window_at, sizeof y);
    return item_order(&x.at, &y.at) < 0;
}

static void sift_down(struct spool *sp, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < sp->heap_count; i = child) {
        if (child + 1 < sp->heap_count && before(sp, sp->heap[child + 1], sp->heap[child]))
            child++;
        if (!before(sp, sp->heap[child], sp->heap[i]))
            return;
        size_t other = sp->heap[child];
        sp->heap[child] = sp->heap[i];
        sp->heap[i] = other;
    }
}

bool spool_finish(struct spool *sp, struct err *err)
{
    if (sp->count > 0 && !write_run(sp, err))
        return false;
    strbuf_release(&sp->buffer);
    sp->heap = xcalloc(sp->run_count + 1, sizeof *sp->heap);
    for (size_t i = 0; i < sp->run_count; i++) {
        if (!load_head(sp, &sp->runs[i], err))
            return false;
        sp->heap[sp->heap_count++] = i;
    }
    for (size_t i = sp->heap_count; i > 0; i--)
        sift_down(sp, i - 1);
    return true;
}

/* The record that the last call gave is passed; its run finds a new place, or ends. */
static bool leave_record(struct spool *sp, struct err *err)
{
    struct run *run = &sp->runs[sp->heap[0]];
    struct spooled head;
    memcpy(&head, run->window + run->window_at, sizeof head);
    run->window_at += head.total_bytes;
    if (run_ended(run)) {
        free(run->window);
        run->window = NULL;
        sp->heap[0] = sp->heap[--sp->heap_count];
    } else if (!load_head(sp, run, err)) {
        return false;
    }
    sift_down(sp, 0);
    return true;
}

static void unfold(const char *p, struct journal_record *ret)
{
    struct spooled head;
    memcpy(&head, p, sizeof head);
    p += sizeof head;
    *ret = (struct journal_record){.stream = p,
                                   .partition = head.partition,
                                   .offset = head.offset,
                                   .timestamp_ms = head.timestamp_ms,
                                   .header_count = head.header_count};
    p += head.stream_len;
    ret->key = head.has_key ? p : NULL;
    ret->key_len = head.key_len;
    p += head.key_len;
    ret->value = head.has_value ? p : NULL;
    ret->value_len = head.value_len;
    p += head.value_len;
    for (size_t i = 0; i < head.header_count; i++) {
        ret->headers[i].name = p;
        p += head.headers[i].name_len;
        ret->headers[i].value = p;
        ret->headers[i].value_len = head.headers[i].value_len;
        p += head.headers[i].value_len;
    }
}

bool spool_next(struct spool *sp, struct journal_record *ret, bool *ret_more, struct err *err)
{
    if (sp->advance && !leave_record(sp, err))
        return false;
    sp->advance = sp->heap_count > 0;
    *ret_more = sp->advance;
    if (sp->advance)
        unfold(sp->runs[sp->heap[0]].window + sp->runs[sp->heap[0]].window_at, ret);
    return true;
}
