/* Owns: what a pipeline leaves on a source that is MariaDB. See maria_source.h. */
#include "maria_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria_state.h"

static bool there(struct cleanup *cl, const char *table, bool *ret, struct err *err)
{
    char *found CLEANUP(free_ptr) = NULL;
    char *name CLEANUP(free_ptr) = xasprintf("crossfade_%s", table);
    bool ok = maria_ask(cl, cl->maria_source,
                        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
                        "TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME = $2",
                        name, maria_take_text, &found, err);
    *ret = found != NULL;
    return ok || err_wrap(err, "%s on the source", name);
}

/* What sql gives, with the table's name for its %s; NULL where there is no such table. */
static bool ask_table(struct cleanup *cl, const char *table, const char *fmt, char **ret, struct err *err)
{
    char sql[300];
    bool is_there = false;
    if (!there(cl, table, &is_there, err))
        return false;
    const char *at = strstr(fmt, "%s");
    (void)snprintf(sql, sizeof sql, "%.*scrossfade_%s%s", (int)(at - fmt), fmt, table, at + 2);
    return !is_there || maria_ask(cl, cl->maria_source, sql, NULL, maria_take_text, ret, err) ||
           err_wrap(err, "crossfade_%s on the source", table);
}

bool maria_source_switched(struct cleanup *cl, bool *ret, struct err *err)
{
    char *state CLEANUP(free_ptr) = NULL;
    bool ok = ask_table(cl, "decision", "SELECT state FROM %s WHERE pipeline = $1", &state, err);
    *ret = state != NULL && strcmp(state, "switched") == 0;
    return ok;
}

bool maria_source_decision_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    char *id CLEANUP(free_ptr) = NULL;
    if (!ask_table(cl, "decision", "SELECT cutover_id FROM %s WHERE pipeline = $1 AND state = 'open'", &id,
                   err))
        return false;
    if (id != NULL)
        item_refuse(item_add(cl, kind, "source", id),
                    "its decision is open: `crossfade cutover resume` or `crossfade cutover abort` first");
    return true;
}

bool maria_source_rows_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    for (size_t i = 0; i < control_table_count; i++) {
        const char *table = control_tables[i].name;
        char *count CLEANUP(free_ptr) = NULL;
        if (!control_tables[i].on_source)
            continue;
        if (!ask_table(cl, table, "SELECT COUNT(*) FROM %s WHERE pipeline = $1", &count, err))
            return false;
        if (count == NULL || strcmp(count, "0") == 0)
            continue;
        struct cleanup_item *item = item_add(cl, kind, "source", table);
        item->rows = strtoll(count, NULL, 10);
        item_action(item, "DELETE FROM crossfade_%s WHERE pipeline = '%s'", table,
                    cl->pipeline); /* letters, digits, '_' */
        rows_judge(cl, item, table);
    }
    return true;
}

bool maria_source_others(struct cleanup *cl, bool *ret, struct err *err)
{
    *ret = false;
    for (size_t i = 0; i < control_table_count && !*ret; i++) {
        char *other CLEANUP(free_ptr) = NULL;
        if (control_tables[i].on_source &&
            !ask_table(cl, control_tables[i].name, "SELECT pipeline FROM %s WHERE pipeline <> $1 LIMIT 1",
                       &other, err))
            return false;
        *ret = other != NULL;
    }
    return true;
}

bool maria_source_objects_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    bool used = false;
    if (!maria_source_others(cl, &used, err))
        return false;
    for (size_t i = 0; i < control_table_count; i++) {
        const char *table = control_tables[i].name;
        bool is_there = false;
        if (!control_tables[i].on_source)
            continue;
        if (!there(cl, table, &is_there, err))
            return false;
        if (!is_there)
            continue;
        char *name CLEANUP(free_ptr) = xasprintf("table crossfade_%s", table);
        struct cleanup_item *item = item_add(cl, kind, "source", name);
        item_action(item, "DROP TABLE IF EXISTS crossfade_%s", table);
        if (used)
            item_leave(item, "another pipeline uses the control tables of this database");
        else if (strcmp(table, "decision") == 0 && cl->triggers_stay)
            item_leave(item, "it keeps the old database closed to writers; --open-source removes it");
    }
    return true;
}

struct finding {
    struct cleanup *cl;
    const struct cleanup_kind *kind;
};

static bool add_trigger(void *ctx, char **cells, size_t count, struct err *err)
{
    const struct finding *f = ctx;
    struct strbuf name = STRBUF_INIT(1000);
    (void)count;
    (void)err;
    maria_quote_name(&name, cells[0], cells[1]);
    struct cleanup_item *item = item_add(f->cl, f->kind, "source", name.data);
    item_action(item, "DROP TRIGGER IF EXISTS %s", name.data);
    if (f->cl->triggers_stay)
        item_leave(item, "it keeps the old database closed to writers; --open-source removes it");
    strbuf_release(&name);
    return true;
}

/* Known by their name and by the pipeline whose decision they read, in this database: another one may have a pipeline of that name. */
bool maria_source_triggers_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    struct finding finding = {cl, kind};
    return maria_ask(
               cl, cl->maria_source,
               "SELECT TRIGGER_SCHEMA, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_NAME "
               "LIKE 'crossfade\\_freeze\\_%' AND LOCATE(CONCAT('`', REPLACE(DATABASE(), '`', '``'), "
               "'`.crossfade_decision d WHERE d.pipeline = ', QUOTE($1)), ACTION_STATEMENT) > 0 ORDER BY 1, "
               "2",
               NULL, add_trigger, &finding, err) ||
           err_wrap(err, "triggers on the source");
}
