/* See dual_write.h. */
#include "apply/dual_write.h"

#include <string.h>

#include "apply/hash.h"

/* One key that the changes touch. */
struct group {
    uint64_t hash;
    const struct item *first;       /* its key bytes name the group */
    const struct datum *key_values; /* a row whose key columns are this key */
    const struct datum *row;        /* the last state in which it was there, NULL = none so far */
    uint32_t base;                  /* key whose row on the target has what `row` lacks */
    uint32_t last;                  /* index of its last state */
    bool absent;                    /* some state is "not there" */
};

struct groups {
    const struct table_schema *schema;
    struct arena *arena;
    struct group *all;
    uint32_t count;
    uint32_t *slots; /* index + 1; 0 = empty */
    uint32_t slot_mask;
    struct conflict_state *states;
    size_t state_count;
};

/* Nothing is decided in this look (dual_session.c). */
static const struct conflict_rule deferring = {.policy = CONFLICT_HALT, .text = "halt"};

static bool groups_init(struct groups *gs, const struct table_schema *schema, size_t count,
                        struct arena *arena, struct err *err)
{
    uint32_t slots = 16;
    while (slots < count * 2)
        slots *= 2;
    *gs = (struct groups){.schema = schema, .arena = arena, .slot_mask = slots - 1};
    gs->all = arena_alloc(arena, (count + 1) * sizeof *gs->all);
    gs->slots = arena_alloc(arena, slots * sizeof *gs->slots);
    gs->states = arena_alloc(arena, (count + 1) * sizeof *gs->states);
    if (gs->all == NULL || gs->slots == NULL || gs->states == NULL)
        return collapse_no_room(arena, err);
    memset(gs->slots, 0, slots * sizeof *gs->slots);
    return true;
}

/* NULL when there is none and `it` is NULL. */
static struct group *find_group(struct groups *gs, const void *key, uint32_t key_len, const struct item *it)
{
    uint64_t hash = hash_bytes(key, key_len);
    uint32_t slot = (uint32_t)hash & gs->slot_mask;
    for (; gs->slots[slot] != 0; slot = (slot + 1) & gs->slot_mask) {
        struct group *g = &gs->all[gs->slots[slot] - 1];
        if (g->hash == hash && g->first->key_len == key_len && memcmp(g->first->key, key, key_len) == 0)
            return g;
    }
    if (it == NULL)
        return NULL;
    struct group *g = &gs->all[gs->count];
    *g = (struct group){.hash = hash,
                        .first = it,
                        .base = gs->count,
                        .last = UINT32_MAX,
                        .key_values = it->op == CHANGE_DELETE ? it->old : it->row};
    gs->slots[slot] = ++gs->count;
    return g;
}

/* `row` with values that it lacks taken from `from`: real values only, since what is kept out of line is never null. */
static bool fill(struct groups *gs, const struct datum **row, const struct datum *from, struct err *err)
{
    size_t n = gs->schema->field_count;
    if (from == NULL || row_is_complete(gs->schema, *row))
        return true;
    struct datum *merged = arena_alloc(gs->arena, n * sizeof *merged);
    if (merged == NULL)
        return collapse_no_room(gs->arena, err);
    for (size_t i = 0; i < n; i++)
        merged[i] =
            (*row)[i].state == DATUM_UNAVAILABLE && from[i].state == DATUM_VALUE ? from[i] : (*row)[i];
    *row = merged;
    return true;
}

/* Its values that were not changed are those of the state before: of this key, or of the one that the row had. */
static bool complete(struct groups *gs, struct group *g, struct item *it, struct err *err)
{
    if (it->row == NULL || row_is_complete(gs->schema, it->row))
        return true;
    const struct group *from = g;
    if (it->op == CHANGE_INSERT && it->other_key != NULL) {
        const struct group *moved = find_group(gs, it->other_key, it->other_key_len, NULL);
        from = moved != NULL ? moved : g;
    }
    g->base = from->base;
    return fill(gs, &it->row, from->row, err) && fill(gs, &it->row, it->old, err) &&
           fill(gs, &it->row, from != g ? from->key_values : NULL, err);
}

