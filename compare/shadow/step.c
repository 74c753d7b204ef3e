/* Owns: what happens to one query. See step.h. */
#include "step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "edges.h"
#include "plan_shape.h"

#define FIRST_PAUSE_US 200000
#define WHY_MAX        300

struct step {
    struct step_sides *sides;
    const struct step_rules *rules;
    const struct shadow_variant *variant;
    struct query_result *q;
    uint64_t *random;
    bool moved; /* the source was seen to answer in two ways */
};

static bool run(struct step *s, enum side_shown side, struct lane_answer *ret, struct err *err)
{
    struct lane *lane = side == SHOWN_SOURCE  ? &s->sides->source
                        : side == SHOWN_AGAIN ? &s->sides->again
                                              : &s->sides->target;
    s->rules->pace(s->rules->ctx);
    return lane_run(lane, s->variant, side == SHOWN_TARGET, ret, err) ||
           err_wrap(err, side == SHOWN_TARGET ? "target" : "source");
}

/* Two sides, either first. */
static bool run_two(struct step *s, enum side_shown one, enum side_shown other,
                    struct lane_answer answers[SHOWN_COUNT], struct err *err)
{
    bool swap = shadow_random_below(s->random, 2) == 1;
    return run(s, swap ? other : one, &answers[swap ? other : one], err) &&
           run(s, swap ? one : other, &answers[swap ? one : other], err);
}

static bool transient_state(const char *state)
{
    /* resources, operator's intervention, serialization: the next try may go well */
    return strncmp(state, "53", 2) == 0 || strncmp(state, "57P", 3) == 0 || strncmp(state, "40", 2) == 0 ||
           strcmp(state, "55P03") == 0;
}

static struct rows_query shape_of(const struct step *s)
{
    const struct sql_statement *st = &s->variant->st;
    return (struct rows_query){.ordered = st->ordered, .limited = st->limited, .offset = st->offset.given};
}

static enum outcome judge_rows(const struct step *s, const struct lane_answer *a, const struct lane_answer *b,
                               char why[WHY_MAX])
{
    const struct rows_query shape = shape_of(s);
    enum rows_relation relation = rows_hash_compare(&a->rows, &b->rows, &shape);
    bool keys_shown = a->rows.has_keys && b->rows.has_keys && !a->rows.vague_keys && !b->rows.vague_keys;
    switch (relation) {
    case ROWS_EQUAL:
        return OUTCOME_EQUAL;
    case ROWS_FLOATS:
    case ROWS_TIES:
    case ROWS_ORDER:
        return OUTCOME_EQUAL; /* count_notes() says so */
    case ROWS_DISORDER:
        (void)snprintf(why, WHY_MAX, "the same %llu rows in another order of their sort keys",
                       (unsigned long long)a->rows.rows);
        return OUTCOME_DIFFERENT;
    case ROWS_EDGE:
    case ROWS_DIFFER:
        break;
    }
    if (a->rows.columns != b->rows.columns)
        (void)snprintf(why, WHY_MAX, "%zu columns on the source, %zu on the target", a->rows.columns,
                       b->rows.columns);
    else if (a->rows.rows != b->rows.rows)
        (void)snprintf(why, WHY_MAX, "%llu rows on the source, %llu on the target",
                       (unsigned long long)a->rows.rows, (unsigned long long)b->rows.rows);
    else
        (void)snprintf(why, WHY_MAX, "%llu rows on each side, with other values",
                       (unsigned long long)a->rows.rows);
    if (s->variant->st.open != 0) {
        (void)snprintf(why, WHY_MAX, "differs, but depends on %s", sql_open_text(s->variant->st.open));
        return OUTCOME_UNDECIDED;
    }
    if (shape.limited && a->rows.rows == b->rows.rows && (!shape.ordered || !keys_shown)) {
        (void)snprintf(why, WHY_MAX, "differs, but LIMIT leaves open which rows come: %s",
                       shape.ordered ? "its sort keys cannot be seen in the output" : "there is no ORDER BY");
        return OUTCOME_UNDECIDED;
    }
    if (relation == ROWS_EDGE) {
        (void)snprintf(why, WHY_MAX,
                       "differs in rows of the %slast sort key: LIMIT may leave open which come",
                       shape.offset ? "first or " : "");
        return OUTCOME_UNDECIDED;
    }
    return OUTCOME_DIFFERENT;
}

