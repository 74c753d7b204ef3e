/* Owns what `cutover list` and `cutover status` read: the recorded steps on the target, the decision on the source. Changes nothing. */
#include "cutover/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "cutover_internal.h"

static void take(struct cutover_past *past, const struct rowset *rs, int row)
{
    (void)snprintf(past->id, sizeof past->id, "%s", rowset_cell(rs, row, 0));
    (void)snprintf(past->state, sizeof past->state, "%s", rowset_cell(rs, row, 1));
    (void)snprintf(past->began_at, sizeof past->began_at, "%s", rowset_cell(rs, row, 2));
    (void)snprintf(past->changed_at, sizeof past->changed_at, "%s", rowset_cell(rs, row, 3));
    past->pause_us = rowset_int64(rs, row, 4);
    (void)snprintf(past->reason, sizeof past->reason, "%s", rowset_cell(rs, row, 5));
    past->running = rowset_bool(rs, row, 6);
}

static bool read_list(struct cutover *co, const char *id, struct cutover_past **ret, size_t *ret_count,
                      struct err *err)
{
    const char *params[] = {co->pipeline, id};
    ROWSET_AUTO rs = NULL;
    bool there = false;
    *ret = NULL;
    *ret_count = 0;
    if (!store_bool(co, STORE_THERE, 0, NULL, &there, err))
        return false;
    if (!there)
        return true;
    if (!store_ask(co, STORE_LIST, 2, params, &rs, err))
        return err_wrap(err, "the cutovers of pipeline %s", co->pipeline);
    *ret_count = (size_t)rowset_rows(rs);
    *ret = xcalloc(*ret_count + 1, sizeof **ret);
    for (int i = 0; i < rowset_rows(rs); i++)
        take(&(*ret)[i], rs, i);
    return true;
}

static bool read_steps(struct cutover *co, struct cutover_past *past, struct err *err)
{
    const char *params[] = {co->pipeline, past->id};
    ROWSET_AUTO rs = NULL;
    if (!store_ask(co, STORE_STEPS, 2, params, &rs, err))
        return err_wrap(err, "the steps of cutover %s", past->id);
    for (int i = 0; i < rowset_rows(rs) && past->step_count < CUTOVER_STEPS_MAX; i++) {
        struct cutover_past_step *step = &past->steps[past->step_count++];
        (void)snprintf(step->state, sizeof step->state, "%s", rowset_cell(rs, i, 0));
        (void)snprintf(step->at, sizeof step->at, "%s", rowset_cell(rs, i, 1));
        step->took_us = rowset_int64(rs, i, 2);
    }
    return true;
}

/* A source that is away is told of, it does not keep anybody from looking at the steps. */
static void read_decision(struct cutover *co, struct cutover_past *past)
{
    struct err away = ERR_INIT;
    bool ours;
    (void)snprintf(co->id, sizeof co->id, "%s", past->id);
    if (!cutover_open_source(co, &away) || !decision_stands(co, past->decision, &ours, &away))
        (void)snprintf(past->decision_unread, sizeof past->decision_unread, "%s", away.text);
    else if (!ours)
        (void)snprintf(past->decision, sizeof past->decision, "of another");
}

bool cutover_list(const struct config *cfg, struct cutover_past **ret, size_t *ret_count, struct err *err)
{
    struct cutover co;
    if (!cutover_open_target(&co, cfg, err))
        return false;
    bool ok = read_list(&co, NULL, ret, ret_count, err);
    cutover_close(&co);
    return ok;
}

bool cutover_status(const struct config *cfg, const char *id, struct cutover_past *ret, bool *ret_found,
                    struct err *err)
{
    struct cutover co;
    struct cutover_past *list = NULL;
    size_t count = 0;
    if (!cutover_open_target(&co, cfg, err))
        return false;
    bool ok = read_list(&co, id, &list, &count, err);
    *ret_found = ok && count > 0;
    if (*ret_found) {
        *ret = list[0];
        ok = read_steps(&co, ret, err);
        if (ok)
            read_decision(&co, ret);
    }
    free(list);
    cutover_close(&co);
    return ok;
}
