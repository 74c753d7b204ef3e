/* Owns: the frames of running transactions. See txn_store.h. */
#include "capture/spill/txn_store.h"

#include <stdlib.h>
#include <string.h>

#include "capture/spill/spill_file.h"
#include "core/alloc.h"
#include "core/log.h"

#define BLOCK_FIRST_BYTES ((size_t)8 << 10)
#define BLOCK_BYTES       ((size_t)256 << 10)

/* In front of each frame in a block. */
struct head {
    uint64_t tag;
    uint32_t len, unused;
};

/* Frames one behind the other; none lies in two blocks. In memory (bytes), or in the file. */
struct block {
    char *bytes; /* NULL: in the file */
    size_t cap, len;
    struct cap_spill_block sealed;
};

/* Where a subtransaction's first frame lies. */
struct sub {
    uint32_t xid;
    uint32_t offset;
    size_t block;
    uint64_t changes; /* before it */
};

struct cap_stored_txn {
    struct cap_txn_store *store;
    uint32_t xid;
    struct block *blocks; /* all that are in the file come before all that are in memory */
    size_t block_count, block_cap, in_file;
    struct sub *subs; /* by xid */
    size_t sub_count, sub_cap;
    uint32_t last_xid; /* of the last frame */
    uint64_t changes;
    size_t memory_bytes;
    struct cap_spill_file *file; /* NULL until needed */

    size_t read_block, read_at;
    char *read_bytes; /* a block of the file */
    size_t read_cap;
};

struct cap_txn_store {
    char *dir;
    bool encrypt;
    size_t max_memory_bytes, memory_bytes;
    uint64_t spilled_bytes;
    struct cap_stored_txn **txns;
    size_t count, cap, last; /* last: index of the one that was used last */
};

struct cap_txn_store *cap_txn_store_new(const char *dir, bool encrypt, size_t max_memory_bytes)
{
    struct cap_txn_store *store = xcalloc(1, sizeof *store);
    store->dir = xstrdup(dir);
    store->encrypt = encrypt;
    store->max_memory_bytes = max_memory_bytes;
    return store;
}

void cap_txn_store_free(struct cap_txn_store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < store->count; i++)
        cap_stored_txn_free(store->txns[i]);
    free(store->txns);
    free(store->dir);
    free(store);
}

size_t cap_txn_store_count(const struct cap_txn_store *store)
{
    return store->count;
}

size_t cap_txn_store_memory(const struct cap_txn_store *store)
{
    return store->memory_bytes;
}

uint64_t cap_txn_store_spilled(const struct cap_txn_store *store)
{
    return store->spilled_bytes;
}

/* --- memory --- */

static void account(struct cap_stored_txn *txn, size_t more, size_t less)
{
    txn->memory_bytes += more - less;
    txn->store->memory_bytes += more - less;
}

static void drop_bytes(struct cap_stored_txn *txn, struct block *b)
{
    if (b->bytes == NULL)
        return;
    account(txn, 0, b->cap);
    free(b->bytes);
    b->bytes = NULL;
}

void cap_stored_txn_free(struct cap_stored_txn *txn)
{
    if (txn == NULL)
        return;
    for (size_t i = 0; i < txn->block_count; i++)
        drop_bytes(txn, &txn->blocks[i]);
    account(txn, 0, txn->memory_bytes);
    cap_spill_file_free(txn->file);
    free(txn->blocks);
    free(txn->subs);
    free(txn->read_bytes);
    free(txn);
}

static bool spill(struct cap_stored_txn *txn, struct err *err)
{
    struct cap_txn_store *store = txn->store;
    if (txn->file == NULL) {
        txn->file = cap_spill_file_new(store->dir, store->encrypt);
        log_event(LOG_LEVEL_INFO, "transaction_spills", "xid=%u bytes=%zu", txn->xid, txn->memory_bytes);
    }
    for (; txn->in_file < txn->block_count; txn->in_file++) {
        struct block *b = &txn->blocks[txn->in_file];
        if (!cap_spill_file_write(txn->file, b->bytes, b->len, &b->sealed, err))
            return err_wrap(err, "transaction xid=%u", txn->xid);
        store->spilled_bytes += b->len;
        drop_bytes(txn, b);
    }
    return true;
}

/* Room for one more block of `bytes`: as long as there is none, the largest transaction goes to its file. */
static bool make_room(struct cap_txn_store *store, size_t bytes, struct err *err)
{
    while (store->memory_bytes + bytes > store->max_memory_bytes) {
        struct cap_stored_txn *largest = NULL;
        for (size_t i = 0; i < store->count; i++) {
            struct cap_stored_txn *txn = store->txns[i];
            if (txn->in_file < txn->block_count &&
                (largest == NULL || txn->memory_bytes > largest->memory_bytes))
                largest = txn;
        }
        if (largest == NULL) /* one frame larger than the limit: it is there in any case */
            return true;
        if (!spill(largest, err))
            return false;
    }
    return true;
}

