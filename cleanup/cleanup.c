/* Owns the run: what there is, whether it may go, and taking it away in order. See cleanup.h. */
#include "cleanup.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cleanup_internal.h"
#include "core/alloc.h"
#include "core/failpoint.h"
#include "maria_state.h"
#include "json/text.h"

/* In the order of removal. First what holds something back on a server, last what says whose the rest is: killed at any place, it is found again. */
static const struct cleanup_kind kinds[] = {
    {"role", running_find, NULL},
    {"cutover", cutovers_find, NULL},
    {"prepared_transaction", prepared_find, NULL},
    {"unapplied", letters_find, NULL},
    {"slot", slots_find, NULL},
    {"temporary_slot", temporary_slots_find, NULL},
    {"freeze_trigger", triggers_find, NULL},
    {"replication_origin", origins_find, NULL},
    {"target_rows", target_rows_find, rows_remove},
    {"journal", journal_find, journal_part_remove},
    {"publication", publications_find, NULL},
    {"source_rows", source_rows_find, rows_remove},
    {"shared_object", objects_find, objects_remove},
    {"kept", audit_find, NULL},
};

#define KIND_ROLE         (&kinds[0])
#define NAMES_IN_ONE_NOTE 200

static bool look(struct cleanup *cl, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!kinds[i].find(cl, &kinds[i], err))
            return false;
    }
    return true;
}

static size_t count_fate(const struct cleanup_report *report, enum cleanup_fate fate)
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++)
        count += report->items[i].fate == fate;
    return count;
}

static bool note(struct cleanup *cl, const char *event, json_t *detail, struct err *err)
{
    return audit_append(cl->audit, NULL, event, detail, &cl->report->audit, err);
}

/* One row for what is of one kind and side and follows one another, up to some hundred names. */
static bool note_removal(struct cleanup *cl, size_t from, size_t *ret_upto, struct err *err)
{
    const struct cleanup_item *items = cl->report->items, *first = &items[from];
    json_t *names = json_array();
    size_t i = from;
    for (; i < cl->report->count && items[i].of == first->of && strcmp(items[i].side, first->side) == 0 &&
           i - from < NAMES_IN_ONE_NOTE;
         i++) {
        if (items[i].fate == CLEANUP_REMOVE)
            json_array_append_new(names, json_text(items[i].name));
    }
    *ret_upto = i;
    return note(cl, "cleanup.remove",
                json_pack("{s:s, s:s, s:o}", "kind", first->kind, "side", first->side, "names", names), err);
}

static bool run_action(struct cleanup *cl, struct cleanup_item *item, struct err *err)
{
    struct pg_conn *conn = item_conn(cl, item);
    if (item->of->remove != NULL)
        return item->of->remove(cl, item, err);
    return conn != NULL ? cleanup_exec(cl, conn, item->action, err)
                        : cleanup_exec_maria(cl, item_maria(cl, item), item->action, err);
}

static bool remove_one(struct cleanup *cl, struct cleanup_item *item, struct err *err)
{
    if (cl->talk->stop_asked(cl->talk->ctx))
        return err_set(err, ERR_INTERRUPTED,
                       "stop was asked for; what is left is removed when it is run again");
    if (!failpoint("cleanup.removing", err) || !run_action(cl, item, err))
        return err_wrap(err, "%s %s on the %s", item->kind, item->name, item->side);
    item->removed = item->fate == CLEANUP_REMOVE;
    if (item->removed)
        cleanup_say(cl, "removed %s %s (%s)", item->kind, item->name, item->side);
    return failpoint("cleanup.removed", err);
}

static bool remove_all(struct cleanup *cl, struct err *err)
{
    size_t noted = 0;
    for (size_t i = 0; i < cl->report->count; i++) {
        if (cl->report->items[i].fate != CLEANUP_REMOVE)
            continue;
        if (i >= noted && !note_removal(cl, i, &noted, err))
            return false;
        if (!remove_one(cl, &cl->report->items[i], err))
            return false;
    }
    return true;
}

/* --- may it begin --- */

