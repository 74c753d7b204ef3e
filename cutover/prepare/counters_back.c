/*
 * Owns the sequences of a rollback from MariaDB: those of PostgreSQL that the cutover had set its twins from are set to where the twins stand
 * now, never back, and read back. One without a twin was not counted on while MariaDB served: it stays.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/reverse.h"
#include "core/alloc.h"
#include "counters_maria.h"
#include "cutover/from_maria/from_maria.h"
#include "cutover/gates.h"
#include "prepare.h"

/* The pipeline of the way there: its sequences are those of the publication on PostgreSQL. */
struct there {
    char pipeline[64];
    struct cutover view; /* on the cutover's own sessions: for counters_maria.h and sequence_list.h alone */
};

static void look_there(const struct cutover *co, struct there *ret)
{
    *ret = (struct there){.view = {.cfg = co->cfg,
                                   .talk = co->talk,
                                   .store = &store_mariadb,
                                   .source = co->target,
                                   .maria = co->from_maria->main}};
    config_other_pipeline(co->cfg, ret->pipeline);
    ret->view.pipeline = ret->pipeline;
}

bool counters_back_gate(struct cutover *co, struct gate_result *gate)
{
    struct there there;
    struct sequence_list list;
    struct err failed = ERR_INIT;
    size_t alone = 0;
    look_there(co, &there);
    bool ok = sequence_list_read(&there.view, &list, &failed);
    for (size_t i = 0; ok && i < list.count; i++) {
        struct counter c;
        ok = counter_init(&there.view, &list.items[i], &c, &failed);
        alone += c.twin == TWIN_NONE;
        counter_release(&c);
    }
    co->sequence_count = list.count;
    gate_limit(gate, "set to where the source stands");
    gate_measured(gate, "%zu sequences, %zu of them have no twin on the source and stay", list.count, alone);
    sequence_list_release(&list);
    return ok || gate_unmeasured(gate, &failed);
}

static bool set_one(struct cutover *co, const struct sequence *s, int64_t next, struct err *err)
{
    struct strbuf name = STRBUF_INIT(1024);
    PG_RESULT_AUTO res = NULL;
    char number[32];
    pg_quote_table(&name, s->schema, s->name);
    (void)snprintf(number, sizeof number, "%" PRId64, next);
    const char *params[] = {name.data, number};
    bool ok = strbuf_ok(&name, "name", err) &&
              pg_query(co->target, "SELECT pg_catalog.setval($1::regclass, $2::bigint, false)", 2, params,
                       &res, err);
    strbuf_release(&name);
    return ok;
}

/* Where PostgreSQL's stands: what it would hand out next. */
static bool stands_there(struct there *there, const struct sequence_list *list, size_t i,
                         const struct counter *c, int64_t *ret, struct err *err)
{
    int64_t value;
    bool called;
    return sequence_values(there->view.source, list, i, 1, false, &value, &called, err) &&
           counter_next(c, value, called, ret, err);
}

static bool copy_one(struct cutover *co, struct there *there, const struct sequence_list *list, size_t i,
                     const struct counter *c, struct err *err)
{
    int64_t wanted = 0, at = 0;
    if (!counter_stands(&there->view, c, &wanted, err) || !stands_there(there, list, i, c, &at, err))
        return false;
    if (!counter_is_behind(c, at, wanted)) {
        co->report->sequences_kept += at != wanted;
        return true;
    }
    if (!set_one(co, &list->items[i], wanted, err) || !stands_there(there, list, i, c, &at, err))
        return false;
    return !counter_is_behind(c, at, wanted) ||
           err_set(err, ERR_DATA, "it stands at %" PRId64 " on the target after it was set to %" PRId64, at,
                   wanted);
}

bool counters_back_copy(struct cutover *co, struct err *err)
{
    struct there there;
    struct sequence_list list;
    look_there(co, &there);
    co->report->sequences_kept = 0;
    bool ok = sequence_list_read(&there.view, &list, err);
    for (size_t i = 0; ok && i < list.count; i++) {
        struct counter c;
        ok = counter_init(&there.view, &list.items[i], &c, err) &&
             (c.twin == TWIN_NONE || copy_one(co, &there, &list, i, &c, err));
        counter_release(&c);
        if (!ok)
            (void)err_wrap(err, "sequence=%s.%s", list.items[i].schema, list.items[i].name);
    }
    if (ok)
        co->report->sequences_set = list.count;
    sequence_list_release(&list);
    return ok;
}
