/*
 * Dead letters as apply sees them: the keys that are parked (target/dead_letter.h), in memory, and the records that go
 * to the target's table. What is held in a transaction that is rolled back is forgotten by letters_begin(), which
 * reads the table again.
 * @thread owner
 */
#ifndef APPLY_LETTERS_H
#define APPLY_LETTERS_H

#include "apply/collapse.h"
#include "journal/journal.h"
#include "target/dead_letter.h"

struct letters;

/* max: more than so many held letters are refused (ERR_SQL, apply halts). */
struct letters *letters_new(struct target *tgt, uint64_t max);
void letters_free(struct letters *l); /* NULL allowed */
/* A transaction of the target has begun (or none is open): what an earlier one held without being committed is
 * forgotten. fence_id: of the batch. */
bool letters_begin(struct letters *l, uint64_t fence_id, struct err *err) MUST_CHECK;
/* That transaction is committed. */
void letters_committed(struct letters *l);
/* The table was changed otherwise: read it again with the next letters_begin(). */
void letters_stale(struct letters *l);
uint64_t letters_count(const struct letters *l); /* held */
/* Does this change have to go behind a held one? */
bool letters_parks(const struct letters *l, const struct item *it);
/* Holds the item's record (item.raw) in the target's table and parks its keys. why NULL: it is behind another one.
 * *ret_chain (may be NULL): the chain that it belongs to. */
bool letters_hold(struct letters *l, const struct item *it, const struct err *why, int64_t *ret_chain,
                  struct err *err) MUST_CHECK;
/* Two chains become one: they can only be applied together. */
bool letters_tie(struct letters *l, int64_t from, int64_t into, struct err *err) MUST_CHECK;
/* The table was emptied by the source (item NULL: all of them are copied anew): what is held of it means nothing any more. */
bool letters_void(struct letters *l, const struct item *truncate, struct err *err) MUST_CHECK;
/* The journal's record of a letter. Points into the letter. */
bool letters_record(const struct dead_letter *letter, struct journal_record *ret, struct err *err) MUST_CHECK;

#endif
