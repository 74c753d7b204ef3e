#include "capture/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"

#define SPILL_MAGIC UINT64_C(0x43465350494c4c31)

struct spilled {
    uint64_t magic, bytes, records, bounds, markers, changes, tail_commit_lsn, fence_first;
};

struct cap_spill {
    char *dir;
    size_t max_memory_bytes, memory_bytes;
    struct cap_batch **held; /* in memory: all before those in the file */
    size_t held_count, held_first, held_cap;
    int fd; /* -1 = no file */
    off_t read_at, write_at;
    size_t in_file;
};

struct cap_spill *cap_spill_new(const char *dir, size_t max_memory_bytes)
{
    struct cap_spill *s = xcalloc(1, sizeof *s);
    s->dir = xstrdup(dir);
    s->max_memory_bytes = max_memory_bytes;
    s->fd = -1;
    return s;
}

void cap_spill_free(struct cap_spill *s)
{
    if (s == NULL)
        return;
    for (size_t i = s->held_first; i < s->held_count; i++)
        cap_batch_free(s->held[i]);
    free(s->held);
    if (s->fd >= 0)
        close(s->fd);
    free(s->dir);
    free(s);
}

size_t cap_spill_count(const struct cap_spill *s)
{
    return s->held_count - s->held_first + s->in_file;
}

static bool open_file(struct cap_spill *s, struct err *err)
{
    char *path CLEANUP(free_ptr) = xasprintf("%s/crossfade-spill-XXXXXX", s->dir);
    s->fd = mkostemp(path, O_CLOEXEC);
    if (s->fd < 0)
        return err_set_errno(err, errno, "spill file in %s (capture.spill_dir)", s->dir);
    (void)unlink(path);
    return true;
}

static bool write_all(struct cap_spill *s, const void *bytes, size_t len, struct err *err)
{
    const char *p = bytes;
    while (len > 0) {
        ssize_t n = pwrite(s->fd, p, len, s->write_at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set_errno(err, n < 0 ? errno : EIO, "writing the spill file in %s (capture.spill_dir)",
                                 s->dir);
        p += n;
        len -= (size_t)n;
        s->write_at += n;
    }
    return true;
}

static bool read_all(struct cap_spill *s, void *bytes, size_t len, struct err *err)
{
    char *p = bytes;
    while (len > 0) {
        ssize_t n = pread(s->fd, p, len, s->read_at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set_errno(err, n < 0 ? errno : EIO, "reading the spill file in %s (capture.spill_dir)",
                                 s->dir);
        p += n;
        len -= (size_t)n;
        s->read_at += n;
    }
    return true;
}

static bool spill_batch(struct cap_spill *s, struct cap_batch *b, struct err *err)
{
    struct spilled head = {SPILL_MAGIC,     b->bytes.len, b->record_count,   b->bound_count,
                           b->marker_count, b->changes,   b->tail_commit_lsn, b->fence_first};
    return (s->fd >= 0 || open_file(s, err)) && write_all(s, &head, sizeof head, err) &&
           write_all(s, b->bytes.data, b->bytes.len, err) &&
           write_all(s, b->records, b->record_count * sizeof *b->records, err) &&
           write_all(s, b->bounds, b->bound_count * sizeof *b->bounds, err) &&
           write_all(s, b->markers, b->marker_count * sizeof *b->markers, err);
}

static bool keep_in_memory(struct cap_spill *s, struct cap_batch *batch)
{
    size_t size = cap_batch_size(batch);
    if (s->in_file > 0 || s->memory_bytes + size > s->max_memory_bytes)
        return false;
    if (s->held_count == s->held_cap) {
        s->held_cap = s->held_cap ? s->held_cap * 2 : 16;
        s->held = xrealloc(s->held, s->held_cap * sizeof *s->held);
    }
    s->held[s->held_count++] = batch;
    s->memory_bytes += size;
    return true;
}

bool cap_spill_push(struct cap_spill *s, struct cap_batch *batch, struct cap_batch **ret_free,
                    struct err *err)
{
    *ret_free = NULL;
    if (keep_in_memory(s, batch))
        return true;
    if (!spill_batch(s, batch, err))
        return false;
    s->in_file++;
    cap_batch_clear(batch);
    *ret_free = batch;
    return true;
}

/* The last one was read: the space goes back. */
static bool empty_file(struct cap_spill *s, struct err *err)
{
    s->read_at = s->write_at = 0;
    if (ftruncate(s->fd, 0) != 0)
        return err_set_errno(err, errno, "spill file in %s", s->dir);
    return true;
}

static bool load_batch(struct cap_spill *s, struct cap_batch *b, struct err *err)
{
    struct spilled head;
    if (!read_all(s, &head, sizeof head, err))
        return false;
    if (head.magic != SPILL_MAGIC)
        return err_set(err, ERR_IO, "spill file in %s: damaged", s->dir);
    char *bytes = strbuf_reserve(&b->bytes, head.bytes);
    if (bytes == NULL)
        return err_set(err, ERR_NO_MEMORY, "spill file in %s: batch of %llu bytes", s->dir,
                       (unsigned long long)head.bytes);
    b->records = xrealloc(b->records, (head.records + 1) * sizeof *b->records);
    b->bounds = xrealloc(b->bounds, (head.bounds + 1) * sizeof *b->bounds);
    b->markers = xrealloc(b->markers, (head.markers + 1) * sizeof *b->markers);
    b->record_cap = head.records + 1;
    b->bound_cap = head.bounds + 1;
    if (!read_all(s, bytes, head.bytes, err) ||
        !read_all(s, b->records, head.records * sizeof *b->records, err) ||
        !read_all(s, b->bounds, head.bounds * sizeof *b->bounds, err) ||
        !read_all(s, b->markers, head.markers * sizeof *b->markers, err))
        return false;
    b->bytes.len += head.bytes;
    b->record_count = head.records;
    b->bound_count = head.bounds;
    b->marker_count = head.markers;
    b->changes = head.changes;
    b->tail_commit_lsn = head.tail_commit_lsn;
    b->fence_first = head.fence_first != 0;
    return true;
}

bool cap_spill_pop(struct cap_spill *s, struct cap_batch **ret, struct err *err)
{
    *ret = NULL;
    if (s->held_first < s->held_count) {
        *ret = s->held[s->held_first++];
        s->memory_bytes -= cap_batch_size(*ret);
        if (s->held_first == s->held_count)
            s->held_first = s->held_count = 0;
        return true;
    }
    if (s->in_file == 0)
        return true;
    struct cap_batch *b = cap_batch_new();
    if (!load_batch(s, b, err) || (--s->in_file == 0 && !empty_file(s, err))) {
        cap_batch_free(b);
        return false;
    }
    *ret = b;
    return true;
}
