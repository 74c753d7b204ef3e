/* Owns: the gates of a cutover that the target's control tables answer. See readiness.h. */
#include "readiness.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "control.h"
#include "core/clock.h"
#include "watch.h"

static struct readiness_gate *add_gate(struct readiness *r, const char *name)
{
    struct readiness_gate *gate = &r->gates[r->count++];
    *gate = (struct readiness_gate){.name = name, .met = true};
    return gate;
}

static void refuse(struct readiness_gate *gate, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void refuse(struct readiness_gate *gate, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(gate->hint, sizeof gate->hint, fmt, ap);
    va_end(ap);
    gate->met = false;
}

static void measured(struct readiness_gate *gate, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void measured(struct readiness_gate *gate, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(gate->measured, sizeof gate->measured, fmt, ap);
    va_end(ap);
}

/* Rows in a control table that need not be there. */
static bool count_rows(struct session *target, const char *table, const char *sql, const char *pipeline,
                       struct readiness_gate *gate, int64_t *ret)
{
    struct err failed = ERR_INIT;
    int64_t there = 0;
    *ret = 0;
    if (session_int64(target, control_of(target)->table_there, 1, &table, &there, &failed) &&
        (there == 0 || session_int64(target, sql, 1, &pipeline, ret, &failed)))
        return true;
    refuse(gate, "%.200s", failed.text);
    return false;
}

/* What the target refused is not on it. */
static void gate_dead_letters(const struct config *cfg, struct session *target, struct readiness *r)
{
    struct readiness_gate *gate = add_gate(r, "dead_letters");
    int64_t held = 0;
    (void)snprintf(gate->limit, sizeof gate->limit, "none held");
    if (!count_rows(target, "dead_letter", control_of(target)->held_letters, config_text(cfg, "pipeline"),
                    gate, &held))
        return;
    measured(gate, "%" PRId64 " held", held);
    if (held > 0)
        refuse(gate, "changes are not on the target: `crossfade apply dlq list`; mend it and retry, then "
                     "compare again");
}

/* What a person has to decide has not been decided; what is written on both sides has to end before. */
static void gate_conflicts(const struct config *cfg, struct session *target, struct readiness *r)
{
    struct readiness_gate *gate = add_gate(r, "conflicts");
    int64_t open = 0;
    (void)snprintf(gate->limit, sizeof gate->limit, "none open");
    if (!count_rows(target, "conflict", control_of(target)->open_conflicts, config_text(cfg, "pipeline"),
                    gate, &open))
        return;
    measured(gate, "%" PRId64 " open", open);
    if (open > 0)
        refuse(gate, "both sides have changed rows: `crossfade apply conflicts list`; resolve them, then "
                     "compare again");
}

struct last_verdict {
    char verdict[16], failed_scope[121];
    int64_t age_s;
    bool there, built;
};

static bool read_verdict(struct session *target, const char *pipeline, struct last_verdict *ret,
                         struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!session_ask(target, control_of(target)->last_verdict, 1, &pipeline, &res, err))
        return false;
    *ret = (struct last_verdict){.there = rowset_rows(res) > 0};
    if (ret->there) {
        (void)snprintf(ret->verdict, sizeof ret->verdict, "%s", rowset_cell(res, 0, 0));
        (void)snprintf(ret->failed_scope, sizeof ret->failed_scope, "%s", rowset_cell(res, 0, 3));
        ret->age_s = rowset_int64(res, 0, 1);
        ret->built = strcmp(rowset_cell(res, 0, 2), "changed") == 0;
    }
    return true;
}

/* A comparison of everything stands for itself; one of a part can only take away. */
static void count_in(const struct compare_result *now, struct last_verdict *last)
{
    if (now->full && now->level != LEVEL_COUNTS) {
        *last = (struct last_verdict){.there = true, .built = now->built};
        (void)snprintf(last->verdict, sizeof last->verdict, "%s", compare_verdict_name(now->verdict));
    } else if (now->verdict == VERDICT_FAIL && last->there) {
        (void)snprintf(last->failed_scope, sizeof last->failed_scope, "%s",
                       now->full ? "counts of all tables" : "some tables");
    }
}

static void gate_verdict(const struct config *cfg, struct session *target, const struct compare_result *now,
                         struct readiness *r)
{
    struct readiness_gate *gate = add_gate(r, "verdict");
    int64_t limit_s = config_int(cfg, "cutover.verdict_max_age_s");
    struct err failed = ERR_INIT;
    struct last_verdict last;
    (void)snprintf(gate->limit, sizeof gate->limit, "PASS of all tables, <= %" PRId64 " s old", limit_s);
    if (!read_verdict(target, config_text(cfg, "pipeline"), &last, &failed)) {
        refuse(gate, "%.200s", failed.text);
        return;
    }
    if (now != NULL)
        count_in(now, &last);
    if (!last.there) {
        measured(gate, "never compared");
        refuse(gate, "run `crossfade compare run`");
        return;
    }
    measured(gate, "%s, %" PRId64 " s old%s", last.verdict, last.age_s,
             last.built ? ", built on earlier ones" : "");
    if (last.failed_scope[0] != '\0')
        refuse(gate, "a comparison of %s found differences since: repair, then `crossfade compare run`",
               last.failed_scope);
    else if (strcmp(last.verdict, "PASS") != 0)
        refuse(gate, "the last full comparison is not a PASS: look at its report, repair, compare again");
    else if (last.age_s > limit_s)
        refuse(gate, "compare again: `crossfade compare run`");
}

/* The window of compare watch: every level of it, without a gap. */
static void gate_clean_window(const struct config *cfg, struct readiness *r)
{
    int64_t wanted_s = config_int(cfg, "cutover.clean_for");
    if (wanted_s == 0)
        return;
    struct readiness_gate *gate = add_gate(r, "clean_window");
    int64_t since_us = 0, clean_s = 0;
    struct err failed = ERR_INIT;
    (void)snprintf(gate->limit, sizeof gate->limit, "clean for %" PRId64 " s", wanted_s);
    if (!watch_clean_since(cfg, &since_us, &failed)) {
        refuse(gate, "%.200s", failed.text);
        return;
    }
    if (since_us > 0) {
        clean_s = MAX_OF(0, clock_wall_us() - since_us) / 1000000;
        measured(gate, "clean for %" PRId64 " s", clean_s);
    } else {
        measured(gate, "not clean");
    }
    if (since_us == 0 || clean_s < wanted_s)
        refuse(gate,
               "let `crossfade compare watch` run: `crossfade compare history` shows what breaks its window");
}

void readiness_read(const struct config *cfg, struct session *target, const struct compare_result *now,
                    struct readiness *ret)
{
    *ret = (struct readiness){.ready = true};
    gate_dead_letters(cfg, target, ret);
    gate_conflicts(cfg, target, ret);
    gate_verdict(cfg, target, now, ret);
    gate_clean_window(cfg, ret);
    for (size_t i = 0; i < ret->count; i++)
        ret->ready = ret->ready && ret->gates[i].met;
}

bool readiness_of(const struct config *cfg, struct readiness *ret, struct err *err)
{
    struct session *target = NULL;
    if (!session_open(config_text(cfg, "target.url"), "target", config_text(cfg, "pipeline"), &target, err))
        return false;
    readiness_read(cfg, target, NULL, ret);
    session_close(target);
    return true;
}

const struct readiness_gate *readiness_find(const struct readiness *readiness, const char *name)
{
    for (size_t i = 0; i < readiness->count; i++) {
        if (strcmp(readiness->gates[i].name, name) == 0)
            return &readiness->gates[i];
    }
    return NULL;
}
