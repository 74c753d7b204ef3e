/*
 * Owns: narrowing a batch down to the rows that the target refuses. The items, in commit order over all tables, are
 * tried in ranges behind a savepoint; a range that fails is halved, the first half before the second, down to the
 * row, which becomes a dead letter (or ends it: then only because ranges can be written each in its own way). n rows with one at fault take at most 2 log2 n tries; each try is a set-based write
 * of its range, so that the statements grow with the tries and not with the rows.
 *
 * Halves are parted between transactions where that is possible: what only holds at a transaction's end (deferrable
 * constraints, unique values that change places) is then tried as a whole. A key change is never parted. Inside of a
 * transaction that has to be parted, rows that are in each other's way (FAULT_CONFLICT) are set aside and tried together at the
 * end of it: one may only wait for another.
 */
#include <stdlib.h>
#include <string.h>

#include "apply/batch_internal.h"
#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/sqlstate.h"

#define PART_ARENA_BLOCK ((size_t)64 << 10)
/* More rows than this are not set aside: so many rows in each other's way are no matter of order. */
#define ASIDE_MAX 1000
/* So few that each may be left out in turn. */
#define LEAVE_OUT_MAX 64

struct ranked {
    struct item *it;
    uint32_t table; /* of the batch */
    bool gone;      /* held, or set aside */
};

struct isolate {
    struct batch *b;
    struct table_map *tables;
    struct target *tgt;
    struct letters *letters;
    struct ranked *all;
    size_t count;
    struct ranked *aside; /* of the transaction at hand */
    size_t aside_count;
    int64_t *chains; /* of what was held out of the transaction at hand */
    size_t chain_count;
    bool halts;        /* nothing becomes a dead letter: the first row that is refused ends it */
    struct batch part; /* the range that is being tried */
    uint64_t attempts;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return item_order(x->it, y->it);
}

static void list_items(struct isolate *iso)
{
    struct batch *b = iso->b;
    iso->all = xcalloc(b->item_count + 1, sizeof *iso->all);
    iso->aside = xcalloc(b->item_count + 1, sizeof *iso->aside);
    iso->chains = xcalloc(b->item_count + 1, sizeof *iso->chains);
    for (size_t i = 0; i < b->table_count; i++) {
        for (size_t k = 0; k < b->tables[i].count; k++)
            iso->all[iso->count++] = (struct ranked){.it = &b->tables[i].items[k], .table = (uint32_t)i};
    }
    qsort(iso->all, iso->count, sizeof *iso->all, by_rank);
}

/* The part looks like a batch that holds these items alone. */
static void open_part(struct isolate *iso)
{
    iso->part = (struct batch){.max_bytes = iso->b->max_bytes, .table_count = iso->b->table_count};
    arena_init(&iso->part.arena, PART_ARENA_BLOCK, iso->b->arena.max_bytes);
    iso->part.tables = xcalloc(iso->b->table_count + 1, sizeof *iso->part.tables);
}

static void close_part(struct isolate *iso)
{
    for (size_t i = 0; i < iso->part.table_count; i++)
        free(iso->part.tables[i].items);
    free(iso->part.tables);
    free(iso->part.touched);
    arena_release(&iso->part.arena);
}

static size_t fill_part(struct isolate *iso, const struct ranked *from, size_t count)
{
    struct batch *part = &iso->part;
    for (size_t i = 0; i < part->touched_count; i++) {
        part->tables[part->touched[i]].count = 0;
        part->tables[part->touched[i]].touched = false;
    }
    part->touched_count = part->item_count = 0;
    part->counts.conflicts = (struct conflict_counts){0};
    arena_clear(&part->arena);
    for (size_t i = 0; i < count; i++) {
        struct batch_table *bt = &part->tables[from[i].table];
        if (from[i].gone)
            continue;
        batch_touch(part, bt);
        if (bt->count == bt->cap) {
            bt->cap = bt->cap == 0 ? 16 : 2 * bt->cap;
            bt->items = xrealloc(bt->items, bt->cap * sizeof *bt->items);
        }
        bt->items[bt->count++] = *from[i].it;
        part->item_count++;
    }
    return part->item_count;
}

/* One way of writing the part; on failure everything is as before. */
static bool try_mode(struct isolate *iso, enum target_mode mode, bool constraints, struct err *err)
{
    struct err refused = ERR_INIT;
    iso->attempts++;
    if (!target_save(iso->tgt, err))
        return false;
    if (batch_write_items(&iso->part, iso->tables, iso->tgt, mode, ROWS_NEW_NONE, &refused) &&
        target_settle(iso->tgt, constraints, &refused)) {
        conflict_counts_add(&iso->b->counts.conflicts, &iso->part.counts.conflicts);
        return true;
    }
    *err = refused;
    if (err_fault(&refused) != FAULT_OTHER && !target_restore(iso->tgt, &refused))
        *err = refused;
    return false;
}