/* --- frames come --- */

static struct cap_stored_txn *find(struct cap_txn_store *store, uint32_t xid)
{
    if (store->last < store->count && store->txns[store->last]->xid == xid)
        return store->txns[store->last];
    for (size_t i = 0; i < store->count; i++) {
        if (store->txns[i]->xid == xid) {
            store->last = i;
            return store->txns[i];
        }
    }
    return NULL;
}

static struct cap_stored_txn *find_or_make(struct cap_txn_store *store, uint32_t xid)
{
    struct cap_stored_txn *txn = find(store, xid);
    if (txn != NULL)
        return txn;
    if (store->count == store->cap) {
        store->cap = store->cap != 0 ? store->cap * 2 : 16;
        store->txns = xrealloc(store->txns, store->cap * sizeof(struct cap_stored_txn *));
    }
    txn = xcalloc(1, sizeof *txn);
    txn->store = store;
    txn->xid = txn->last_xid = xid;
    store->last = store->count;
    store->txns[store->count++] = txn;
    return txn;
}

static bool add_block(struct cap_stored_txn *txn, size_t need, struct err *err)
{
    size_t before = txn->block_count > 0 ? txn->blocks[txn->block_count - 1].cap : BLOCK_FIRST_BYTES / 2;
    size_t cap = MAX_OF(need, MIN_OF(before * 2, BLOCK_BYTES));
    if (!make_room(txn->store, cap, err))
        return false;
    if (txn->block_count == txn->block_cap) {
        size_t more = txn->block_cap != 0 ? txn->block_cap : 8;
        txn->blocks = xrealloc(txn->blocks, (txn->block_cap + more) * sizeof *txn->blocks);
        txn->block_cap += more;
        account(txn, more * sizeof *txn->blocks, 0);
    }
    char *bytes = malloc(cap); /* up to PostgreSQL's largest row: refused, not aborted */
    if (bytes == NULL)
        return err_set(err, ERR_NO_MEMORY, "transaction xid=%u: no memory for %zu bytes", txn->xid, cap);
    txn->blocks[txn->block_count++] = (struct block){.bytes = bytes, .cap = cap};
    account(txn, cap, 0);
    return true;
}

