/*
 * Collapse: changes of one table in commit order become at most one action per key, such that a target that
 * applies them as a set (deletes, then moves and updates, then upserts) ends in the same state as one that
 * replays every change. Pure: no I/O. Memory comes from the batch's arena, so nothing has to be freed.
 *
 * A key change is a delete whose record names the new key and a create that names the old one. When the
 * created row is complete nothing more is needed. When it lacks values (unchanged TOAST) the old row holds
 * the only copy: the row is then moved (UPDATE … SET key), and chains of moves collapse to the first key,
 * whose row in the target is the `base`.
 */
#ifndef APPLY_COLLAPSE_H
#define APPLY_COLLAPSE_H

#include "change/change.h"
#include "core/arena.h"
#include "target/target.h"

struct journal_record;

/* One change as a batch keeps it. Everything points into the batch's arena. */
struct item {
    const struct table_schema *schema;
    const struct datum *row; /* after; NULL for deletes */
    const struct datum *old; /* before; NULL if the record has none */
    const void *key;         /* encoded; NULL = table without key */
    const void *other_key;   /* delete: new key, create: old key of a key change; else NULL */
    uint32_t key_len;
    uint32_t other_key_len;
    lsn_t commit_lsn;
    uint64_t total_order;
    uint32_t seq; /* arrival in the batch: last tie-breaker of the order */
    enum change_op op;
    bool may_miss;                    /* it lacks values, and its row need not be there (HEADER_COPYING) */
    const struct journal_record *raw; /* the record itself; NULL unless the batch keeps them (dead letters) */
};

struct action_list {
    struct target_row *rows; /* in an order a keyless table needs, else any */
    size_t count;
    bool truncate; /* a TRUNCATE came first */
};

/* Which rows may be written as INSERTs, without a look at what is there: the target has no row of their key. */
enum rows_new {
    ROWS_NEW_NONE = 0,
    ROWS_NEW_READ,   /* those that only the copy wrote */
    ROWS_NEW_CREATED /* … and those whose key begins with an insert: what is before these changes is on the target, once and whole */
};

/* The batch's arena gave nothing: memory is used up, or the disk that the batch goes on in (errno says why). Returns false. */
bool collapse_no_room(const struct arena *arena, struct err *err);
/* Are all values of this row there? */
bool row_is_complete(const struct table_schema *schema, const struct datum *row);

/* items: of one table and schema, in order. ERR_PROTOCOL for a sequence that no source can have produced (an update of a
 * deleted row that lacks values), ERR_NO_MEMORY when the arena is full. */
bool collapse_items(const struct item *items, size_t count, enum rows_new rows_new, struct arena *arena,
                    struct action_list *ret, struct err *err) MUST_CHECK;
/* The same changes, one action each, for replay in order (no TRUNCATE among them). A delete whose key
 * change's create comes next disappears, the create becomes the UPDATE of the key; a half that is alone is what it says. */
bool sequence_items(const struct item *items, size_t count, struct arena *arena, struct action_list *ret,
                    struct err *err) MUST_CHECK;

#endif
