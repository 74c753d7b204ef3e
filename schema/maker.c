/*
 * Owns: taking a plan's steps: everything is looked at first, and nothing is made when something differs; then one statement after
 * the other, indexes and proofs of foreign keys on several connections.
 */
#include "schema.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "side.h"

#define TRIES_MAX   5 /* of a step that a deadlock or a lock timeout has ended */
#define WORKERS_MAX 64
/* Made in one transaction: their locks are held together. */
#define STEPS_AT_ONCE 20
#define STEPS_BYTES   ((size_t)1 << 20)
#define COPY_LOOK_MS  1000

struct maker {
    const struct config *cfg;
    const struct schema_plan *plan;
    const struct schema_request *req;
    struct schema_result *result;
    enum step_state *states; /* parallel to the plan's steps */
    size_t total, done;
    bool all; /* indexes as well, whether they were put off or not */
    bool waiting_told;
    /* Of a phase on several connections. */
    pthread_mutex_t lock;
    enum step_phase phase;
    bool validating;
    size_t next; /* step to be looked at */
    bool failed;
    struct err err; /* the first one */
};

static bool is_later(enum step_phase phase)
{
    return phase == PHASE_INDEXES || phase == PHASE_ATTACH || phase == PHASE_FOREIGN_KEYS ||
           phase == PHASE_LAST;
}

/* With indexes put off, the first run makes tables and keys, the second one the rest. */
static bool is_wanted(const struct maker *m, const struct plan_step *step)
{
    bool later = is_later(step->phase);
    if (m->all)
        return true;
    if (!schema_indexes_later(m->cfg))
        return !m->req->indexes;
    return later == m->req->indexes;
}

static void tell(struct maker *m, enum schema_event event, const struct plan_step *step, const char *why)
{
    struct schema_progress p = {.event = event,
                                .kind = step->kind,
                                .name = step->name,
                                .sql = step->sql,
                                .why = why,
                                .done = m->done,
                                .total = m->total};
    if (m->req->progress != NULL)
        m->req->progress(m->req->ctx, &p);
}

static bool stop_asked(const struct maker *m)
{
    struct pollfd fd = {.fd = m->req->stop_fd, .events = POLLIN};
    return m->req->stop_fd >= 0 && poll(&fd, 1, 0) > 0;
}

static bool open_side(const struct maker *m, struct side **ret, struct err *err)
{
    const char *url = config_text(m->cfg, "target.url");
    return m->plan->dialect == DIALECT_MARIADB
               ? side_mariadb_open(url, m->plan, ret, err)
               : side_postgres_open(url, m->plan, m->plan->objects, m->req->execute, ret, err);
}

static bool look_at(struct maker *m, struct side *side, size_t i, struct err *err)
{
    const struct plan_step *step = &m->plan->steps[i];
    char *why CLEANUP(free_ptr) = NULL;
    if (!side->ops->look(side, step, &m->states[i], &why, err))
        return err_wrap(err, "%s %s", step->kind, step->name);
    if (m->states[i] == STEP_DIFFERS) {
        m->result->differ++;
        tell(m, SCHEMA_DIFFERS, step, why);
    } else if (m->states[i] == STEP_THERE) {
        m->result->there++;
        tell(m, SCHEMA_THERE, step, NULL);
    } else {
        m->result->todo++;
        if (!m->req->execute)
            tell(m, SCHEMA_WOULD_MAKE, step, NULL);
    }
    return true;
}

static bool look_at_all(struct maker *m, struct side *side, struct err *err)
{
    for (size_t i = 0; i < m->plan->step_count; i++) {
        if (!is_wanted(m, &m->plan->steps[i]))
            continue;
        if (stop_asked(m))
            return err_set(err, ERR_INTERRUPTED, "stopped; nothing was made");
        if (!look_at(m, side, i, err))
            return false;
    }
    m->total = m->result->todo;
    return true;
}

static bool take_patiently(struct side *side, const struct plan_step *step, struct err *err)
{
    for (int tries = 1;; tries++) {
        struct err failed = ERR_INIT;
        if (side->ops->take(side, step, &failed))
            return true;
        if (err_policy(failed.code) != POLICY_RETRY || tries == TRIES_MAX) {
            if (err != NULL)
                *err = failed;
            return false;
        }
    }
}

static void count_made(struct maker *m, const struct plan_step *step)
{
    m->done++;
    m->result->made++;
    m->result->todo--;
    tell(m, SCHEMA_MADE, step, NULL);
}

static bool is_due(const struct maker *m, size_t i, enum step_phase phase)
{
    const struct plan_step *step = &m->plan->steps[i];
    return step->phase == phase && is_wanted(m, step) && m->states[i] == STEP_TODO;
}

static bool make_one(struct maker *m, struct side *side, const struct plan_step *step, struct err *err)
{
    tell(m, SCHEMA_MAKING, step, NULL);
    if (!take_patiently(side, step, err) || !failpoint("schema.after_step", err))
        return false;
    count_made(m, step);
    return true;
}