/* After a cutover the old side and the journal are the way back, until the period is over. */
static bool look_at_window(struct cleanup *cl, struct err *err)
{
    char seconds[32];
    char *until = NULL;
    if (!cl->switched)
        return true;
    (void)snprintf(seconds, sizeof seconds, "%lld",
                   (long long)config_int(cl->cfg, "cutover.rollback_window"));
    const char *params[] = {cl->pipeline, seconds};
    if (cl->target == NULL
            ? !maria_window(cl, &until, err)
            : !pg_query_text(
                  cl->target,
                  "SELECT max(pg_catalog.to_char((at + $2::bigint * interval '1 second') AT TIME ZONE "
                  "'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'))"
                  " FROM crossfade.cutover WHERE pipeline = $1 AND state = 'done' AND at + $2::bigint * "
                  "interval '1 second' > pg_catalog.clock_timestamp()",
                  2, params, &until, err))
        return err_wrap(err, "when the pipeline was cut over");
    if (until != NULL)
        (void)snprintf(cl->report->confirm_why, sizeof cl->report->confirm_why,
                       "the pipeline was cut over, and its read-only period lasts until %s "
                       "(cutover.rollback_window): this takes the way back away",
                       until);
    free_ptr(&until);
    return true;
}

static void look_at_confirmation(struct cleanup *cl)
{
    struct cleanup_report *r = cl->report;
    size_t used = strlen(r->confirm_why);
    const char *more = cl->request->journal ? "the journal is removed, with all that is in it"
                       : cl->request->open_source && cl->switched
                           ? "the old database is opened to writers again"
                           : NULL;
    if (more != NULL)
        (void)snprintf(r->confirm_why + used, sizeof r->confirm_why - used, "%s%s", used > 0 ? "; " : "",
                       more);
}

static bool begin_note(struct cleanup *cl, struct err *err)
{
    const struct cleanup_request *q = cl->request;
    json_t *detail =
        json_pack("{s:b, s:b, s:b, s:b, s:I, s:I}", "journal", q->journal, "discard_dead_letters",
                  q->discard_letters, "open_source", q->open_source, "without_source", q->without_source,
                  "to_remove", (json_int_t)count_fate(cl->report, CLEANUP_REMOVE), "left",
                  (json_int_t)count_fate(cl->report, CLEANUP_LEAVE));
    return note(cl, "cleanup.begin", detail, err);
}

static bool execute(struct cleanup *cl, struct err *err)
{
    struct cleanup_report *r = cl->report;
    if (*r->confirm_why != '\0' && !cl->talk->confirm(cl->talk->ctx, cl->pipeline, r->confirm_why)) {
        r->outcome = "refused";
        cleanup_say(cl, "%s: confirm with the pipeline's name (--confirm %s)", r->confirm_why, cl->pipeline);
        return true;
    }
    size_t work = count_fate(r, CLEANUP_REMOVE);
    r->outcome = "incomplete";
    if (work > 0 && (!begin_note(cl, err) || !remove_all(cl, err)))
        return false;
    r->outcome = "done";
    return work == 0 || note(cl, "cleanup.done",
                             json_pack("{s:I}", "left", (json_int_t)count_fate(r, CLEANUP_LEAVE)), err);
}

static bool run(struct cleanup *cl, struct err *err)
{
    if (!cleanup_open(cl, err) || (cl->request->execute && !running_lock(cl, KIND_ROLE, err)) ||
        !look(cl, err) || !look_at_window(cl, err))
        return false;
    look_at_confirmation(cl);
    if (count_fate(cl->report, CLEANUP_REFUSE) > 0) {
        cl->report->outcome = "refused";
        return true;
    }
    return !cl->request->execute || execute(cl, err);
}

bool cleanup_run(const struct config *cfg, const struct cleanup_request *request,
                 const struct cleanup_talk *talk, struct cleanup_report *ret, struct err *err)
{
    struct cleanup cl = {.cfg = cfg,
                         .request = request,
                         .talk = talk,
                         .pipeline = config_text(cfg, "pipeline"),
                         .report = ret};
    *ret = (struct cleanup_report){.outcome = "planned"};
    if (!config_require(cfg, err, "pipeline", "target.url", (char *)NULL))
        return false;
    bool ok = run(&cl, err);
    cleanup_close(&cl);
    return ok;
}

int cleanup_exit_code(const struct cleanup_report *report)
{
    return strcmp(report->outcome, "planned") == 0 || strcmp(report->outcome, "done") == 0 ? 0 : 1;
}