/* Read-only is what we asked for: a statement that it stops is not one of ours to compare. */
static const char *both_fail_text(const char *state)
{
    if (strcmp(state, "25006") == 0)
        return "writes: stopped by the read-only transaction";
    if (strcmp(state, "57014") == 0)
        return "compare.shadow.statement_timeout_ms on both sides";
    if (strcmp(state, "42501") == 0)
        return "our role may not run it";
    return "both sides fail alike";
}

static enum outcome judge(const struct step *s, const struct lane_answer *a, const struct lane_answer *b,
                          char why[WHY_MAX])
{
    *why = '\0';
    if (a->end == LANE_ERROR && b->end == LANE_ERROR && strcmp(a->sqlstate, b->sqlstate) == 0) {
        (void)snprintf(why, WHY_MAX, "%s (SQLSTATE %s)", both_fail_text(a->sqlstate), a->sqlstate);
        return strcmp(a->sqlstate, "25006") == 0 ? OUTCOME_REFUSED : OUTCOME_BOTH_FAIL;
    }
    if (a->end == LANE_ERROR || b->end == LANE_ERROR) {
        const struct lane_answer *failed = b->end == LANE_ERROR ? b : a;
        (void)snprintf(why, WHY_MAX, "%s: %s",
                       b->end == LANE_ERROR && a->end == LANE_ERROR ? "each fails in its own way; target"
                       : b->end == LANE_ERROR                       ? "fails on the target alone"
                                                                    : "fails on the source alone",
                       failed->text);
        return OUTCOME_ERROR;
    }
    if (a->end == LANE_TOO_LARGE && b->end == LANE_TOO_LARGE)
        return (void)snprintf(why, WHY_MAX, "more rows than compare.shadow.max_rows"), OUTCOME_TOO_LARGE;
    if (a->end == LANE_TOO_LARGE || b->end == LANE_TOO_LARGE)
        return (void)snprintf(why, WHY_MAX, "more rows than compare.shadow.max_rows on one side alone"),
               OUTCOME_DIFFERENT;
    return judge_rows(s, a, b, why);
}

/* How equal answers were not quite the same. */
static void count_notes(struct step *s, const struct lane_answer *a, const struct lane_answer *b)
{
    const struct rows_query shape = shape_of(s);
    enum rows_relation relation = rows_hash_compare(&a->rows, &b->rows, &shape);
    pthread_mutex_lock(&s->q->lock);
    s->q->floats += relation == ROWS_FLOATS;
    s->q->ties += relation == ROWS_TIES || relation == ROWS_EDGE;
    s->q->order += relation == ROWS_ORDER;
    pthread_mutex_unlock(&s->q->lock);
}

static bool is_edge(const struct step *s, const struct lane_answer *a, const struct lane_answer *b)
{
    const struct rows_query shape = shape_of(s);
    return a->end == LANE_ROWS && b->end == LANE_ROWS && s->variant->st.open == 0 &&
           rows_hash_compare(&a->rows, &b->rows, &shape) == ROWS_EDGE;
}

static bool alike(const struct step *s, const struct lane_answer *a, const struct lane_answer *b)
{
    char why[WHY_MAX];
    return judge(s, a, b, why) <= OUTCOME_EQUAL || is_edge(s, a, b);
}

static bool may_pass(const struct lane_answer *answers)
{
    return transient_state(answers[SHOWN_SOURCE].sqlstate) || transient_state(answers[SHOWN_TARGET].sqlstate);
}