/* At once if nothing is the matter with any of them. *ret_done: they are made. */
static bool make_some(struct maker *m, struct side *side, const struct plan_step *const *steps, size_t count,
                      bool *ret_done, struct err *err)
{
    struct err refused = ERR_INIT;
    *ret_done =
        side->ops->take_some != NULL && count > 1 && side->ops->take_some(side, steps, count, &refused);
    for (size_t i = 0; *ret_done && i < count; i++) {
        tell(m, SCHEMA_MAKING, steps[i], NULL);
        if (!failpoint("schema.after_step", err))
            return false;
        count_made(m, steps[i]);
    }
    return true;
}

static bool make_in_order(struct maker *m, struct side *side, enum step_phase phase, struct err *err)
{
    for (size_t i = 0; i < m->plan->step_count;) {
        const struct plan_step *steps[STEPS_AT_ONCE];
        size_t count = 0, bytes = 0;
        bool done = false;
        for (; i < m->plan->step_count && count < STEPS_AT_ONCE && bytes < STEPS_BYTES; i++) {
            if (!is_due(m, i, phase))
                continue;
            steps[count++] = &m->plan->steps[i];
            bytes += strlen(m->plan->steps[i].sql);
        }
        if (count > 0 && stop_asked(m))
            return err_set(err, ERR_INTERRUPTED, "stopped; the same command goes on from here");
        if (!make_some(m, side, steps, count, &done, err))
            return false;
        for (size_t k = 0; !done && k < count; k++) {
            if (stop_asked(m))
                return err_set(err, ERR_INTERRUPTED, "stopped; the same command goes on from here");
            if (!make_one(m, side, steps[k], err))
                return false;
        }
    }
    return true;
}

/* --- several connections --- */

/* The next step for whoever asks; NULL = none is left. @thread any */
static const struct plan_step *next_step(struct maker *m)
{
    const struct plan_step *found = NULL;
    (void)pthread_mutex_lock(&m->lock);
    while (found == NULL && !m->failed && m->next < m->plan->step_count) {
        const struct plan_step *step = &m->plan->steps[m->next];
        bool mine = step->phase == m->phase && is_wanted(m, step) &&
                    (m->validating ? step->validate != NULL : m->states[m->next] == STEP_TODO);
        found = mine ? step : NULL;
        m->next++;
    }
    if (found != NULL && stop_asked(m)) {
        m->failed = true;
        err_set(&m->err, ERR_INTERRUPTED, "stopped; the same command goes on from here");
        found = NULL;
    }
    if (found != NULL && !m->validating)
        tell(m, SCHEMA_MAKING, found, NULL);
    (void)pthread_mutex_unlock(&m->lock);
    return found;
}

static void work_done(struct maker *m, const struct plan_step *step, bool ok, const struct err *err)
{
    (void)pthread_mutex_lock(&m->lock);
    if (!ok && !m->failed) {
        m->failed = true;
        m->err = *err;
    }
    if (ok && step != NULL && !m->validating)
        count_made(m, step);
    (void)pthread_mutex_unlock(&m->lock);
}

static void *work(void *arg)
{
    struct maker *m = arg;
    struct side *side = NULL;
    struct err err = ERR_INIT;
    if (!open_side(m, &side, &err)) {
        work_done(m, NULL, false, &err);
        return NULL;
    }
    for (const struct plan_step *step = next_step(m); step != NULL; step = next_step(m)) {
        bool ok = m->validating ? side->ops->validate(side, step, &err) : take_patiently(side, step, &err);
        ok = ok && failpoint("schema.after_step", &err);
        work_done(m, step, ok, &err);
    }
    side->ops->close(side);
    return NULL;
}

