/*
 * Owns: the decorator for tests, fault:SLOT:N:ACTION:URL. The N-th call (counted in this process) of SLOT
 * (open, prepare, begin, write, commit, position) does ACTION: error       fails with ERR_INJECTED before the
 * call is made lost        makes the call, then fails with ERR_CONNECT: the answer was lost in transit
 *   transient   fails with ERR_TRANSIENT before the call
 *   kill        SIGKILL to the process
 *   delay       waits a second, then makes the call
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "target/conflicts.h"
#include "target/dead_letter.h"
#include "target/loader.h"
#include "target/target_impl.h"

struct fault_target {
    struct target base;
    struct target *inner;
};

/* One plan per process: it must outlive reopening, or the n-th call would come again and again. */
static struct {
    char slot[16];
    char action[16];
    unsigned long at;
    unsigned long seen;
} plan;

static bool fault_parse(const char *url, const char **ret_inner, struct err *err)
{
    char slot[16], action[16];
    unsigned long at;
    int used = 0;
    if (sscanf(url, "fault:%15[a-z]:%lu:%15[a-z]:%n", slot, &at, action, &used) != 3 || used == 0)
        return err_set(err, ERR_CONFIG, "target.url: fault:SLOT:N:ACTION:URL is expected");
    if (plan.slot[0] == '\0') {
        memcpy(plan.slot, slot, sizeof slot);
        memcpy(plan.action, action, sizeof action);
        plan.at = at;
    }
    *ret_inner = url + used;
    return true;
}

/* True if this call is the one. */
static bool fault_due(const char *slot)
{
    return strcmp(plan.slot, slot) == 0 && ++plan.seen == plan.at;
}

static bool fault_before(const char *slot, bool *ret_after, struct err *err)
{
    *ret_after = false;
    if (!fault_due(slot))
        return true;
    if (strcmp(plan.action, "kill") == 0)
        (void)kill(getpid(), SIGKILL);
    if (strcmp(plan.action, "delay") == 0)
        (void)sleep(1);
    if (strcmp(plan.action, "error") == 0)
        return err_set(err, ERR_INJECTED, "target %s: injected", slot);
    if (strcmp(plan.action, "transient") == 0)
        return err_set(err, ERR_TRANSIENT, "target %s: injected", slot);
    *ret_after = strcmp(plan.action, "lost") == 0;
    return true;
}

static bool fault_after(const char *slot, bool lost, struct err *err)
{
    return !lost || err_set(err, ERR_CONNECT, "target %s: injected: the answer was lost", slot);
}

#define INNER(tgt) (((struct fault_target *)(tgt))->inner)

static void fault_close(struct target *tgt)
{
    target_close(INNER(tgt));
    free(tgt);
}

static bool fault_open(const struct target_options *options, struct target **ret, struct err *err)
{
    struct target_options inner = *options;
    bool lost;
    if (!fault_parse(options->url, &inner.url, err) || !fault_before("open", &lost, err))
        return false;
    struct fault_target *ft = xcalloc(1, sizeof *ft);
    ft->base.ops = &target_fault;
    if (!target_open(&inner, &ft->inner, err)) {
        free(ft);
        return false;
    }
    ft->base.triggers_fire = ft->inner->triggers_fire;
    ft->base.no_origin = ft->inner->no_origin;
    ft->base.layout = ft->inner->layout;
    if (!fault_after("open", lost, err)) {
        fault_close(&ft->base);
        return false;
    }
    *ret = &ft->base;
    return true;
}

static bool fault_prepare(struct target *tgt, const struct table_schema *const *schemas, size_t count,
                          struct target_table **ret, struct err *err)
{
    bool lost;
    return fault_before("prepare", &lost, err) && target_prepare_all(INNER(tgt), schemas, count, ret, err) &&
           fault_after("prepare", lost, err);
}

static bool fault_begin(struct target *tgt, uint64_t attempt, struct err *err)
{
    bool lost;
    return fault_before("begin", &lost, err) && target_begin(INNER(tgt), attempt, err) &&
           fault_after("begin", lost, err);
}

static bool fault_write(struct target *tgt, enum target_mode mode, const struct target_batch *batches,
                        size_t count, struct err *err)
{
    bool lost;
    return fault_before("write", &lost, err) && target_write(INNER(tgt), mode, batches, count, err) &&
           fault_after("write", lost, err);
}

static bool fault_commit(struct target *tgt, const struct target_position *position, struct err *err)
{
    bool lost;
    return fault_before("commit", &lost, err) && target_commit(INNER(tgt), position, err) &&
           fault_after("commit", lost, err);
}

static bool fault_position(struct target *tgt, struct target_position *ret, bool *ret_found, struct err *err)
{
    bool lost;
    return fault_before("position", &lost, err) && target_position(INNER(tgt), ret, ret_found, err) &&
           fault_after("position", lost, err);
}