/* A finding that the next try does not show. Equal then: it moved (live), or was a hiccup; at a fence nothing moves, and one of the
 * sides does not know its answer. No answer then (a timeout on both sides): nothing is refuted. */
static enum outcome settle(struct step *s, enum outcome seen, enum outcome now, bool excused,
                           char why[WHY_MAX])
{
    if (now == OUTCOME_EQUAL && (excused || seen == OUTCOME_UNDECIDED)) {
        pthread_mutex_lock(&s->q->lock);
        s->q->transient++;
        pthread_mutex_unlock(&s->q->lock);
        return OUTCOME_EQUAL;
    }
    if (now == OUTCOME_EQUAL) {
        (void)snprintf(why, WHY_MAX, "an answer changed though nothing moves at a fence");
        return OUTCOME_UNSTABLE;
    }
    char again[WHY_MAX];
    (void)snprintf(again, sizeof again, "%s", why);
    (void)snprintf(why, WHY_MAX, "was %s; could not be looked at again: %.200s", outcome_name(seen), again);
    return OUTCOME_UNDECIDED;
}

/* The finding stands until the source disagrees with itself, or a later try agrees. At a fence nothing moves: one more try, and the
 * source once more. Live, the pauses grow, and a source that moves meanwhile proves nothing. */
static bool confirm(struct step *s, struct lane_answer answers[SHOWN_COUNT], enum outcome *outcome,
                    char why[WHY_MAX], struct err *err)
{
    int tries = s->rules->live ? s->rules->rechecks : 1;
    int64_t pause_us = FIRST_PAUSE_US;
    struct lane_answer first = answers[SHOWN_SOURCE];
    bool moved = false, hiccup = may_pass(answers);
    for (int i = 0; i < tries + hiccup; i++, pause_us *= 2) {
        if ((s->rules->live || hiccup) && !s->rules->pause(s->rules->ctx, pause_us))
            return err_set(err, ERR_INTERRUPTED, "stopped");
        if (!run_two(s, SHOWN_AGAIN, SHOWN_TARGET, answers, err))
            return false;
        enum outcome now = judge(s, &answers[SHOWN_AGAIN], &answers[SHOWN_TARGET], why);
        moved = moved || !alike(s, &first, &answers[SHOWN_AGAIN]);
        if (now < OUTCOME_UNDECIDED) {
            *outcome = settle(s, *outcome, now, s->rules->live || hiccup, why);
            return true;
        }
        *outcome = now;
    }
    s->moved = moved;
    if (moved && s->rules->live) {
        (void)snprintf(why, WHY_MAX,
                       "differs, but the source moves faster than it can be read twice: needs a fence");
        *outcome = OUTCOME_UNDECIDED;
    } else if (moved) {
        (void)snprintf(why, WHY_MAX, "the source does not answer itself alike");
        *outcome = OUTCOME_UNSTABLE;
    }
    return true;
}

/* Rows of the last sort key differ (or of the first, with OFFSET): whether LIMIT had a choice, a wider look tells. */
static bool look_beyond(struct step *s, enum outcome *outcome, char why[WHY_MAX], struct err *err)
{
    struct edges edges;
    struct step wider = *s;
    struct lane_answer answers[SHOWN_COUNT];
    if (!edges_make(&edges, s->variant))
        return true;
    wider.variant = &edges.wider;
    bool ok = run_two(&wider, SHOWN_AGAIN, SHOWN_TARGET, answers, err);
    bool both = ok && answers[SHOWN_AGAIN].end == LANE_ROWS && answers[SHOWN_TARGET].end == LANE_ROWS;
    if (both && edges_are_clean(&edges, &answers[SHOWN_AGAIN]) &&
        edges_are_clean(&edges, &answers[SHOWN_TARGET])) {
        (void)snprintf(why, WHY_MAX, "rows with the same sort keys have other values");
        *outcome = OUTCOME_DIFFERENT;
    } else if (both) {
        *why = '\0';
        *outcome = OUTCOME_EQUAL; /* ties: count_notes() says so */
    }
    edges_release(&edges);
    return ok;
}

