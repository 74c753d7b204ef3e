/*
 * A decorator for tests: fails, delays or kills at the n-th call of a slot, and passes everything else on.
 *
 *   fault:SLOT:N:ACTION[@COUNTER]:URL
 *
 * SLOT: open stream append flush commit trim list bounds assign next confirm; any = all of these, write = the
 * writer's (with its open), read = the reader's. N counts from 1; 0 never comes, it only counts. ACTION:
 * error (ERR_INJECTED instead of the call), error_after (after the call succeeded), delay=MS, kill (SIGKILL
 * to self before the call). Calls count over the life of the process, across reopening. With a COUNTER file
 * they count across processes too: two 64-bit little-endian numbers, calls made and times fired. A run that
 * meets no failure is one that leaves fired at 0. The URL behind may be another fault:.
 *
 * @thread: as the journal behind it; counters are atomic.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "journal_impl.h"

enum slot {
    SLOT_OPEN_WRITER = 0,
    SLOT_STREAM,
    SLOT_APPEND,
    SLOT_FLUSH,
    SLOT_COMMIT,
    SLOT_TRIM,
    SLOT_OPEN_READER,
    SLOT_LIST,
    SLOT_BOUNDS,
    SLOT_ASSIGN,
    SLOT_NEXT,
    SLOT_CONFIRM,
    SLOT_MAX_
};

#define BIT(slot) (1u << (slot))

static const struct {
    const char *name;
    unsigned mask;
} slot_names[] = {
    {"open", BIT(SLOT_OPEN_WRITER) | BIT(SLOT_OPEN_READER)},
    {"stream", BIT(SLOT_STREAM)},
    {"append", BIT(SLOT_APPEND)},
    {"flush", BIT(SLOT_FLUSH)},
    {"commit", BIT(SLOT_COMMIT)},
    {"trim", BIT(SLOT_TRIM)},
    {"list", BIT(SLOT_LIST)},
    {"bounds", BIT(SLOT_BOUNDS)},
    {"assign", BIT(SLOT_ASSIGN)},
    {"next", BIT(SLOT_NEXT)},
    {"confirm", BIT(SLOT_CONFIRM)},
    {"any", BIT(SLOT_MAX_) - 1},
    {"write", BIT(SLOT_OPEN_READER) - 1},
    {"read", (BIT(SLOT_MAX_) - 1) & ~(BIT(SLOT_OPEN_READER) - 1)},
};

static const char *const call_names[SLOT_MAX_] = {
    [SLOT_OPEN_WRITER] = "open", [SLOT_STREAM] = "stream", [SLOT_APPEND] = "append",
    [SLOT_FLUSH] = "flush",      [SLOT_COMMIT] = "commit", [SLOT_TRIM] = "trim",
    [SLOT_OPEN_READER] = "open", [SLOT_LIST] = "list",     [SLOT_BOUNDS] = "bounds",
    [SLOT_ASSIGN] = "assign",    [SLOT_NEXT] = "next",     [SLOT_CONFIRM] = "confirm",
};

enum action { ACTION_ERROR = 0, ACTION_ERROR_AFTER, ACTION_DELAY, ACTION_KILL };

struct counter {
    _Atomic uint64_t calls, fired;
};

/* One per fault: URL, kept for the life of the process. */
struct fault {
    char *url;
    const char *inner; /* inside url */
    unsigned mask;
    uint64_t n;
    enum action action;
    int delay_ms;
    struct counter own, *counter;
    struct fault *next;
};

struct fault_writer {
    struct journal_writer base;
    struct fault *fault;
    struct journal_writer *inner;
};

struct fault_reader {
    struct journal_reader base;
    struct fault *fault;
    struct journal_reader *inner;
};

static pthread_mutex_t faults_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault *faults;

/* --- the URL --- */

static bool bad_url(const char *url, struct err *err)
{
    return err_set(err, ERR_CONFIG, "journal url \"%s\" is not fault:SLOT:N:ACTION[@COUNTER]:URL", url);
}

static bool parse_action(struct fault *f, char *text)
{
    char *end;
    if (strcmp(text, "error") == 0)
        f->action = ACTION_ERROR;
    else if (strcmp(text, "error_after") == 0)
        f->action = ACTION_ERROR_AFTER;
    else if (strcmp(text, "kill") == 0)
        f->action = ACTION_KILL;
    else if (strncmp(text, "delay=", 6) == 0) {
        f->action = ACTION_DELAY;
        f->delay_ms = (int)strtol(text + 6, &end, 10);
        return *end == '\0' && end != text + 6;
    } else
        return false;
    return true;
}

static bool parse_slot(struct fault *f, const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(slot_names); i++) {
        if (strcmp(slot_names[i].name, text) == 0)
            f->mask = slot_names[i].mask;
    }
    return f->mask != 0;
}