static void fault_cancel(struct target *tgt)
{
    target_cancel(INNER(tgt));
}

static bool fault_save(struct target *tgt, struct err *err)
{
    return target_save(INNER(tgt), err);
}

static bool fault_restore(struct target *tgt, struct err *err)
{
    return target_restore(INNER(tgt), err);
}

static bool fault_settle(struct target *tgt, bool constraints, struct err *err)
{
    return target_settle(INNER(tgt), constraints, err);
}

static bool fault_standbys(struct target *tgt, uint64_t *ret_written, uint64_t *ret_replayed, struct err *err)
{
    return target_standbys(INNER(tgt), ret_written, ret_replayed, err);
}

static bool fault_verdict(struct target *tgt, struct target_verdict *ret, struct err *err)
{
    return target_verdict(INNER(tgt), ret, err);
}

/* NULL, with *err: the inner target keeps none. */
static const struct target_letters_ops *inner_letters(struct target *tgt, struct err *err)
{
    const struct target_letters_ops *ops = target_letters(INNER(tgt));
    if (ops == NULL)
        err_set(err, ERR_UNSUPPORTED, "targets of this kind keep no dead letters yet");
    return ops;
}

static bool letters_put(struct target *tgt, const struct dead_letter *letter, int64_t *ret_id,
                        struct err *err)
{
    const struct target_letters_ops *ops = inner_letters(tgt, err);
    return ops != NULL && ops->put(INNER(tgt), letter, ret_id, err);
}

static bool letters_tie(struct target *tgt, int64_t from, int64_t into, struct err *err)
{
    const struct target_letters_ops *ops = inner_letters(tgt, err);
    return ops != NULL && ops->tie(INNER(tgt), from, into, err);
}

static bool letters_supersede(struct target *tgt, const char *schema_name, const char *table_name,
                              const char *reason, struct err *err)
{
    const struct target_letters_ops *ops = inner_letters(tgt, err);
    return ops != NULL && ops->supersede(INNER(tgt), schema_name, table_name, reason, err);
}

static bool letters_each(struct target *tgt, enum letters_list what, int64_t chain,
                         bool (*each)(void *ctx, const struct dead_letter *letter, struct err *err),
                         void *ctx, struct err *err)
{
    const struct target_letters_ops *ops = target_letters(INNER(tgt));
    return ops == NULL || ops->each(INNER(tgt), what, chain, each, ctx, err);
}

static bool letters_asked(struct target *tgt, int64_t *ret_discards, int64_t *ret_chain, struct err *err)
{
    const struct target_letters_ops *ops = inner_letters(tgt, err);
    return ops != NULL && ops->asked(INNER(tgt), ret_discards, ret_chain, err);
}

static bool letters_begun(struct target *tgt, int64_t chain, int64_t *ret_begun, struct err *err)
{
    const struct target_letters_ops *ops = inner_letters(tgt, err);
    return ops != NULL && ops->begun(INNER(tgt), chain, ret_begun, err);
}

static bool letters_discard(struct target *tgt, struct err *err)
{
    const struct target_letters_ops *ops = inner_letters(tgt, err);
    return ops != NULL && ops->discard(INNER(tgt), err);
}

static bool letters_settle(struct target *tgt, int64_t chain, const struct err *why, struct err *err)
{
    const struct target_letters_ops *ops = inner_letters(tgt, err);
    return ops != NULL && ops->settle(INNER(tgt), chain, why, err);
}

static bool letters_refused(struct target *tgt, int64_t after,
                            bool (*each)(void *ctx, const struct dead_letter *letter, struct err *err),
                            void *ctx, int64_t *ret_last, struct err *err)
{
    const struct target_letters_ops *ops = target_letters(INNER(tgt));
    *ret_last = after;
    return ops == NULL || ops->refused(INNER(tgt), after, each, ctx, ret_last, err);
}

static bool letters_forget_refused(struct target *tgt, struct err *err)
{
    const struct target_letters_ops *ops = inner_letters(tgt, err);
    return ops != NULL && ops->forget_refused(INNER(tgt), err);
}

static bool letters_look(const struct letters_query *query,
                         bool (*each)(void *ctx, const struct letter_view *view, struct err *err), void *ctx,
                         struct err *err)
{
    struct letters_query inner = *query;
    return fault_parse(query->url, &inner.url, err) && target_letters_look(&inner, each, ctx, err);
}

static bool letters_ask(const struct letters_query *query, const int64_t *ids, size_t count,
                        const char *request, const char *reason, int64_t *ret_count, struct err *err)
{
    struct letters_query inner = *query;
    return fault_parse(query->url, &inner.url, err) &&
           target_letters_ask(&inner, ids, count, request, reason, ret_count, err);
}

