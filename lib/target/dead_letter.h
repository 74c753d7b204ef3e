/*
 * Dead letters: records of the journal that the target refused, kept in the target itself (crossfade.dead_letter), so
 * that they are written in the same transaction as the position that passes them (promises 2 and 7). A target that has
 * none leaves letters and desk of target_ops NULL.
 *
 * Keys. Once a record of a key is held, all later records of that key are held behind it, in order: nothing of the
 * key is applied until they are settled ("parked key"). A key change ties two keys together; what is tied together has
 * the same `chain` and is applied again as a whole, oldest first. A table without key is one key.
 *
 * Only apply settles a letter, under its lock and with its position; a person asks for it in the column `request`
 * (target_letters_ask). So nothing is applied twice, whatever is killed.
 * @thread: the target's owner
 */
#ifndef TARGET_DEAD_LETTER_H
#define TARGET_DEAD_LETTER_H

#include "target/target.h"

struct dead_letter {
    int64_t id;    /* given by the target; in the order in which they were held */
    int64_t chain; /* 0 for put: the id of the first of its chain is taken */
    const char *schema_name, *table_name;
    char op;                     /* enum change_op */
    const char *key_shown;       /* for people */
    const void *key, *other_key; /* as the journal encodes it; NULL = table without key / no key change */
    size_t key_len, other_key_len;
    const char *
        key_shape; /* how those bytes are made: keys of another shape cannot be compared with them; NULL = not known */
    /* the record, whole */
    const char *stream;
    int32_t partition;
    uint64_t offset;
    int64_t timestamp_ms;
    const void *record_key; /* NULL = null */
    size_t record_key_len;
    const void *value;
    size_t value_len;
    const void *headers; /* packed by apply */
    size_t headers_len;
    lsn_t commit_lsn;
    uint64_t total_order;
    uint64_t fence_id; /* of the batch that passed it */
    bool behind;       /* waits for an earlier one of its chain; else the target refused it */
    char sqlstate[6];
    const char *message;
};

enum letters_list {
    LETTERS_UNKNOWN = 0,
    LETTERS_HELD, /* keys and chains only: no record */
    LETTERS_CHAIN /* whole, of one chain, in the order of their changes (batch, commit LSN, ordinal) */
};

/* A letter as people look at it; texts, "" where there is nothing. */
struct letter_view {
    struct dead_letter letter; /* its record only when one letter was asked for */
    const char *state;         /* held, applied, discarded, superseded */
    const char *request;       /* retry, discard: apply has not done it yet */
    const char *commit_lsn, *offset, *last_error, *first_seen, *tried_at, *settled_at, *reason;
    int64_t attempts;
};

struct letters_query {
    const char *url, *pipeline;
    int64_t id;   /* this one, whole; 0 = all that are held */
    bool settled; /* the others, too */
};

struct target_letters_ops {
    /* Inside of a transaction. *ret_id: of the letter. */
    bool (*put)(struct target *tgt, const struct dead_letter *letter, int64_t *ret_id, struct err *err);
    /* A key change has tied two chains together: `from` becomes `into`. In a transaction. */
    bool (*tie)(struct target *tgt, int64_t from, int64_t into, struct err *err);
    /* All held letters of a table (schema_name NULL: of all tables) are settled as superseded: what the source did makes them void.
     * In a transaction. */
    bool (*supersede)(struct target *tgt, const char *schema_name, const char *table_name, const char *reason,
                      struct err *err);
    /* Calls each() for the held letters (HELD: in the order in which they were held); what it gets is valid during the call only, in which it may write to
     * the target. chain: of LETTERS_CHAIN, which is read in pages: a chain may be larger than memory. */
    bool (*each)(struct target *tgt, enum letters_list what, int64_t chain,
                 bool (*each)(void *ctx, const struct dead_letter *letter, struct err *err), void *ctx,
                 struct err *err);
    /* What a person has asked for: *ret_discards letters to be given up, *ret_chain a chain to be applied again (0 = none). */
    bool (*asked)(struct target *tgt, int64_t *ret_discards, int64_t *ret_chain, struct err *err);
    /* In a transaction: the chain's retry that a person asked for begins. *ret_begun: how often it has, since it was asked for. */
    bool (*begun)(struct target *tgt, int64_t chain, int64_t *ret_begun, struct err *err);
    /* In a transaction: letters that were asked to be discarded are. */
    bool (*discard)(struct target *tgt, struct err *err);
    /* In a transaction: some of the rows that a direct load left (loader_hold), behind the one with id `after`: their records, and nothing
     * else. *ret_last: id of the last one; `after` if there are no more. each may not write to the target. */
    bool (*refused)(struct target *tgt, int64_t after,
                    bool (*each)(void *ctx, const struct dead_letter *letter, struct err *err), void *ctx,
                    int64_t *ret_last, struct err *err);
    /* In a transaction: they are taken up. */
    bool (*forget_refused)(struct target *tgt, struct err *err);
    /* In a transaction: the held letters of the chain are applied (why NULL), or are not, because of `why`. */
    bool (*settle)(struct target *tgt, int64_t chain, const struct err *why, struct err *err);
};

/* Letters as people see them and ask about them. These open a connection of their own and need no lock: apply may run. */
struct target_desk_ops {
    bool (*look)(const struct letters_query *query,
                 bool (*each)(void *ctx, const struct letter_view *view, struct err *err), void *ctx,
                 struct err *err);
    /* Notes a request ("retry", "discard") at held letters; count 0: at all. *ret_count: how many were found. */
    bool (*ask)(const struct letters_query *query, const int64_t *ids, size_t count, const char *request,
                const char *reason, int64_t *ret_count, struct err *err);
};

/* As look and ask of the implementation that query->url chooses. */
bool target_letters_look(const struct letters_query *query,
                         bool (*each)(void *ctx, const struct letter_view *view, struct err *err), void *ctx,
                         struct err *err) MUST_CHECK;
bool target_letters_ask(const struct letters_query *query, const int64_t *ids, size_t count,
                        const char *request, const char *reason, int64_t *ret_count,
                        struct err *err) MUST_CHECK;

#endif
