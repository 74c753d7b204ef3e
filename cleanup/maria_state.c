/* Owns: cutovers as they are recorded on MariaDB, and who is at work there. See maria_state.h. */
#include "maria_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria_rows.h"

bool maria_ask(struct cleanup *cl, struct maria_conn *conn, const char *sql, const char *second,
               maria_each_row *each, void *ctx, struct err *err)
{
    struct strbuf text = STRBUF_INIT(STRBUF_SQL_MAX);
    const char *params[] = {cl->pipeline, second};
    bool ok = maria_add_statement(&text, sql, 2, params, err) && maria_query(conn, text.data, each, ctx, err);
    strbuf_release(&text);
    return ok;
}

bool maria_take_text(void *ctx, char **cells, size_t count, struct err *err)
{
    char **ret = ctx;
    (void)err;
    free(*ret);
    *ret = count > 0 && cells[0] != NULL ? xstrdup(cells[0]) : NULL;
    return true;
}

struct finding {
    struct cleanup *cl;
    const struct cleanup_kind *kind;
};

/* --- cutovers --- */

static bool add_step(void *ctx, char **cells, size_t count, struct err *err)
{
    const struct finding *f = ctx;
    (void)count;
    (void)err;
    item_refuse(item_add(f->cl, f->kind, "target", cells[0]),
                "the cutover stands at %s: `crossfade cutover resume` or `crossfade cutover abort` first",
                cells[1]);
    return true;
}

bool maria_steps_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    bool there = false;
    struct finding finding = {cl, kind};
    return (maria_table_there(cl, "cutover", &there, err) &&
            (!there ||
             maria_ask(cl, cl->maria,
                       "SELECT cutover_id, state FROM (SELECT c.cutover_id, c.state, ROW_NUMBER() OVER "
                       "(PARTITION BY c.cutover_id ORDER BY c.seq DESC) AS n FROM crossfade_cutover c WHERE "
                       "c.pipeline = $1) l WHERE n = 1 AND state NOT IN ('done', 'aborted')",
                       NULL, add_step, &finding, err))) ||
           err_wrap(err, "crossfade_cutover on the target");
}

bool maria_switched(struct cleanup *cl, bool *ret, struct err *err)
{
    char *found CLEANUP(free_ptr) = NULL;
    bool there = false;
    bool ok =
        maria_table_there(cl, "cutover", &there, err) &&
        (!there ||
         maria_ask(cl, cl->maria,
                   "SELECT cutover_id FROM crossfade_cutover WHERE pipeline = $1 AND state = 'done' LIMIT 1",
                   NULL, maria_take_text, &found, err));
    *ret = found != NULL;
    return ok || err_wrap(err, "crossfade_cutover on the target");
}

bool maria_window(struct cleanup *cl, char **ret_until, struct err *err)
{
    char seconds[32];
    bool there = false;
    (void)snprintf(seconds, sizeof seconds, "%lld",
                   (long long)config_int(cl->cfg, "cutover.rollback_window"));
    return maria_table_there(cl, "cutover", &there, err) &&
           (!there ||
            maria_ask(cl, cl->maria,
                      "SELECT DATE_FORMAT(MAX(at) + INTERVAL $2 SECOND, '%Y-%m-%dT%H:%i:%sZ') FROM "
                      "crossfade_cutover WHERE pipeline = $1 AND state = 'done' HAVING MAX(at) + INTERVAL $2 "
                      "SECOND > SYSDATE(6)",
                      seconds, maria_take_text, ret_until, err));
}

/* As cutover/store/store_mariadb.c, cutover/watch/statements.c and capture/maria/session.c name them. */
#define NAME(prefix, digest) "CONCAT('" prefix "', " digest "(CONCAT_WS('\\n', DATABASE(), $1)))"
#define LOCK(name)                                                                                           \
    "SELECT NULLIF(IS_USED_LOCK(" name "), CONNECTION_ID())",                                                \
        "SELECT IF(GET_LOCK(" name ", 1) = 1, NULL, 'another')"
static const struct {
    const char *who;
    bool source;
    const char *holder, *take;
} locks[] = {
    {"crossfade capture", true, LOCK(NAME("crossfade capture ", "SHA1"))},
    {"crossfade cutover", false, LOCK(NAME("crossfade_cutover_", "SHA1"))},
    {"crossfade cutover watch", false, LOCK(NAME("crossfade_cut_watch_", "MD5"))},
};

bool maria_locks(struct cleanup *cl, const struct cleanup_kind *kind, bool take, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(locks); i++) {
        const char *side = locks[i].source ? "source" : "target";
        struct maria_conn *conn = locks[i].source ? cl->maria_source : cl->maria;
        char *holder CLEANUP(free_ptr) = NULL;
        if (conn == NULL)
            continue;
        if (!maria_ask(cl, conn, take ? locks[i].take : locks[i].holder, NULL, maria_take_text, &holder, err))
            return err_wrap(err, "locks on the %s", side);
        if (holder == NULL)
            continue;
        char *text CLEANUP(free_ptr) = xasprintf("connection %s", holder);
        struct cleanup_item *item = item_add(cl, kind, side, locks[i].who);
        item_used_by(item, text);
        item_refuse(item, "it runs: stop it (SIGTERM) and come again");
    }
    return true;
}