static const struct target_letters_ops fault_letters = {
    .put = letters_put,
    .tie = letters_tie,
    .supersede = letters_supersede,
    .each = letters_each,
    .asked = letters_asked,
    .begun = letters_begun,
    .discard = letters_discard,
    .settle = letters_settle,
    .refused = letters_refused,
    .forget_refused = letters_forget_refused,
};

static const struct target_desk_ops fault_desk = {
    .look = letters_look,
    .ask = letters_ask,
};

/* NULL, with *err: the inner target cannot tell. */
static const struct target_conflict_ops *inner_conflicts(const struct target *tgt, struct err *err)
{
    const struct target_conflict_ops *ops = target_conflicts(((const struct fault_target *)tgt)->inner);
    if (ops == NULL)
        err_set(err, ERR_UNSUPPORTED, "targets of this kind cannot be written on both sides yet");
    return ops;
}

static bool conflicts_start(struct target *tgt,
                            const struct conflict_rule *(*rule_of)(void *ctx, const char *schema_name,
                                                                   const char *table_name),
                            void *ctx, size_t count, bool complete, bool *ret_begun, uint64_t *ret_open,
                            struct err *err)
{
    if (target_conflicts(INNER(tgt)) == NULL && count == 0) {
        *ret_begun = true;
        *ret_open = 0;
        return true;
    }
    const struct target_conflict_ops *ops = inner_conflicts(tgt, err);
    return ops != NULL && ops->start(INNER(tgt), rule_of, ctx, count, complete, ret_begun, ret_open, err);
}

static bool conflicts_check(struct target *tgt, const struct conflict_batch *batch, bool *ret_done,
                            struct conflict_counts *ret, struct err *err)
{
    const struct target_conflict_ops *ops = inner_conflicts(tgt, err);
    return ops != NULL && ops->check(INNER(tgt), batch, ret_done, ret, err);
}

static bool conflicts_halted(const struct target *tgt)
{
    const struct target_conflict_ops *ops = inner_conflicts(tgt, NULL);
    return ops != NULL && ops->halted(((const struct fault_target *)tgt)->inner);
}

static bool conflicts_halted_row(const struct target *tgt, size_t i, const char *ret[2])
{
    const struct target_conflict_ops *ops = target_conflicts(((const struct fault_target *)tgt)->inner);
    return ops != NULL && ops->halted_row(((const struct fault_target *)tgt)->inner, i, ret);
}

static bool conflicts_give_up(struct target *tgt, bool keep, struct err *err)
{
    const struct target_conflict_ops *ops = inner_conflicts(tgt, err);
    return ops != NULL && ops->give_up(INNER(tgt), keep, err);
}

static bool conflicts_look(const struct conflicts_query *query,
                           bool (*each)(void *ctx, const struct conflict_view *view, struct err *err),
                           void *ctx, struct err *err)
{
    struct conflicts_query inner = *query;
    return fault_parse(query->url, &inner.url, err) && target_conflicts_look(&inner, each, ctx, err);
}

static bool conflicts_answer(const struct conflicts_query *query, const int64_t *ids, size_t count,
                             const char *side, int64_t *ret_count, struct err *err)
{
    struct conflicts_query inner = *query;
    return fault_parse(query->url, &inner.url, err) &&
           target_conflicts_answer(&inner, ids, count, side, ret_count, err);
}

static const struct target_conflict_ops fault_conflicts = {
    .start = conflicts_start,
    .check = conflicts_check,
    .halted = conflicts_halted,
    .halted_row = conflicts_halted_row,
    .give_up = conflicts_give_up,
    .look = conflicts_look,
    .answer = conflicts_answer,
};

static bool fault_abandon(struct target *tgt, struct err *err)
{
    return target_abandon(INNER(tgt), err);
}

static const struct target_write_ops fault_writing = {
    .begin = fault_begin, .write = fault_write, .commit = fault_commit, .abandon = fault_abandon};

static const struct target_narrow_ops fault_narrow = {
    .save = fault_save, .restore = fault_restore, .settle = fault_settle};

static bool fault_direct_look(struct target *tgt, uint64_t attempt, struct target_direct *ret,
                              struct err *err)
{
    return target_direct_look(INNER(tgt), attempt, ret, err);
}

const struct target_ops target_fault = {
    .name = "fault",
    .open = fault_open,
    .prepare = fault_prepare,
    .position = fault_position,
    .standbys = fault_standbys,
    .verdict = fault_verdict,
    .cancel = fault_cancel,
    .close = fault_close,
    .writing = &fault_writing,
    .narrow = &fault_narrow,
    .letters = &fault_letters,
    .desk = &fault_desk,
    .direct_look = fault_direct_look,
    .conflicts = &fault_conflicts,
};