static bool make_in_parallel(struct maker *m, enum step_phase phase, bool validating, struct err *err)
{
    pthread_t threads[WORKERS_MAX];
    size_t wanted = (size_t)config_int(m->cfg, "schema.workers"), started = 0;
    m->phase = phase;
    m->validating = validating;
    m->next = 0;
    for (; started < MIN_OF(wanted, WORKERS_MAX); started++) {
        if (pthread_create(&threads[started], NULL, work, m) != 0)
            break;
    }
    if (started == 0)
        (void)work(m);
    for (size_t i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    if (m->failed && err != NULL)
        *err = m->err;
    return !m->failed;
}

static bool make_all(struct maker *m, struct side *side, struct err *err)
{
    if (!make_in_order(m, side, PHASE_TABLES, err))
        return false;
    /* Where foreign keys come unproven, making them takes a moment, and locks two tables: one after the other. */
    bool proves_later = m->plan->dialect == DIALECT_POSTGRES;
    if (m->req->indexes &&
        (!make_in_parallel(m, PHASE_INDEXES, false, err) || !make_in_order(m, side, PHASE_ATTACH, err) ||
         !(proves_later ? make_in_order(m, side, PHASE_FOREIGN_KEYS, err)
                        : make_in_parallel(m, PHASE_FOREIGN_KEYS, false, err)) ||
         !make_in_parallel(m, PHASE_FOREIGN_KEYS, true, err)))
        return false;
    return make_in_order(m, side, PHASE_LAST, err);
}

/* --- the copy --- */

static void tell_waiting(struct maker *m, enum copy_state state)
{
    static const struct plan_step what = {.kind = "copy", .name = "is under way", .sql = ""};
    static const struct plan_step not_begun = {.kind = "copy", .name = "has not begun", .sql = ""};
    if (!m->waiting_told)
        tell(m, SCHEMA_WAITING, state == COPY_NOT_BEGUN ? &not_begun : &what, NULL);
    m->waiting_told = true;
}

/* Looks again every second, on a connection of its own each time: a wait of hours outlives servers. An error that passes is
 * waited out, too. */
static bool wait_for_copy(struct maker *m, struct err *err)
{
    for (;;) {
        enum copy_state state = COPY_UNKNOWN;
        struct err failed = ERR_INIT;
        struct side *side = NULL;
        bool ok = open_side(m, &side, &failed) && side->ops->copied(side, &state, &failed);
        if (side != NULL)
            side->ops->close(side);
        if (ok && state == COPY_COMPLETE)
            return true;
        enum err_policy policy = ok ? POLICY_RETRY : err_policy(failed.code);
        if (policy != POLICY_RETRY && policy != POLICY_RECONNECT) {
            if (err != NULL)
                *err = failed;
            return false;
        }
        tell_waiting(m, state);
        struct pollfd fd = {.fd = m->req->stop_fd, .events = POLLIN};
        if (poll(&fd, 1, COPY_LOOK_MS) > 0)
            return err_set(err, ERR_INTERRUPTED, "stopped while the copy was under way; nothing was made");
    }
}

/* Foreign keys cannot hold in the middle of a copy, and indexes would slow it down. */
static bool copy_is_complete(struct maker *m, struct side *side, struct err *err)
{
    enum copy_state state = COPY_UNKNOWN;
    if (!m->req->indexes || !m->req->execute || m->req->copy == SCHEMA_COPY_IS_DONE)
        return true;
    if (!side->ops->copied(side, &state, err))
        return err_wrap(err, "target");
    if (state == COPY_UNDER_WAY)
        return err_set(err, ERR_REFUSED,
                       "the copy is not complete yet: indexes and foreign keys come after it (--wait waits "
                       "for it)");
    return true;
}

static bool create(struct maker *m, struct err *err)
{
    struct side *side = NULL;
    bool waits = m->req->indexes && m->req->execute && m->req->copy == SCHEMA_COPY_WAIT;
    if ((waits && !wait_for_copy(m, err)) || !open_side(m, &side, err))
        return false;
    bool ok = copy_is_complete(m, side, err) && look_at_all(m, side, err);
    if (ok && m->result->differ > 0)
        ok = err_set(err, ERR_REFUSED,
                     "%zu on the target are there and are others; nothing was made: drop or change them "
                     "there, or leave them "
                     "out",
                     m->result->differ);
    if (ok && m->req->execute)
        ok = make_all(m, side, err);
    side->ops->close(side);
    return ok;
}

enum copy_state side_copy_state(int64_t rows, int64_t of, int64_t open)
{
    return rows == 0 ? COPY_NOT_BEGUN : open == 0 && rows >= of ? COPY_COMPLETE : COPY_UNDER_WAY;
}

bool schema_create(const struct config *cfg, const struct schema_plan *plan, const struct schema_request *req,
                   struct schema_result *ret, struct err *err)
{
    struct maker m = {.cfg = cfg, .plan = plan, .req = req, .result = ret, .lock = PTHREAD_MUTEX_INITIALIZER};
    size_t open = schema_plan_decisions(plan);
    *ret = (struct schema_result){0};
    if (open > 0)
        return err_set(err, ERR_REFUSED,
                       "%zu decision%s open, and nothing is guessed: see crossfade schema plan", open,
                       open == 1 ? " is" : "s are");
    m.states = xcalloc(plan->step_count + 1, sizeof *m.states);
    bool ok = create(&m, err);
    free(m.states);
    (void)pthread_mutex_destroy(&m.lock);
    return ok;
}

bool schema_look(const struct config *cfg, const struct schema_plan *plan, const struct schema_request *req,
                 struct schema_result *ret, struct err *err)
{
    const struct schema_request look = {.stop_fd = req->stop_fd, .progress = req->progress, .ctx = req->ctx};
    struct maker m = {.cfg = cfg,
                      .plan = plan,
                      .req = &look,
                      .result = ret,
                      .all = true,
                      .lock = PTHREAD_MUTEX_INITIALIZER};
    struct side *side = NULL;
    *ret = (struct schema_result){0};
    m.states = xcalloc(plan->step_count + 1, sizeof *m.states);
    bool ok = open_side(&m, &side, err) && look_at_all(&m, side, err);
    if (side != NULL)
        side->ops->close(side);
    free(m.states);
    (void)pthread_mutex_destroy(&m.lock);
    return ok;
}
