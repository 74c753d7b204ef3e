/* Owns: a role's counters that only /metrics shows. See tally.h. */
#include "control/tally.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

#define RANK_EVERY_US INT64_C(60000000)
/* Places that change hands in one round. */
#define RANK_SWAPS_MAX 16

struct entry {
    char *name;
    uint32_t number;
    bool shown;
    uint64_t rows;                /* since the start, wherever they were counted */
    uint64_t counts[TALLY_KINDS]; /* of its own series */
    UT_hash_handle hh;
};

/* Of one table, what is written and not durable. */
struct noted {
    uint64_t rows[TALLY_KINDS];
    bool any;
};

struct tally {
    pthread_mutex_t lock; /* all but what follows `noted` */
    struct entry *by_name;
    struct entry **entries; /* by number; [TALLY_OTHER] as well */
    size_t count, cap, shown;
    struct tally_histogram histograms[TALLY_HISTOGRAMS];
    struct tally_class classes[TALLY_CLASSES_MAX];
    size_t class_count;

    /* The writing thread's own. */
    struct noted *noted; /* by number */
    uint32_t *touched;   /* numbers of those that have any */
    size_t noted_cap, touched_count;
    int64_t ranked_us;
};

static const double row_bounds[] = {1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6};
static const double second_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                       1,     2.5,    5,     10,   30,    60,   300, 1800, 3600};
_Static_assert(ARRAY_LEN(row_bounds) < TALLY_BUCKETS_MAX && ARRAY_LEN(second_bounds) < TALLY_BUCKETS_MAX,
               "a bucket for each bound and one beyond");

size_t tally_bounds(enum tally_histogram_id which, const double **ret)
{
    bool rows = which == TALLY_BATCH_ROWS;
    *ret = rows ? row_bounds : second_bounds;
    return rows ? ARRAY_LEN(row_bounds) : ARRAY_LEN(second_bounds);
}

const char *tally_kind_name(enum tally_kind kind)
{
    static const char *const names[TALLY_KINDS] = {[TALLY_COPY] = "copy",
                                                   [TALLY_INSERT] = "insert",
                                                   [TALLY_UPDATE] = "update",
                                                   [TALLY_DELETE] = "delete",
                                                   [TALLY_TRUNCATE] = "truncate"};
    return names[kind];
}

enum tally_kind tally_kind_of(char op)
{
    switch (op) {
    case 'c':
        return TALLY_INSERT;
    case 'u':
        return TALLY_UPDATE;
    case 'd':
        return TALLY_DELETE;
    case 't':
        return TALLY_TRUNCATE;
    default:
        return TALLY_COPY;
    }
}

/* The lock is held (or nobody else knows t yet). */
static struct entry *add_entry(struct tally *t, char *name)
{
    if (t->count == t->cap) {
        t->cap = t->cap == 0 ? 64 : 2 * t->cap;
        t->entries = xrealloc(t->entries, t->cap * sizeof *t->entries);
    }
    struct entry *e = xcalloc(1, sizeof *e);
    e->name = name;
    e->number = (uint32_t)t->count;
    t->entries[t->count++] = e;
    return e;
}

struct tally *tally_new(void)
{
    struct tally *t = xcalloc(1, sizeof *t);
    if (pthread_mutex_init(&t->lock, NULL) != 0)
        BUG("pthread_mutex_init failed");
    (void)add_entry(t, xstrdup("other"));
    t->ranked_us = clock_mono_us();
    return t;
}

void tally_free(struct tally *t)
{
    if (t == NULL)
        return;
    HASH_CLEAR(hh, t->by_name);
    for (size_t i = 0; i < t->count; i++) {
        free(t->entries[i]->name);
        free(t->entries[i]);
    }
    free(t->entries);
    free(t->noted);
    free(t->touched);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

uint32_t tally_table(struct tally *t, const char *schema, const char *table)
{
    if (t == NULL)
        return TALLY_OTHER;
    char *name = xasprintf("%s.%s", schema, table);
    struct entry *e = NULL;
    uint32_t number = TALLY_OTHER;
    pthread_mutex_lock(&t->lock);
    HASH_FIND_STR(t->by_name, name, e);
    if (e == NULL && t->count < TALLY_TABLES_MAX) {
        e = add_entry(t, name);
        HASH_ADD_KEYPTR(hh, t->by_name, e->name, strlen(e->name), e);
        name = NULL;
    }
    if (e != NULL)
        number = e->number;
    pthread_mutex_unlock(&t->lock);
    free(name);
    return number;
}

static void make_room(struct tally *t, uint32_t table)
{
    size_t cap = MAX_OF(t->noted_cap * 2, (size_t)table + 64);
    t->noted = xrealloc(t->noted, cap * sizeof *t->noted);
    memset(t->noted + t->noted_cap, 0, (cap - t->noted_cap) * sizeof *t->noted);
    t->touched = xrealloc(t->touched, cap * sizeof *t->touched);
    t->noted_cap = cap;
}

void tally_row(struct tally *t, uint32_t table, enum tally_kind kind, uint64_t rows)
{
    if (t == NULL || rows == 0)
        return;
    if (table >= t->noted_cap)
        make_room(t, table);
    struct noted *n = &t->noted[table];
    if (!n->any) {
        n->any = true;
        t->touched[t->touched_count++] = table;
    }
    n->rows[kind] += rows;
}

static void count_noted(struct tally *t, struct entry *e, const struct noted *n)
{
    if (!e->shown && e->number != TALLY_OTHER && t->shown < TALLY_TABLES_SHOWN) {
        e->shown = true;
        t->shown++;
    }
    struct entry *into = e->shown ? e : t->entries[TALLY_OTHER];
    for (int kind = 0; kind < TALLY_KINDS; kind++) {
        into->counts[kind] += n->rows[kind];
        e->rows += n->rows[kind];
    }
}

void tally_commit(struct tally *t)
{
    if (t == NULL)
        return;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < t->touched_count; i++)
        count_noted(t, t->entries[t->touched[i]], &t->noted[t->touched[i]]);
    bool crowded = t->count > TALLY_TABLES_SHOWN + 1;
    pthread_mutex_unlock(&t->lock);
    tally_forget(t);
    if (crowded && clock_mono_us() - t->ranked_us >= RANK_EVERY_US)
        tally_rank(t);
}

