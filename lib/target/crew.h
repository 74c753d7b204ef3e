/*
 * Several writers in one atomic commit ("crew"). One target, the lead, has the lock and the position; the others only write
 * rows. Each writer ends its transaction prepared (two-phase commit); the lead's own commit, which notes the next position
 * as `pending` in the row of the position, decides; then the prepared ones are committed, and only then the position moves.
 * So whoever finds the position moved finds all of its rows, and one who finds `pending` set has to wait. What a process left
 * behind is settled by recover() before the target is used: those of the pending token are committed, all others rolled back.
 *
 * Which writer: the hash of the columns of the key that the target's implementation names (target_table.split). Rows of one key
 * always meet the same writer, and writers never wait for each other's locks: what could make them (foreign keys that fire, further
 * unique indexes, triggers) keeps a table, or the batch, with one of them. Target.c asks here before it calls an implementation.
 * @thread: the target's owner; crew_cancel from any
 */
#ifndef TARGET_CREW_H
#define TARGET_CREW_H

#include "target/target.h"

/* What an implementation has to have for it. `token` names one try of a batch, in letters, digits and '-'. */
struct target_crew_ops {
    /* A writer beside the lead. ERR_CONFIG: the server has no room for so many prepared transactions; ERR_UNSUPPORTED: for none. */
    bool (*open_writer)(const struct target_options *options, unsigned number, struct target **ret,
                        struct err *err);
    /* As target_write_ops.begin; a transaction that is prepared already is rolled back. */
    bool (*begin_writer)(struct target *tgt, uint64_t attempt, const char *token, struct err *err);
    bool (*prepare_writer)(struct target *tgt, struct err *err);
    bool (*commit_writer)(struct target *tgt, struct err *err);
    /* Of the lead. share: in its transaction; the batches' tables are made ready for rows. ret_may[i] false: others must not touch that of
     * batches[i] in this transaction. */
    bool (*share)(struct target *lead, const struct target_batch *batches, size_t count, bool *ret_may,
                  struct err *err);
    /* Ends the lead's transaction, with the position noted as pending. ERR_FENCED as commit. */
    bool (*decide)(struct target *lead, const struct target_position *position, const char *token,
                   struct err *err);
    /* The pending position, if there is one, becomes the position. */
    bool (*finish)(struct target *lead, const struct target_position *position, struct err *err);
    /* Settles what an earlier process, or an earlier try, has left prepared, and finishes. Not in a transaction. */
    bool (*recover)(struct target *lead, struct err *err);
};

struct crew;

/* lead: open, with its crew ops. Opens options->writers - 1 others. *ret NULL: the server keeps no prepared transactions, the lead
 * writes alone (logged). */
bool crew_open(struct target *lead, const struct target_options *options, struct crew **ret,
               struct err *err) MUST_CHECK;
void crew_close(struct crew *crew); /* NULL allowed; the lead is left */
bool crew_begin(struct crew *crew, uint64_t attempt, struct err *err) MUST_CHECK;
bool crew_abandon(struct crew *crew, struct err *err) MUST_CHECK;
bool crew_write(struct crew *crew, enum target_mode mode, const struct target_batch *batches, size_t count,
                struct err *err) MUST_CHECK;
bool crew_commit(struct crew *crew, const struct target_position *position, struct err *err) MUST_CHECK;
/* The lead goes on without the others until the next begin (savepoints). */
bool crew_alone(struct crew *crew, struct err *err) MUST_CHECK;
/* The lead has just read its position. */
void crew_saw_position(struct crew *crew, bool found);
void crew_cancel(struct crew *crew);

#endif