static void keep_sample(struct step *s, const struct lane_answer answers[SHOWN_COUNT])
{
    struct query_result *q = s->q;
    pthread_mutex_lock(&q->lock);
    for (int i = 0; i < SHOWN_COUNT; i++)
        histogram_add(&q->times[i], answers[i].us);
    if (q->sample_count < s->rules->sample_max)
        q->samples[q->sample_count++] = (struct latency_sample){.source_us = (float)answers[SHOWN_SOURCE].us,
                                                                .again_us = (float)answers[SHOWN_AGAIN].us,
                                                                .target_us = (float)answers[SHOWN_TARGET].us};
    q->rows = answers[SHOWN_SOURCE].rows.rows;
    pthread_mutex_unlock(&q->lock);
}

/* All three with warm caches, in random order. */
static bool measure(struct step *s, struct err *err)
{
    enum side_shown order[SHOWN_COUNT] = {SHOWN_SOURCE, SHOWN_AGAIN, SHOWN_TARGET};
    struct lane_answer answers[SHOWN_COUNT];
    bool good = true;
    for (size_t i = SHOWN_COUNT - 1; i > 0; i--) {
        size_t j = (size_t)shadow_random_below(s->random, i + 1);
        enum side_shown t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (size_t i = 0; i < SHOWN_COUNT; i++) {
        if (!run(s, order[i], &answers[order[i]], err))
            return false;
        good = good && answers[order[i]].end == LANE_ROWS;
    }
    if (good)
        keep_sample(s, answers);
    return true;
}

bool step_run(struct step_sides *sides, const struct step_rules *rules, const struct shadow_query *query,
              size_t variant, struct query_result *q, uint64_t *random, struct err *err)
{
    struct step s = {
        .sides = sides, .rules = rules, .variant = &query->variants[variant], .q = q, .random = random};
    struct lane_answer answers[SHOWN_COUNT];
    char why[WHY_MAX];
    if (!run_two(&s, SHOWN_SOURCE, SHOWN_TARGET, answers, err))
        return false;
    enum outcome outcome = judge(&s, &answers[SHOWN_SOURCE], &answers[SHOWN_TARGET], why);
    enum side_shown shown = outcome >= OUTCOME_UNDECIDED ? SHOWN_AGAIN : SHOWN_SOURCE;
    if (outcome >= OUTCOME_UNDECIDED && !confirm(&s, answers, &outcome, why, err))
        return false;
    if (outcome == OUTCOME_UNDECIDED && !s.moved && is_edge(&s, &answers[shown], &answers[SHOWN_TARGET]) &&
        !look_beyond(&s, &outcome, why, err))
        return false;
    query_result_note(q, outcome, variant, why);
    bool both = answers[SHOWN_SOURCE].end == LANE_ROWS && answers[SHOWN_TARGET].end == LANE_ROWS;
    if (both && outcome == OUTCOME_EQUAL)
        count_notes(&s, &answers[shown], &answers[SHOWN_TARGET]);
    return !both || measure(&s, err);
}

bool step_explain(struct step_sides *sides, const struct shadow_query *query, struct query_result *q,
                  struct err *err)
{
    char *explained[2] = {NULL, NULL};
    const struct shadow_variant *v = &query->variants[q->variant];
    bool ok = lane_explain(&sides->source, v, false, &explained[0], err) &&
              lane_explain(&sides->target, v, true, &explained[1], err);
    for (int i = 0; ok && i < 2 && v->target_sql == NULL; i++)
        q->plan[i] = explained[i] != NULL ? plan_shape(explained[i]) : NULL;
    free(explained[0]);
    free(explained[1]);
    return ok;
}