/* As a batch is tried: sets; for conflicts in exact order, then with everything taken out first. */
static bool try_range(struct isolate *iso, const struct ranked *from, size_t count, bool constraints,
                      struct err *err)
{
    static const enum target_mode modes[] = {TARGET_SET, TARGET_ORDERED, TARGET_REPLACE};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        struct err refused = ERR_INIT;
        if (fill_part(iso, from, count) == 0 || try_mode(iso, modes[i], constraints, &refused))
            return true;
        *err = refused;
        if (err_fault(&refused) != FAULT_CONFLICT)
            return false;
    }
    return false;
}

static bool same_transaction(const struct ranked *a, const struct ranked *b)
{
    return a->it->commit_lsn == b->it->commit_lsn && a->it->op != CHANGE_READ && b->it->op != CHANGE_READ;
}

/* Is a key change's create at `at`, with its delete before it? */
static bool joined(const struct isolate *iso, size_t at)
{
    const struct item *a = iso->all[at - 1].it, *b = iso->all[at].it;
    return a->op == CHANGE_DELETE && a->other_key != NULL && b->op == CHANGE_INSERT && b->other_key != NULL &&
           a->commit_lsn == b->commit_lsn;
}

/* Where to part [lo, hi): nearest to the middle between transactions, else between rows. 0 = it cannot be. */
static size_t find_split(const struct isolate *iso, size_t lo, size_t hi)
{
    size_t mid = lo + (hi - lo) / 2;
    for (int rows = 0; rows < 2; rows++) {
        for (size_t d = 0; d <= hi - lo; d++) {
            for (int side = 0; side < 2; side++) {
                size_t at = side == 0 ? mid + d : mid - d;
                if (at <= lo || at >= hi || joined(iso, at))
                    continue;
                if (rows == 1 || !same_transaction(&iso->all[at - 1], &iso->all[at]))
                    return at;
            }
        }
    }
    return 0;
}

static bool hold(struct isolate *iso, struct ranked *r, const struct err *why, struct err *err)
{
    int64_t chain = 0;
    if (why != NULL && iso->halts) {
        *err = *why;
        return false;
    }
    r->gone = true;
    if (!letters_hold(iso->letters, r->it, why, &chain, err))
        return false;
    if (why != NULL && iso->chain_count < iso->count)
        iso->chains[iso->chain_count++] = chain;
    if (why == NULL || err_fault(why) != FAULT_CONFLICT)
        return true;
    /* it may be in the way of what else is held of its transaction: they can only go in together */
    for (size_t i = 1; i < iso->chain_count; i++) {
        if (!letters_tie(iso->letters, iso->chains[i], iso->chains[0], err))
            return false;
        iso->chains[i] = iso->chains[0];
    }
    return true;
}

static bool is_aside(const struct isolate *iso, const struct item *it)
{
    for (size_t i = 0; i < iso->aside_count; i++) {
        const struct item *other = iso->aside[i].it;
        if (strcmp(other->schema->table, it->schema->table) != 0 ||
            strcmp(other->schema->schema, it->schema->schema) != 0)
            continue;
        if (it->key == NULL ||
            it->schema != other->schema || /* another shape: its keys may be made in another way */
            (it->key_len == other->key_len && memcmp(it->key, other->key, it->key_len) == 0) ||
            (other->other_key != NULL && it->key_len == other->other_key_len &&
             memcmp(it->key, other->other_key, it->key_len) == 0) ||
            (it->other_key != NULL && it->other_key_len == other->key_len &&
             memcmp(it->other_key, other->key, it->other_key_len) == 0))
            return true;
    }
    return false;
}

static void set_aside(struct isolate *iso, struct ranked *r)
{
    iso->aside[iso->aside_count++] = *r;
    r->gone = true;
}

/* A row, or both halves of a key change: they go the same way. */
static size_t unit_length(const struct ranked *r, size_t left)
{
    return left > 1 && r->it->op == CHANGE_DELETE && r->it->other_key != NULL ? 2 : 1;
}

/* A TRUNCATE also takes what comes before it in its transaction and has not been written yet. */
static void forget_aside(struct isolate *iso, const struct item *truncate)
{
    size_t kept = 0;
    for (size_t i = 0; i < iso->aside_count; i++) {
        const struct item *it = iso->aside[i].it;
        bool gone = strcmp(it->schema->table, truncate->schema->table) == 0 &&
                    strcmp(it->schema->schema, truncate->schema->schema) == 0 && item_order(it, truncate) < 0;
        if (!gone)
            iso->aside[kept++] = iso->aside[i];
    }
    iso->aside_count = kept;
}

/* Changes whose key is parked by now, or set aside, go behind. *ret_live: what is left to be tried. */
static bool divert(struct isolate *iso, size_t lo, size_t hi, size_t *ret_live, struct err *err)
{
    *ret_live = 0;
    for (size_t i = lo; i < hi; i++) {
        struct ranked *r = &iso->all[i];
        if (r->gone)
            continue;
        if (r->it->op == CHANGE_TRUNCATE) {
            (*ret_live)++;
            forget_aside(iso, r->it);
            if (!letters_void(iso->letters, r->it, err))
                return false;
            continue;
        }
        if (letters_parks(iso->letters, r->it)) {
            if (!hold(iso, r, NULL, err))
                return false;
        } else if (iso->aside_count > 0 && is_aside(iso, r->it)) {
            set_aside(iso, r);
        } else {
            (*ret_live)++;
        }
    }
    return true;
}