static bool map_counter(struct fault *f, const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_set_errno(err, errno, "fault journal: opening counter %s", path);
    void *map = MAP_FAILED;
    if (ftruncate(fd, sizeof *f->counter) == 0)
        map = mmap(NULL, sizeof *f->counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int saved = errno;
    close(fd);
    if (map == MAP_FAILED)
        return err_set_errno(err, saved, "fault journal: mapping counter %s", path);
    f->counter = map;
    return true;
}

static bool parse_url(struct fault *f, struct err *err)
{
    char *copy CLEANUP(free_ptr) = xstrdup(f->url);
    char *part[4], *rest = copy;
    for (size_t i = 0; i < ARRAY_LEN(part); i++)
        part[i] = strsep(&rest, ":"); /* "fault", slot, n, action */
    if (rest == NULL)
        return bad_url(f->url, err);
    f->inner = f->url + (rest - copy);
    char *end, *counter = strchr(part[3], '@');
    if (counter != NULL)
        *counter++ = '\0';
    f->n = strtoull(part[2], &end, 10);
    if (*end != '\0' || part[2][0] == '\0' || !parse_slot(f, part[1]) || !parse_action(f, part[3]))
        return bad_url(f->url, err);
    f->counter = &f->own;
    return counter == NULL || map_counter(f, counter, err);
}

static bool find_fault(const char *url, struct fault **ret, struct err *err)
{
    pthread_mutex_lock(&faults_lock);
    struct fault *f = faults;
    while (f != NULL && strcmp(f->url, url) != 0)
        f = f->next;
    bool ok = true;
    if (f == NULL) {
        f = xcalloc(1, sizeof *f);
        f->url = xstrdup(url);
        ok = parse_url(f, err);
        if (ok) {
            f->next = faults;
            faults = f;
        } else {
            free(f->url);
            free(f);
        }
    }
    pthread_mutex_unlock(&faults_lock);
    if (ok)
        *ret = f;
    return ok;
}

/* --- firing --- */

/* True: this is the call. */
static bool is_due(struct fault *f, enum slot slot)
{
    if ((f->mask & BIT(slot)) == 0)
        return false;
    if (atomic_fetch_add(&f->counter->calls, 1) + 1 != f->n)
        return false;
    atomic_fetch_add(&f->counter->fired, 1);
    return true;
}

static bool injected(const struct fault *f, enum slot slot, struct err *err)
{
    return err_set(err, ERR_INJECTED, "fault journal: %s, call %llu", call_names[slot],
                   (unsigned long long)f->n);
}

/* False: the call is to fail without being made. *ret_after: it is to fail when it was made. */
static bool before(struct fault *f, enum slot slot, bool *ret_after, struct err *err)
{
    *ret_after = false;
    if (!is_due(f, slot))
        return true;
    switch (f->action) {
    case ACTION_ERROR:
        return injected(f, slot, err);
    case ACTION_ERROR_AFTER:
        *ret_after = true;
        return true;
    case ACTION_DELAY: {
        struct timespec ts = {.tv_sec = f->delay_ms / 1000, .tv_nsec = (long)(f->delay_ms % 1000) * 1000000};
        (void)nanosleep(&ts, NULL);
        return true;
    }
    case ACTION_KILL:
        (void)kill(getpid(), SIGKILL);
        break;
    }
    return true;
}

#define FAULT_CALL(f, slot, call)                                                                            \
    do {                                                                                                     \
        bool after;                                                                                          \
        if (!before(f, slot, &after, err) || !(call))                                                        \
            return false;                                                                                    \
        return !after || injected(f, slot, err);                                                             \
    } while (0)

/* --- writer --- */

static struct fault_writer *fw_of(struct journal_writer *jw)
{
    return (struct fault_writer *)jw;
}

static void fault_close(struct journal_writer *jw)
{
    journal_writer_close(fw_of(jw)->inner);
    free(jw);
}

static void fault_numbers(struct journal_writer *jw, struct journal_numbers *ret)
{
    journal_writer_numbers(fw_of(jw)->inner, ret);
}

static const struct journal_writer_ops fault_writer_ops;

static bool fault_open(const struct journal_config *config, struct journal_writer **ret, struct err *err)
{
    struct fault *f;
    bool after;
    if (!find_fault(config->url, &f, err) || !before(f, SLOT_OPEN_WRITER, &after, err))
        return false;
    struct journal_config inner = *config;
    inner.url = f->inner;
    struct journal_writer *jw;
    if (!journal_writer_open(&inner, &jw, err))
        return false;
    if (after) {
        journal_writer_close(jw);
        return injected(f, SLOT_OPEN_WRITER, err);
    }
    struct fault_writer *fw = xcalloc(1, sizeof *fw);
    *fw = (struct fault_writer){.base = {.ops = &fault_writer_ops, .id = jw->id}, .fault = f, .inner = jw};
    *ret = &fw->base;
    return true;
}

static bool fault_stream(struct journal_writer *jw, const char *name, enum stream_kind kind, int *ret_id,
                         struct err *err)
{
    FAULT_CALL(fw_of(jw)->fault, SLOT_STREAM, journal_stream(fw_of(jw)->inner, name, kind, ret_id, err));
}

static bool fault_append(struct journal_writer *jw, int stream_id, const struct journal_record *rec,
                         struct err *err)
{
    FAULT_CALL(fw_of(jw)->fault, SLOT_APPEND, journal_append(fw_of(jw)->inner, stream_id, rec, err));
}

static bool fault_fits(struct journal_writer *jw, int stream_id, const struct journal_record *rec)
{
    struct journal_writer *inner = fw_of(jw)->inner;
    return inner->ops->fits(inner, stream_id, rec);
}

static bool fault_flush(struct journal_writer *jw, const struct journal_range **ret_ranges, size_t *ret_count,
                        struct err *err)
{
    FAULT_CALL(fw_of(jw)->fault, SLOT_FLUSH, journal_flush(fw_of(jw)->inner, ret_ranges, ret_count, err));
}

static bool fault_commit(struct journal_writer *jw, struct err *err)
{
    FAULT_CALL(fw_of(jw)->fault, SLOT_COMMIT, journal_commit(fw_of(jw)->inner, err));
}

static bool fault_trim(struct journal_writer *jw, struct err *err)
{
    FAULT_CALL(fw_of(jw)->fault, SLOT_TRIM, journal_trim(fw_of(jw)->inner, err));
}

static const struct journal_writer_ops fault_writer_ops = {
    .name = "fault",
    .open = fault_open,
    .stream = fault_stream,
    .append = fault_append,
    .fits = fault_fits,
    .flush = fault_flush,
    .commit = fault_commit,
    .trim = fault_trim,
    .numbers = fault_numbers,
    .close = fault_close,
};

/* --- reader --- */

static struct fault_reader *fr_of(struct journal_reader *jr)
{
    return (struct fault_reader *)jr;
}

static void fault_reader_close(struct journal_reader *jr)
{
    journal_reader_close(fr_of(jr)->inner);
    free(jr);
}

static const struct journal_reader_ops fault_reader_ops;

static bool fault_reader_open(const struct journal_config *config, const char *reader_name,
                              struct journal_reader **ret, struct err *err)
{
    struct fault *f;
    bool after;
    if (!find_fault(config->url, &f, err) || !before(f, SLOT_OPEN_READER, &after, err))
        return false;
    struct journal_config inner = *config;
    inner.url = f->inner;
    struct journal_reader *jr;
    if (!journal_reader_open(&inner, reader_name, &jr, err))
        return false;
    if (after) {
        journal_reader_close(jr);
        return injected(f, SLOT_OPEN_READER, err);
    }
    struct fault_reader *fr = xcalloc(1, sizeof *fr);
    *fr = (struct fault_reader){.base.ops = &fault_reader_ops, .fault = f, .inner = jr};
    *ret = &fr->base;
    return true;
}

static bool fault_list(struct journal_reader *jr,
                       void (*each)(void *ctx, const struct journal_stream_info *info), void *ctx,
                       struct err *err)
{
    FAULT_CALL(fr_of(jr)->fault, SLOT_LIST, journal_list(fr_of(jr)->inner, each, ctx, err));
}

static bool fault_position(struct journal_reader *jr, const char *stream, int32_t partition, uint64_t *ret)
{
    return journal_position(fr_of(jr)->inner, stream, partition, ret);
}

static bool fault_bounds(struct journal_reader *jr, const char *stream, int32_t partition,
                         uint64_t *ret_first, uint64_t *ret_next, struct err *err)
{
    FAULT_CALL(fr_of(jr)->fault, SLOT_BOUNDS,
               journal_bounds(fr_of(jr)->inner, stream, partition, ret_first, ret_next, err));
}

static bool fault_assign(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                         struct err *err)
{
    FAULT_CALL(fr_of(jr)->fault, SLOT_ASSIGN, journal_assign(fr_of(jr)->inner, ranges, count, err));
}

static enum journal_next fault_next(struct journal_reader *jr, int timeout_ms, struct journal_record *ret,
                                    struct err *err)
{
    struct fault *f = fr_of(jr)->fault;
    bool after;
    if (!before(f, SLOT_NEXT, &after, err))
        return JOURNAL_ERROR;
    enum journal_next got = journal_next(fr_of(jr)->inner, timeout_ms, ret, err);
    if (after && got != JOURNAL_ERROR) {
        injected(f, SLOT_NEXT, err);
        return JOURNAL_ERROR;
    }
    return got;
}

static bool fault_confirm(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                          uint64_t fence_offset, struct err *err)
{
    FAULT_CALL(fr_of(jr)->fault, SLOT_CONFIRM,
               journal_confirm(fr_of(jr)->inner, ranges, count, fence_offset, err));
}

static const struct journal_reader_ops fault_reader_ops = {
    .name = "fault",
    .open = fault_reader_open,
    .list = fault_list,
    .bounds = fault_bounds,
    .position = fault_position,
    .assign = fault_assign,
    .next = fault_next,
    .confirm = fault_confirm,
    .close = fault_reader_close,
};

const struct journal_impl journal_impl_fault = {
    .scheme = "fault", .writer = &fault_writer_ops, .reader = &fault_reader_ops};
