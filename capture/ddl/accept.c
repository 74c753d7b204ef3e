/* Owns: `crossfade capture accept-ddl`. Failpoints: capture.accept_before, capture.accept_committed. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture/capture.h"
#include "capture/ddl/shapes.h"
#include "capture/source/recover.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"

#define WAITING_MAX 10000
#define PATIENCE_US (3 * INT64_C(1000000))

struct acceptance {
    const char *table; /* NULL = all */
    const struct cap_shape *shapes[WAITING_MAX];
    size_t count;
};

static void choose(void *ctx, const struct cap_shape *shape)
{
    struct acceptance *a = ctx;
    size_t schema_len = strlen(shape->schema);
    bool named = a->table != NULL && strncmp(a->table, shape->schema, schema_len) == 0 &&
                 a->table[schema_len] == '.' && strcmp(a->table + schema_len + 1, shape->table) == 0;
    if ((a->table == NULL || named) && a->count < WAITING_MAX)
        a->shapes[a->count++] = shape;
}

/* Opening the journal takes it over from whoever writes there: a capture that runs must not be hit. The server process of one
 * that has just ended may take a moment. */
static bool check_stopped(const struct cap_settings *settings, struct err *err)
{
    struct pg_conn *sql = NULL;
    struct source_slot slot = {.active_pid = 1};
    struct timespec nap = {.tv_nsec = 100 * 1000000};
    int64_t until_us = clock_mono_us() + PATIENCE_US;
    bool ok = cap_connect(settings, false, &sql, err);
    while (ok && slot.active_pid != 0 && clock_mono_us() < until_us) {
        ok = source_slot_look(sql, settings->slot, &slot, err);
        if (ok && slot.active_pid != 0)
            (void)nanosleep(&nap, NULL);
    }
    pg_close(sql);
    return ok && (slot.active_pid == 0 ||
                  err_set(err, ERR_REFUSED,
                          "capture runs (server process %lld streams from slot %s): nothing waits for "
                          "acceptance while it does",
                          (long long)slot.active_pid, settings->slot));
}

static bool append(const struct cap_settings *settings, const struct acceptance *a, struct err *err)
{
    struct journal_writer *jw = NULL;
    bool ok = failpoint("capture.accept_before", err) && journal_writer_open(&settings->journal, &jw, err);
    for (size_t i = 0; ok && i < a->count; i++)
        ok = cap_shape_append_accepted(jw, settings->topic_prefix, a->shapes[i], err);
    ok = ok && journal_commit(jw, err) && failpoint("capture.accept_committed", err);
    journal_writer_close(jw);
    return ok;
}

/* What capture would refuse to go on with is not written to either: a journal of another pipeline, or of a newer version. */
static bool check_fences(const struct cap_settings *settings, struct err *err)
{
    struct cap_position pos;
    if (!cap_position_read(settings, &pos, err))
        return false;
    cap_position_release(&pos);
    return true;
}

bool capture_accept_ddl(const struct config *cfg, const char *table,
                        void (*each)(void *ctx, const char *schema, const char *table, const char *change),
                        void *ctx, struct err *err)
{
    struct cap_settings settings;
    struct cap_shapes *shapes = NULL;
    struct acceptance *a = xcalloc(1, sizeof *a);
    a->table = table;
    bool ok = cap_settings_read(cfg, &settings, err);
    if (ok) {
        ok = check_fences(&settings, err) &&
             cap_shapes_read(&settings.journal, UINT64_MAX, &shapes, NULL, err) &&
             check_stopped(&settings, err);
        if (ok)
            cap_shapes_waiting(shapes, choose, a);
        ok = ok && (a->count == 0 || append(&settings, a, err));
        cap_settings_release(&settings);
    }
    for (size_t i = 0; ok && i < a->count; i++)
        each(ctx, a->shapes[i]->schema, a->shapes[i]->table,
             a->shapes[i]->change != NULL ? a->shapes[i]->change : "");
    cap_shapes_free(shapes);
    free(a);
    return ok;
}