void tally_forget(struct tally *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->touched_count; i++)
        t->noted[t->touched[i]] = (struct noted){0};
    t->touched_count = 0;
}

void tally_rank(struct tally *t)
{
    pthread_mutex_lock(&t->lock);
    for (int swaps = 0; swaps < RANK_SWAPS_MAX; swaps++) {
        struct entry *least = NULL, *most = NULL;
        for (size_t i = 1; i < t->count; i++) {
            struct entry *e = t->entries[i];
            if (e->shown && (least == NULL || e->rows < least->rows))
                least = e;
            if (!e->shown && (most == NULL || e->rows > most->rows))
                most = e;
        }
        if (least == NULL || most == NULL || most->rows / 2 <= least->rows)
            break;
        least->shown = false;
        most->shown = true;
    }
    pthread_mutex_unlock(&t->lock);
    t->ranked_us = clock_mono_us();
}

void tally_observe(struct tally *t, enum tally_histogram_id which, double value)
{
    if (t == NULL)
        return;
    const double *bounds;
    size_t count = tally_bounds(which, &bounds), at = 0;
    while (at < count && value > bounds[at])
        at++;
    pthread_mutex_lock(&t->lock);
    t->histograms[which].buckets[at]++;
    t->histograms[which].count++;
    t->histograms[which].sum += value;
    pthread_mutex_unlock(&t->lock);
}

/* The lock is held. The last place is for all that found none. */
static struct tally_class *class_of(struct tally *t, const struct err *err)
{
    struct tally_class wanted = {.code = err->code};
    if (err->sqlstate[0] != '\0')
        memcpy(wanted.sqlstate_class, err->sqlstate, 2);
    for (size_t i = 0; i < t->class_count; i++) {
        if (t->classes[i].code == wanted.code &&
            memcmp(t->classes[i].sqlstate_class, wanted.sqlstate_class, sizeof wanted.sqlstate_class) == 0)
            return &t->classes[i];
    }
    if (t->class_count == TALLY_CLASSES_MAX)
        return &t->classes[TALLY_CLASSES_MAX - 1];
    if (t->class_count == TALLY_CLASSES_MAX - 1)
        wanted = (struct tally_class){.code = err->code, .sqlstate_class = "**"};
    t->classes[t->class_count] = wanted;
    return &t->classes[t->class_count++];
}

void tally_error(struct tally *t, const struct err *err)
{
    if (t == NULL)
        return;
    pthread_mutex_lock(&t->lock);
    class_of(t, err)->errors++;
    pthread_mutex_unlock(&t->lock);
}

void tally_retry(struct tally *t, const struct err *err)
{
    if (t == NULL)
        return;
    pthread_mutex_lock(&t->lock);
    class_of(t, err)->retries++;
    pthread_mutex_unlock(&t->lock);
}

static void copy_table(struct tally_view *view, const struct entry *e)
{
    struct tally_table_view *to = &view->tables[view->table_count++];
    to->name = xstrdup(e->name);
    memcpy(to->rows, e->counts, sizeof to->rows);
}

void tally_look(struct tally *t, struct tally_view *ret)
{
    *ret = (struct tally_view){.tables = xcalloc(TALLY_TABLES_SHOWN + 1, sizeof *ret->tables)};
    pthread_mutex_lock(&t->lock);
    for (size_t i = 1; i < t->count; i++) {
        if (t->entries[i]->shown)
            copy_table(ret, t->entries[i]);
    }
    copy_table(ret, t->entries[TALLY_OTHER]);
    ret->tables_known = t->count - 1;
    memcpy(ret->histograms, t->histograms, sizeof ret->histograms);
    memcpy(ret->classes, t->classes, sizeof ret->classes);
    ret->class_count = t->class_count;
    pthread_mutex_unlock(&t->lock);
}

void tally_view_release(struct tally_view *view)
{
    for (size_t i = 0; i < view->table_count; i++)
        free(view->tables[i].name);
    free(view->tables);
    *view = (struct tally_view){0};
}
