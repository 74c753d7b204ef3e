/*
 * Transactions of the source that are still running, as the server streams them: the frames of each in the order of their coming,
 * in memory up to a limit that all share; beyond it the one that holds most goes to a file of its own
 * (spill_file.h). Until its commit nothing of a transaction leaves here; an abort drops it, the abort of a subtransaction drops
 * what came since that one's first frame (a subtransaction's frames lie together: its parent cannot write
 * before it has ended).
 *
 * What is dropped gives its memory and its place in the file back. After an error the store is only good for being freed.
 * @thread owner
 */
#ifndef CAPTURE_TXN_STORE_H
#define CAPTURE_TXN_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/lsn.h"

/* Places of a frame that belong together: a whole pgoutput message (the xid of the stream taken out of it) and a number of the
 * caller's that comes back with it. */
struct cap_stored_frame {
    uint64_t tag;
    const char *bytes; /* valid until the next frame is read */
    size_t len;
};

struct cap_txn_store;
struct cap_stored_txn;

struct cap_txn_store *cap_txn_store_new(const char *dir, bool encrypt, size_t max_memory_bytes);
void cap_txn_store_free(struct cap_txn_store *store); /* NULL allowed; with all transactions in it */
/* A frame of transaction `xid`, which is top_xid itself or a subtransaction of it: its type byte, then the body. change: counts
 * for cap_stored_changes(). */
bool cap_txn_store_add(struct cap_txn_store *store, uint32_t top_xid, uint32_t xid, uint64_t tag, char type,
                       const void *body, size_t body_len, bool change, struct err *err) MUST_CHECK;
/* xid == top_xid: the whole transaction. What is not there is no error. */
bool cap_txn_store_abort(struct cap_txn_store *store, uint32_t top_xid, uint32_t xid,
                         struct err *err) MUST_CHECK;
/* Transactions in it. */
size_t cap_txn_store_count(const struct cap_txn_store *store);
/* Bytes of memory they take; bytes that were written to files since it was made. */
size_t cap_txn_store_memory(const struct cap_txn_store *store);
uint64_t cap_txn_store_spilled(const struct cap_txn_store *store);

/* Its commit came: takes it out, the caller's now; NULL if there is none. Its memory counts until it is freed. */
struct cap_stored_txn *cap_txn_store_take(struct cap_txn_store *store, uint32_t top_xid);
void cap_stored_txn_free(struct cap_stored_txn *txn); /* NULL allowed */
uint64_t cap_stored_changes(const struct cap_stored_txn *txn);
/* The next frame, oldest first; what is behind it is let go of. False at the end (then err is not set), or on an error. */
bool cap_stored_next(struct cap_stored_txn *txn, struct cap_stored_frame *ret, struct err *err);

#endif