/* One row (or both halves of a key change) that was set aside: alone, and if that fails it is held. */
static bool hold_unit(struct isolate *iso, size_t at, size_t count, struct err *err)
{
    struct ranked *r = &iso->aside[at];
    struct err refused = ERR_INIT;
    bool parked = letters_parks(iso->letters, r->it);
    for (size_t k = 0; k < count; k++)
        r[k].gone = false;
    if (!parked && try_range(iso, r, count, false, &refused))
        return true;
    if (!parked && err_fault(&refused) == FAULT_OTHER)
        return *err = refused, false;
    for (size_t k = 0; k < count; k++) {
        if (!hold(iso, &r[k], parked ? NULL : &refused, err))
            return false;
    }
    return true;
}

/* All but one: if the rest goes in, that one was what the others could not get past. */
static bool try_without_one(struct isolate *iso, size_t count, bool *ret_done, struct err *err)
{
    struct err refused = ERR_INIT;
    *ret_done = false;
    for (size_t i = 0, n; i < count && count <= LEAVE_OUT_MAX; i += n) {
        n = unit_length(&iso->aside[i], count - i);
        for (size_t k = i; k < i + n; k++)
            iso->aside[k].gone = true;
        if (try_range(iso, iso->aside, count, true, &refused)) {
            *ret_done = true;
            return hold_unit(iso, i, n, err);
        }
        if (err_fault(&refused) == FAULT_OTHER)
            return *err = refused, false;
        for (size_t k = i; k < i + n; k++)
            iso->aside[k].gone = false;
    }
    return true;
}

/* The rows of the transaction that only were in the way of others: together, without one of them, one by one. */
static bool try_aside(struct isolate *iso, struct err *err)
{
    struct err refused = ERR_INIT;
    size_t count = iso->aside_count;
    bool done = false;
    iso->aside_count = 0;
    if (count == 0 || try_range(iso, iso->aside, count, true, &refused))
        return true;
    if (err_fault(&refused) == FAULT_OTHER)
        return *err = refused, false;
    if (!try_without_one(iso, count, &done, err) || done)
        return done;
    for (size_t i = 0, n; i < count; i += n) {
        n = unit_length(&iso->aside[i], count - i);
        if (!hold_unit(iso, i, n, err))
            return false;
    }
    return true;
}

/* Nothing smaller can be tried. Inside of a parted transaction a conflict may only be a matter of order. */
static bool give_up(struct isolate *iso, size_t lo, size_t hi, bool inside, const struct err *why,
                    struct err *err)
{
    for (size_t i = lo, n; i < hi; i += n) {
        n = unit_length(&iso->all[i], hi - i);
        bool aside = inside && err_fault(why) == FAULT_CONFLICT && iso->aside_count + n <= ASIDE_MAX;
        for (size_t k = i; k < i + n; k++) {
            struct ranked *r = &iso->all[k];
            if (r->gone)
                continue;
            if (r->it->op == CHANGE_TRUNCATE) { /* no row's fault */
                *err = *why;
                return false;
            }
            if (aside)
                set_aside(iso, r);
            else if (!hold(iso, r, why, err))
                return false;
        }
    }
    return true;
}

static bool isolate(struct isolate *iso, size_t lo, size_t hi, bool tried, bool inside, struct err *err)
{
    struct err refused = ERR_INIT;
    size_t live = 0;
    if (!divert(iso, lo, hi, &live, err))
        return false;
    if (live == 0)
        return true;
    if (!tried) {
        if (try_range(iso, iso->all + lo, hi - lo, !inside, &refused))
            return true;
        if (err_fault(&refused) == FAULT_OTHER)
            return *err = refused, false;
    }
    size_t at = live > 1 || tried ? find_split(iso, lo, hi) : 0;
    if (at == 0 && tried) /* a single row: its error is not known yet */
        return isolate(iso, lo, hi, false, inside, err);
    if (at == 0)
        return give_up(iso, lo, hi, inside, &refused, err);
    bool into = !inside && same_transaction(&iso->all[at - 1], &iso->all[at]);
    if (into)
        iso->chain_count = 0;
    if (!isolate(iso, lo, at, false, inside || into, err) ||
        !isolate(iso, at, hi, false, inside || into, err))
        return false;
    return !into || (try_aside(iso, err) && target_settle(iso->tgt, true, err));
}

bool batch_write_isolating(struct batch *b, struct table_map *tables, struct target *tgt,
                           struct letters *letters, bool halts, uint64_t *ret_attempts, struct err *err)
{
    struct isolate iso = {.b = b, .tables = tables, .tgt = tgt, .letters = letters, .halts = halts};
    list_items(&iso);
    open_part(&iso);
    bool ok = iso.count == 0 || isolate(&iso, 0, iso.count, true, false, err);
    close_part(&iso);
    free(iso.all);
    free(iso.aside);
    free(iso.chains);
    *ret_attempts += iso.attempts;
    batch_forget_items(b);
    return ok;
}