/* Transaction ids are compared modulo 2^32, as the server does. */
static bool precedes(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

/* Index of the first subtransaction that is not before xid. */
static size_t lower_bound(const struct cap_stored_txn *txn, uint32_t xid)
{
    size_t low = 0, high = txn->sub_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (precedes(txn->subs[mid].xid, xid))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The next frame, in the last block, is xid's. */
static void note_sub(struct cap_stored_txn *txn, uint32_t xid)
{
    if (xid == txn->last_xid)
        return;
    txn->last_xid = xid;
    size_t at = lower_bound(txn, xid);
    if (xid == txn->xid || (at < txn->sub_count && txn->subs[at].xid == xid))
        return;
    if (txn->sub_count == txn->sub_cap) {
        size_t more = txn->sub_cap != 0 ? txn->sub_cap : 8;
        txn->subs = xrealloc(txn->subs, (txn->sub_cap + more) * sizeof *txn->subs);
        txn->sub_cap += more;
        account(txn, more * sizeof *txn->subs, 0);
    }
    memmove(&txn->subs[at + 1], &txn->subs[at], (txn->sub_count - at) * sizeof *txn->subs);
    txn->subs[at] = (struct sub){.xid = xid,
                                 .block = txn->block_count - 1,
                                 .offset = (uint32_t)txn->blocks[txn->block_count - 1].len,
                                 .changes = txn->changes};
    txn->sub_count++;
}

bool cap_txn_store_add(struct cap_txn_store *store, uint32_t top_xid, uint32_t xid, uint64_t tag, char type,
                       const void *body, size_t body_len, bool change, struct err *err)
{
    struct cap_stored_txn *txn = find_or_make(store, top_xid);
    struct head head = {.tag = tag, .len = (uint32_t)body_len + 1};
    size_t need = sizeof head + 1 + body_len;
    if (body_len >= UINT32_MAX - sizeof head - 1)
        return err_set(err, ERR_PROTOCOL, "transaction xid=%u: a message of %zu bytes", top_xid, body_len);
    struct block *b = txn->block_count > txn->in_file ? &txn->blocks[txn->block_count - 1] : NULL;
    if ((b == NULL || b->cap - b->len < need) && !add_block(txn, need, err))
        return false;
    note_sub(txn, xid);
    b = &txn->blocks[txn->block_count - 1];
    memcpy(b->bytes + b->len, &head, sizeof head);
    b->bytes[b->len + sizeof head] = type;
    memcpy(b->bytes + b->len + sizeof head + 1, body, body_len);
    b->len += need;
    txn->changes += change;
    return true;
}

/* --- aborts --- */

static void forget(struct cap_txn_store *store, struct cap_stored_txn *txn)
{
    size_t i = 0;
    while (store->txns[i] != txn)
        i++;
    store->txns[i] = store->txns[--store->count];
}

static bool earlier(const struct sub *a, const struct sub *b)
{
    return a->block != b->block ? a->block < b->block : a->offset < b->offset;
}

static bool cut(struct cap_stored_txn *txn, const struct sub *from, struct err *err)
{
    if (from->block >= txn->block_count || (from->block == txn->block_count - 1 &&
                                            from->offset >= txn->blocks[from->block].len)) /* cut already */
        return true;
    while (txn->block_count > from->block + 1)
        drop_bytes(txn, &txn->blocks[--txn->block_count]);
    struct block *last = &txn->blocks[from->block];
    last->len = from->offset;
    txn->changes = from->changes;
    if (last->len == 0) {
        drop_bytes(txn, last);
        txn->block_count--;
    }
    txn->in_file = MIN_OF(txn->in_file, txn->block_count);
    if (txn->file == NULL)
        return true;
    const struct cap_spill_block *sealed = txn->in_file > 0 ? &txn->blocks[txn->in_file - 1].sealed : NULL;
    return cap_spill_file_cut(txn->file, sealed != NULL ? sealed->at + (off_t)sealed->len : 0, err);
}

bool cap_txn_store_abort(struct cap_txn_store *store, uint32_t top_xid, uint32_t xid, struct err *err)
{
    struct cap_stored_txn *txn = find(store, top_xid);
    if (txn == NULL)
        return true;
    if (xid == top_xid) {
        forget(store, txn);
        cap_stored_txn_free(txn);
        return true;
    }
    /* Those with later ids began inside of it. A child's first frame may come before its parent's. */
    size_t at = lower_bound(txn, xid);
    if (at == txn->sub_count)
        return true;
    struct sub first = txn->subs[at];
    for (size_t i = at + 1; i < txn->sub_count; i++) {
        if (earlier(&txn->subs[i], &first))
            first = txn->subs[i];
    }
    txn->sub_count = at;
    txn->last_xid = txn->xid;
    return cut(txn, &first, err);
}

/* --- a commit --- */

struct cap_stored_txn *cap_txn_store_take(struct cap_txn_store *store, uint32_t top_xid)
{
    struct cap_stored_txn *txn = find(store, top_xid);
    if (txn != NULL)
        forget(store, txn);
    return txn;
}

uint64_t cap_stored_changes(const struct cap_stored_txn *txn)
{
    return txn->changes;
}

/* The bytes of the block that is read now. */
static const char *read_block(struct cap_stored_txn *txn, struct err *err)
{
    struct block *b = &txn->blocks[txn->read_block];
    if (b->bytes != NULL)
        return b->bytes;
    if (txn->read_at > 0)
        return txn->read_bytes;
    if (txn->read_cap < b->sealed.len) {
        free(txn->read_bytes);
        txn->read_cap = 0;
        txn->read_bytes = malloc(b->sealed.len);
        if (txn->read_bytes == NULL) {
            err_set(err, ERR_NO_MEMORY, "transaction xid=%u: no memory for %zu bytes", txn->xid,
                    b->sealed.len);
            return NULL;
        }
        txn->read_cap = b->sealed.len;
    }
    if (cap_spill_file_read(txn->file, &b->sealed, txn->read_bytes, err))
        return txn->read_bytes;
    err_wrap(err, "transaction xid=%u", txn->xid);
    return NULL;
}

bool cap_stored_next(struct cap_stored_txn *txn, struct cap_stored_frame *ret, struct err *err)
{
    struct head head;
    while (txn->read_block < txn->block_count && txn->read_at == txn->blocks[txn->read_block].len) {
        drop_bytes(txn, &txn->blocks[txn->read_block++]);
        txn->read_at = 0;
    }
    if (txn->read_block == txn->block_count)
        return false;
    const char *bytes = read_block(txn, err);
    if (bytes == NULL)
        return false;
    memcpy(&head, bytes + txn->read_at, sizeof head);
    *ret = (struct cap_stored_frame){
        .tag = head.tag, .bytes = bytes + txn->read_at + sizeof head, .len = head.len};
    txn->read_at += sizeof head + head.len;
    return true;
}
