/*
 * Conflicts: tables that the application writes on both sides (dual write). Apply knows the states that the source was in; a row of
 * the target that is in none of them was changed by somebody else, and a rule says which side wins. A target that
 * cannot tell leaves target_ops.conflicts NULL.
 *
 * What is a conflict. The target's row of a key may be as apply last knew it from the source (crossfade.applied holds a
 * hash of 128 bits for each key, moved in the same transaction as the rows), or in any state that the changes at hand take it
 * through: then the application's own write came first (an echo), and nothing needs to be written. "Not there" is a state like any
 * other. Everything else is a conflict: it is decided by the rule, and kept in crossfade.conflict with both rows. The hash always
 * moves to the source's state, also when the target wins: as long as its row differs, the next change of the source is a
 * conflict again.
 *
 * A target that is ahead of the changes at hand looks like a conflict. When the source comes to the row that the target had (crossfade.conflict keeps its
 * hash), a conflict that was decided is taken back: state resolved, decision none. That apply looks as far ahead as it can before it
 * decides: apply/dual_session.c.
 *
 * Rows are locked from the look to the commit, so that nothing comes between; a row that appears meanwhile under a key that was
 * free makes the batch be tried again.
 *
 * CONFLICT_HALT: nothing of the batch is written; the conflicts are kept as open, until a person has said which side to take, or
 * both sides agree.
 * @thread: the target's owner
 */
#ifndef TARGET_CONFLICTS_H
#define TARGET_CONFLICTS_H

#include "core/strbuf.h"
#include "target/target.h"

enum conflict_policy {
    CONFLICT_UNKNOWN = 0,
    CONFLICT_SOURCE_WINS,
    CONFLICT_TARGET_WINS,
    CONFLICT_NEWER_WINS, /* by a column. NULL, and a row that is not there, are older than any value; equal: the source */
    CONFLICT_HALT
};

struct conflict_rule {
    enum conflict_policy policy;
    const char *column; /* of NEWER_WINS */
    const char *text;   /* as written */
};

/* What the rule says, as an SQL expression in any dialect: 'source', 'target' or 'halt'. The query has the rule's column as q.sv (of the
 * source) and q.tv (of the target's row). */
void conflict_add_decision(struct strbuf *sb, enum conflict_policy policy);

/* A state that a change leaves a row in. States of one key in order; keys are numbered from 0. */
struct conflict_state {
    uint32_t key;
    uint32_t
        base;  /* key whose row on the target has the values that `row` lacks (a moved row: the old key) */
    bool last; /* of its key */
    bool was_absent;                /* on the last: some state of its key is "not there" */
    const struct datum *row;        /* NULL: not there */
    const struct datum *key_values; /* a row whose key columns are this key */
    lsn_t commit_lsn;
};

struct conflict_batch {
    struct target_table *table;
    const struct conflict_rule *rule;
    const struct conflict_state *states;
    size_t count, key_count;
    bool truncated; /* the table is emptied before these states come: there is nothing to conflict with */
};

struct conflict_counts {
    uint64_t source, target; /* conflicts by who won */
    uint64_t settled;        /* open ones that are no more */
};

static inline void conflict_counts_add(struct conflict_counts *to, const struct conflict_counts *more)
{
    to->source += more->source;
    to->target += more->target;
    to->settled += more->settled;
}

/* A conflict as people look at it; texts, "" where there is nothing. */
struct conflict_view {
    int64_t id;
    const char *schema_name, *table_name, *key, *kind, *policy, *state, *decision, *request;
    const char *source_row, *target_row; /* JSON */
    const char *commit_lsn, *seen_at, *settled_at;
};

struct conflicts_query {
    const char *url, *pipeline;
    int64_t id;   /* this one; 0 = those that are open */
    bool decided; /* the others, too */
};

#define CONFLICT_HALTED_MAX 10
#define CONFLICT_HALTED_LEN 80 /* both hashes as text */

struct target_conflict_ops {
    /* Takes up the tables for which rule_of gives a rule (their rows as they are become the state that apply knows), and forgets those that
     * have none any more. Not in a transaction. *ret_open: open conflicts of the pipeline. count 0: there are no rules. complete: the
     * position is; while it is not, tables that were taken up before stay watched, and others are not taken up: *ret_begun is false when
     * there are none such, and nothing was done. */
    bool (*start)(struct target *tgt,
                  const struct conflict_rule *(*rule_of)(void *ctx, const char *schema_name,
                                                         const char *table_name),
                  void *ctx, size_t count, bool complete, bool *ret_begun, uint64_t *ret_open,
                  struct err *err);
    /* In a transaction, before the rows are written. ret_done[key]: nothing is to be written for it any more: the target's row wins, is as it
     * has to be, or was made here. A conflict that needs a person is ERR_SQL, and halted() is then true. */
    bool (*check)(struct target *tgt, const struct conflict_batch *batch, bool *ret_done,
                  struct conflict_counts *ret, struct err *err);
    bool (*halted)(const struct target *tgt);
    /* Which rows halted (the first CONFLICT_HALTED_MAX of them): ret: hashes of the key and of the target's row as text. False: there is no
     * i-th. ret is valid until give_up. */
    bool (*halted_row)(const struct target *tgt, size_t i, const char *ret[2]);
    /* Ends the transaction without a trace; keep: what halted is open in crossfade.conflict from now on. */
    bool (*give_up)(struct target *tgt, bool keep, struct err *err);
    /* These two open a connection of their own and need no lock. */
    bool (*look)(const struct conflicts_query *query,
                 bool (*each)(void *ctx, const struct conflict_view *view, struct err *err), void *ctx,
                 struct err *err);
    /* Says of open conflicts which side to take ("source", "target"): apply does it at its next start. *ret_count: how many were found. */
    bool (*answer)(const struct conflicts_query *query, const int64_t *ids, size_t count, const char *side,
                   int64_t *ret_count, struct err *err);
};

/* NULL: the target cannot tell. */
const struct target_conflict_ops *target_conflicts(const struct target *tgt);
/* As look and answer of the implementation that query->url chooses. */
bool target_conflicts_look(const struct conflicts_query *query,
                           bool (*each)(void *ctx, const struct conflict_view *view, struct err *err),
                           void *ctx, struct err *err) MUST_CHECK;
bool target_conflicts_answer(const struct conflicts_query *query, const int64_t *ids, size_t count,
                             const char *side, int64_t *ret_count, struct err *err) MUST_CHECK;

#endif