static bool add_state(struct groups *gs, struct item *it, struct err *err)
{
    struct group *g = find_group(gs, it->key, it->key_len, it);
    if (!complete(gs, g, it, err))
        return false;
    if (g->last != UINT32_MAX)
        gs->states[g->last].last = false;
    g->last = (uint32_t)gs->state_count;
    g->row = it->row != NULL ? it->row : g->row;
    g->absent = g->absent || it->row == NULL;
    gs->states[gs->state_count++] = (struct conflict_state){.key = (uint32_t)(g - gs->all),
                                                            .base = g->base,
                                                            .last = true,
                                                            .was_absent = g->absent,
                                                            .row = it->row,
                                                            .key_values = g->key_values,
                                                            .commit_lsn = it->commit_lsn};
    return true;
}

/* What follows the last TRUNCATE. */
static size_t after_truncate(const struct item *items, size_t count)
{
    for (size_t i = count; i > 0; i--) {
        if (items[i - 1].op == CHANGE_TRUNCATE)
            return i;
    }
    return 0;
}

static bool is_done(struct groups *gs, const bool *done, const void *key, uint32_t key_len)
{
    const struct group *g = find_group(gs, key, key_len, NULL);
    return g != NULL && done[g - gs->all];
}

/* Changes of done keys leave; the other half of a key change is then a change of its own. */
static size_t drop_done(struct groups *gs, const bool *done, struct item *items, size_t from, size_t count)
{
    size_t kept = from;
    for (size_t i = from; i < count; i++) {
        struct item it = items[i];
        if (is_done(gs, done, it.key, it.key_len))
            continue;
        if (it.other_key != NULL && is_done(gs, done, it.other_key, it.other_key_len))
            it.other_key = NULL;
        items[kept++] = it;
    }
    return kept;
}

bool dual_write_check(struct arena *arena, struct table_map *tables, struct target *tgt, struct item *items,
                      size_t *count, struct conflict_counts *ret, struct err *err)
{
    struct conflict_batch batch = {0};
    struct groups gs;
    if (!table_map_watches(tables))
        return true;
    if (!table_map_get(tables, items[0].schema, &batch.table, err))
        return false;
    batch.rule = table_map_rule(tables, items[0].schema);
    if (batch.rule == NULL)
        return true;
    size_t from = after_truncate(items, *count);
    if (from > 0 && batch.rule->policy != CONFLICT_SOURCE_WINS)
        return err_set(
            err, ERR_SQL,
            "table=%s.%s lsn=" LSN_FMT
            ": apply.conflicts: TRUNCATE of a table that is written on both sides: only source_wins "
            "says what becomes of the target's rows. Hint: set it for this table, or end its dual "
            "write; then start apply again: nothing was skipped",
            items[0].schema->schema, items[0].schema->table, LSN_ARGS(items[from - 1].commit_lsn));
    if (!groups_init(&gs, items[0].schema, *count, arena, err))
        return false;
    for (size_t i = from; i < *count; i++) {
        if (items[0].schema->key_count > 0 && !add_state(&gs, &items[i], err))
            return false;
    }
    bool *done = arena_alloc(arena, gs.count + 1);
    if (done == NULL)
        return collapse_no_room(arena, err);
    memset(done, 0, gs.count + 1);
    batch.states = gs.states;
    batch.count = gs.state_count;
    batch.key_count = gs.count;
    batch.truncated = from > 0;
    if (table_map_defers(tables))
        batch.rule = &deferring;
    if (!target_conflicts(tgt)->check(tgt, &batch, done, ret, err))
        return false;
    *count = items[0].schema->key_count > 0 ? drop_done(&gs, done, items, from, *count) : *count;
    return true;
}
