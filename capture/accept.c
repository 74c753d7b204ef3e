/* Owns: `crossfade capture accept-ddl`. Failpoints: capture.accept_before, capture.accept_committed. */
#include <stdlib.h>
#include <string.h>

#include "capture/capture.h"
#include "capture/setup.h"
#include "capture/shapes.h"
#include "core/alloc.h"
#include "core/failpoint.h"

#define WAITING_MAX 10000

struct acceptance {
    const char *table; /* NULL = all */
    const struct cap_shape *shapes[WAITING_MAX];
    size_t count;
};

static void choose(void *ctx, const struct cap_shape *shape)
{
    struct acceptance *a = ctx;
    size_t schema_len = strlen(shape->schema);
    bool named = a->table != NULL && strncmp(a->table, shape->schema, schema_len) == 0 && a->table[schema_len] == '.' &&
                 strcmp(a->table + schema_len + 1, shape->table) == 0;
    if ((a->table == NULL || named) && a->count < WAITING_MAX)
        a->shapes[a->count++] = shape;
}

/* Opening the journal takes it over from whoever writes there: a capture that runs must not be hit. */
static bool check_stopped(const struct cap_settings *settings, struct err *err)
{
    struct cap_session s = {.settings = settings};
    struct source_slot slot = {0};
    bool ok = cap_connect(settings, false, &s.sql, err) && source_slot_look(s.sql, settings->slot, &slot, err);
    pg_close(s.sql);
    return ok && (slot.active_pid == 0 ||
                  err_set(err, ERR_REFUSED, "capture runs (server process %lld streams from slot %s): nothing waits for "
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

bool capture_accept_ddl(const struct config *cfg, const char *table,
                        void (*each)(void *ctx, const char *schema, const char *table, const char *change), void *ctx,
                        struct err *err)
{
    struct cap_settings settings;
    struct cap_shapes *shapes = NULL;
    struct acceptance *a = xcalloc(1, sizeof *a);
    a->table = table;
    bool ok = cap_settings_read(cfg, &settings, err);
    if (ok) {
        ok = cap_shapes_read(&settings.journal, &shapes, err) && check_stopped(&settings, err);
        if (ok)
            cap_shapes_waiting(shapes, choose, a);
        ok = ok && (a->count == 0 || append(&settings, a, err));
        table_filter_free(settings.filter);
    }
    for (size_t i = 0; ok && i < a->count; i++)
        each(ctx, a->shapes[i]->schema, a->shapes[i]->table, a->shapes[i]->change != NULL ? a->shapes[i]->change : "");
    cap_shapes_free(shapes);
    free(a);
    return ok;
}
