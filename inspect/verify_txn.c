/*
 * Transactions: their ordinals must be 1 … n, each once, over all partitions. Kept are count, sum and a mixed sum of those that
 * came; a set with the same count, largest member and sums that is not 1 … n has a probability of 2^-64.
 */
#include <stdlib.h>

#include "core/alloc.h"
#include "verify_internal.h"

#define SLOTS (VERIFY_TRANSACTIONS_MAX * 2)

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

void txns_init(struct txns *t)
{
    *t = (struct txns){.slot_count = SLOTS};
    t->slots = xcalloc(SLOTS, sizeof *t->slots);
}

void txns_release(struct txns *t)
{
    free(t->slots);
    *t = (struct txns){0};
}

static struct txn *find(struct txns *t, lsn_t lsn)
{
    size_t at = (size_t)mix(lsn) & (t->slot_count - 1);
    while (t->slots[at].lsn != 0 && t->slots[at].lsn != lsn)
        at = (at + 1) & (t->slot_count - 1);
    return &t->slots[at];
}

void verify_txn_add(struct verify *v, lsn_t lsn, uint64_t order, const struct part *part, uint64_t offset)
{
    if (lsn == 0 || lsn < v->expired_lsn)
        return;
    struct txn *txn = find(&v->txns, lsn);
    if (txn->lsn == 0) {
        if (v->txns.used == VERIFY_TRANSACTIONS_MAX) {
            v->totals.unchecked_transactions++;
            return;
        }
        v->txns.used++;
        v->totals.transactions++;
        *txn = (struct txn){.lsn = lsn};
    }
    txn->count++;
    txn->sum += order;
    txn->mixed += mix(order);
    txn->last_order = order > txn->last_order ? order : txn->last_order;
    txn->part = part;
    txn->offset = offset;
}

static bool is_whole(const struct txn *txn)
{
    uint64_t n = txn->count, mixed = 0;
    if (txn->last_order != n || txn->sum != (n % 2 == 0 ? n / 2 * (n + 1) : (n + 1) / 2 * n))
        return false;
    for (uint64_t i = 1; i <= n; i++)
        mixed += mix(i);
    return mixed == txn->mixed;
}

/* Those that are not whole yet are put into a fresh table: so no chain breaks. */
void verify_txn_sweep(struct verify *v)
{
    struct txns old = v->txns;
    if (old.used == 0)
        return;
    txns_init(&v->txns);
    for (size_t i = 0; i < old.slot_count; i++) {
        const struct txn *txn = &old.slots[i];
        if (txn->lsn == 0 || is_whole(txn))
            continue;
        *find(&v->txns, txn->lsn) = *txn;
        v->txns.used++;
    }
    txns_release(&old);
}

void verify_txn_end(struct verify *v)
{
    verify_txn_sweep(v);
    for (size_t i = 0; i < v->txns.slot_count && v->txns.used > 0; i++) {
        const struct txn *txn = &v->txns.slots[i];
        if (txn->lsn == 0)
            continue;
        struct verify_finding finding = {.kind = VERIFY_TRANSACTION,
                                         .stream = txn->part->stream,
                                         .partition = txn->part->partition,
                                         .offset = txn->offset,
                                         .lsn = txn->lsn};
        verify_find(v, &finding, "the transaction has %llu changes, its ordinals run up to %llu, %s",
                    (unsigned long long)txn->count, (unsigned long long)txn->last_order,
                    txn->count < txn->last_order ? "some are missing" : "some are there twice");
    }
}
