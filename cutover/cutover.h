/*
 * Cutover: gates → freeze → final fence → drain → sequences → compare → decide → done. The states
 * are data, in states.c. Either it completes or the source goes on serving: every step is written to
 * crossfade.cutover on the target before it is taken, the decision is one row on the source
 * (crossfade.decision, compare-and-set).
 * @thread owner
 */
#ifndef CUTOVER_CUTOVER_H
#define CUTOVER_CUTOVER_H

#include "audit/audit.h"
#include "config/config.h"

enum gate_verdict { GATE_UNKNOWN = 0, GATE_OK, GATE_REFUSED };

struct gate_result {
    const char *name; /* stable: "roles_alive" */
    enum gate_verdict verdict;
    char measured[160]; /* what was found */
    char limit[80];     /* what is allowed */
    char hint[800];     /* what to do; "" when ok */
    char *
        statements; /* malloc'd: all that is to be run on the target for it to hold, a line each; NULL = none */
};

#define CUTOVER_GATES_MAX 40
#define CUTOVER_STEPS_MAX 32

struct cutover_step {
    const char *state; /* name of the state entered */
    int64_t took_us;   /* time of the action that led there */
};

/* A step as the state table has it, and what it will take. */
struct cutover_estimate {
    const char *state, *guard, *action, *undo, *then; /* guard: "" = nothing has to hold */
    int64_t ms;                                       /* -1 = unknown */
    int64_t deadline_ms;                              /* -1 = none */
    bool in_pause;                                    /* clients wait */
    char basis[160];                                  /* where the figure comes from */
};

struct cutover_report {
    char id[40];         /* "" if none was begun */
    const char *outcome; /* "planned", "refused", "done", "aborted", "needs_person" */
    struct gate_result gates[CUTOVER_GATES_MAX];
    size_t gate_count;
    struct cutover_estimate estimates[CUTOVER_STEPS_MAX];
    size_t estimate_count;
    int64_t pause_estimate_ms; /* -1 = unknown */
    int64_t pause_budget_ms;   /* cutover.pause_budget_ms */
    struct cutover_step steps[CUTOVER_STEPS_MAX];
    size_t step_count;
    int64_t pause_us; /* writers refused: from the first lock to the decision (or back); 0 = none */
    char final_lsn[24];
    char verdict[16];                     /* of the final comparison; "" = not run */
    char verdict_scope[200];              /* which tables it read */
    size_t sequences_set, sequences_kept; /* kept: of them, further on on the target already */
    char prepared[400];                   /* what was made ready before the pause; "" = nothing had to be */
    char stragglers[200];                 /* sessions ended */
    char plan_hash[SHA256_HEX];           /* what approvals are for */
    struct audit_mark audit; /* of the last row that was written and is known to the source; seq 0 = none */
    char reason[1200];       /* why it was refused or aborted; "" = neither */
};

/* Frees what a report holds; it may be zeroed. Idempotent. */
void cutover_report_release(struct cutover_report *report);

struct cutover_talk {
    void *ctx;
    /* One line for a person, as it happens. */
    void (*say)(void *ctx, const char *text);
    bool (*stop_asked)(void *ctx);
    /* Whether the person names this database when asked which one is moved; NULL = nobody is asked. */
    bool (*confirm)(void *ctx, const char *database);
    int stop_fd; /* readable when stop_asked() is true; -1 = none */
};

/* Exit codes (docs/OPERATIONS.md). */
enum {
    CUTOVER_EXIT_DONE = 0,
    CUTOVER_EXIT_REFUSED = 10,
    CUTOVER_EXIT_ABORTED = 11,
    CUTOVER_EXIT_PERSON = 12
};

/* Runs all gates, changes nothing on either side (pings the pipeline through a marker row). */
bool cutover_plan(const struct config *cfg, const struct cutover_talk *talk, struct cutover_report *ret,
                  struct err *err) MUST_CHECK;
/* Gates, then the whole of it; resumes an unfinished one first. True when done or refused or aborted in good
 * order (see ret->outcome); false with err if it could not run or needs a person. */
bool cutover_execute(const struct config *cfg, const struct cutover_talk *talk, struct cutover_report *ret,
                     struct err *err) MUST_CHECK;
/* Goes on with an unfinished one; refused when there is none. */
bool cutover_resume(const struct config *cfg, const struct cutover_talk *talk, struct cutover_report *ret,
                    struct err *err) MUST_CHECK;
/* Puts the source back if the decision is still open. A cutover that runs elsewhere is told to (through the decision row), and waited
 * for. Idempotent. */
bool cutover_abort(const struct config *cfg, const struct cutover_talk *talk, struct cutover_report *ret,
                   struct err *err) MUST_CHECK;
/* Before a capture of the way back begins for the first time: nothing of what apply writes there may be taken for an application's. ERR_REFUSED:
 * the copy is not complete, or apply has no replication origin. cfg: turned round. */
bool cutover_way_back_may_begin(const struct config *cfg, struct err *err) MUST_CHECK;
/* The state table as text (plan prints it), as a Mermaid diagram, and as a page of the docs. */
void cutover_describe(struct strbuf *out);
void cutover_diagram(struct strbuf *out);
void cutover_markdown(struct strbuf *out);
int cutover_exit_code(const struct cutover_report *report);

#endif
