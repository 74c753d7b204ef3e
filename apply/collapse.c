/* Owns: from many changes of a table to one action per key. See collapse.h. */
#include "apply/collapse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apply/hash.h"
#include "core/temp_file.h"

#define NOBODY UINT32_MAX

enum entry_kind {
    ENTRY_UNTOUCHED = 0, /* only for the moment between lookup and the first change */
    ENTRY_PUT,           /* `row` is complete */
    ENTRY_PATCH,         /* the target's row under `base`'s key gets what is there of `row`, and this key */
    ENTRY_DELETED
};

struct image {
    enum entry_kind kind;
    const struct datum *row;
    uint32_t base; /* PATCH: entry whose target row is meant (often its own) */
    bool may_miss; /* PATCH: that row need not be there */
};

/* One key that the batch touches. */
struct entry {
    uint64_t hash;
    const struct item *first;       /* its key bytes name the entry */
    const struct item *last;        /* for messages */
    const struct datum *key_values; /* a row whose key columns are this key */
    struct image now;
    struct image left; /* what a key change took away from here, until its create comes */
    bool leaving;      /* `left` is valid */
    bool only_reads;   /* nothing but snapshot rows so far */
    bool created;      /* the first change made the row: no row of this key was there */
    uint32_t occupant; /* entry (PATCH) that lives on the target's row of this key, or NOBODY */
};

struct collapse {
    const struct table_schema *schema;
    struct arena *arena;
    struct entry *entries;
    uint32_t entry_count;
    uint32_t *slots; /* index + 1; 0 = empty */
    uint32_t slot_mask;
    struct err *err;
};

bool row_is_complete(const struct table_schema *schema, const struct datum *row)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        if (row[i].state == DATUM_UNAVAILABLE)
            return false;
    }
    return true;
}

bool collapse_no_room(const struct arena *arena, struct err *err)
{
    if (arena->in_file)
        return err_set_errno(err, errno,
                             "temporary file in %s: a fence of the copy is larger than apply.batch_max_bytes "
                             "and has to be written as a whole",
                             temp_file_folder());
    return err_set(err, ERR_NO_MEMORY, "the batch does not fit into apply.batch_max_bytes");
}

static bool impossible(struct collapse *c, const struct item *it, const char *what)
{
    return err_set(c->err, ERR_PROTOCOL,
                   "table=%s.%s lsn=" LSN_FMT
                   " order=%llu: %s; the journal does not hold what the source did, start a new copy",
                   c->schema->schema, c->schema->table, LSN_ARGS(it->commit_lsn),
                   (unsigned long long)it->total_order, what);
}

static bool collapse_init(struct collapse *c, const struct item *items, size_t count, struct arena *arena,
                          struct err *err)
{
    uint32_t slots = 16;
    while (slots < count * 2)
        slots *= 2;
    *c = (struct collapse){.schema = items[0].schema, .arena = arena, .err = err, .slot_mask = slots - 1};
    c->entries = arena_alloc(arena, count * sizeof *c->entries);
    c->slots = arena_alloc(arena, slots * sizeof *c->slots);
    if (c->entries == NULL || c->slots == NULL)
        return collapse_no_room(arena, err);
    memset(c->slots, 0, slots * sizeof *c->slots);
    return true;
}

/* The entry of these key bytes; NULL when there is none and `it` is NULL. */
static struct entry *find_entry(struct collapse *c, const void *key, uint32_t key_len, const struct item *it)
{
    uint64_t hash = hash_bytes(key, key_len);
    uint32_t slot = (uint32_t)hash & c->slot_mask;
    for (; c->slots[slot] != 0; slot = (slot + 1) & c->slot_mask) {
        struct entry *e = &c->entries[c->slots[slot] - 1];
        if (e->hash == hash && e->first->key_len == key_len && memcmp(e->first->key, key, key_len) == 0)
            return e;
    }
    if (it == NULL)
        return NULL;
    struct entry *e = &c->entries[c->entry_count++];
    c->slots[slot] = c->entry_count;
    *e = (struct entry){.hash = hash,
                        .first = it,
                        .occupant = NOBODY,
                        .only_reads = true,
                        .created = it->op == CHANGE_INSERT && it->other_key == NULL,
                        .key_values = it->op == CHANGE_DELETE ? it->old : it->row};
    return e;
}

static uint32_t index_of(const struct collapse *c, const struct entry *e)
{
    return (uint32_t)(e - c->entries);
}

/* Gives the entry a new state; the target row it stood on, if any, becomes free. */
static void set_image(struct collapse *c, struct entry *e, struct image image)
{
    if (e->now.kind == ENTRY_PATCH)
        c->entries[e->now.base].occupant = NOBODY;
    e->now = image;
    if (image.kind == ENTRY_PATCH)
        c->entries[image.base].occupant = index_of(c, e);
}

/* `row` with its missing values taken from `older` (which may lack some, too). NULL: no memory. */
static const struct datum *merge_rows(struct collapse *c, const struct datum *row, const struct datum *older)
{
    size_t n = c->schema->field_count;
    struct datum *merged = arena_alloc(c->arena, n * sizeof *merged);
    if (merged == NULL) {
        (void)collapse_no_room(c->arena, c->err);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        merged[i] = row[i].state == DATUM_UNAVAILABLE ? older[i] : row[i];
    return merged;
}

/* Writes `row` over `from`, the state that its missing values come from; own = the entry that `from`
 * describes. */
static bool write_over(struct collapse *c, struct entry *e, const struct datum *row, struct image from,
                       uint32_t own, const struct item *it)
{
    struct image next = {.kind = ENTRY_PUT, .row = row};
    if (!row_is_complete(c->schema, row)) {
        switch (from.kind) {
        case ENTRY_DELETED:
            return it->may_miss || impossible(c, it, "a change of a row that was deleted before");
        case ENTRY_UNTOUCHED:
            next = (struct image){.kind = ENTRY_PATCH, .row = row, .base = own, .may_miss = it->may_miss};
            break;
        case ENTRY_PUT:
        case ENTRY_PATCH:
            next.row = merge_rows(c, row, from.row);
            if (next.row == NULL)
                return false;
            if (!row_is_complete(c->schema, next.row))
                next = (struct image){
                    .kind = ENTRY_PATCH, .row = next.row, .base = from.base, .may_miss = from.may_miss};
            break;
        }
    }
    set_image(c, e, next);
    return true;
}

static bool take_delete(struct collapse *c, struct entry *e, const struct item *it)
{
    e->leaving = it->other_key != NULL;
    if (e->leaving)
        e->left = e->now;
    set_image(c, e, (struct image){.kind = ENTRY_DELETED});
    return true;
}

/* The create of a key change: its missing values are where the row was before. */
static bool take_arrival(struct collapse *c, struct entry *e, const struct item *it)
{
    struct entry *from = find_entry(c, it->other_key, it->other_key_len, NULL);
    if (from == NULL || !from->leaving) {
        if (row_is_complete(c->schema, it->row))
            return write_over(c, e, it->row, e->now, index_of(c, e), it);
        return impossible(c, it, "a key change whose first half is missing");
    }
    from->leaving = false;
    return write_over(c, e, it->row, from->left, index_of(c, from), it);
}

static bool take_item(struct collapse *c, const struct item *it)
{
    struct entry *e = find_entry(c, it->key, it->key_len, it);
    e->last = it;
    e->only_reads = e->only_reads && it->op == CHANGE_READ;
    switch (it->op) {
    case CHANGE_DELETE:
        return take_delete(c, e, it);
    case CHANGE_INSERT:
        if (it->other_key != NULL)
            return take_arrival(c, e, it);
        return write_over(c, e, it->row, e->now, index_of(c, e), it);
    case CHANGE_READ:
    case CHANGE_UPDATE:
        return write_over(c, e, it->row, e->now, index_of(c, e), it);
    case CHANGE_TRUNCATE:
    case CHANGE_UNKNOWN:
        break;
    }
    return impossible(c, it, "an operation that is not known");
}

static void emit(struct action_list *out, enum target_op op, const struct datum *row, const struct datum *old,
                 const struct item *it)
{
    out->rows[out->count++] = (struct target_row){
        .op = op, .row = row, .old = old, .commit_lsn = it->commit_lsn, .total_order = it->total_order};
}

static void emit_patch(const struct entry *e, const struct datum *old, struct action_list *out)
{
    emit(out, TARGET_UPDATE, e->now.row, old, e->last);
    out->rows[out->count - 1].may_miss = e->now.may_miss;
}

static bool is_new(const struct entry *e, enum rows_new rows_new)
{
    return (e->only_reads && rows_new >= ROWS_NEW_READ) || (e->created && rows_new >= ROWS_NEW_CREATED);
}

static void emit_entry(const struct collapse *c, const struct entry *e, enum rows_new rows_new,
                       struct action_list *out)
{
    uint32_t self = index_of(c, e);
    bool row_lives_elsewhere = e->occupant != NOBODY && e->occupant != self;
    switch (e->now.kind) {
    case ENTRY_PUT:
        emit(out, is_new(e, rows_new) ? TARGET_INSERT : TARGET_UPSERT, e->now.row, NULL, e->last);
        break;
    case ENTRY_PATCH:
        if (e->now.base == self) {
            emit_patch(e, NULL, out);
            break;
        }
        if (!row_lives_elsewhere) /* what stood under the new key before must be gone first */
            emit(out, TARGET_DELETE, NULL, e->key_values, e->last);
        emit_patch(e, c->entries[e->now.base].key_values, out);
        break;
    case ENTRY_DELETED:
        if (!row_lives_elsewhere)
            emit(out, TARGET_DELETE, NULL, e->key_values, e->last);
        break;
    case ENTRY_UNTOUCHED:
        break;
    }
}

/* What follows the last TRUNCATE; *ret_truncate tells whether there was one. */
static size_t after_truncate(const struct item *items, size_t count, bool *ret_truncate)
{
    *ret_truncate = false;
    for (size_t i = count; i > 0; i--) {
        if (items[i - 1].op == CHANGE_TRUNCATE) {
            *ret_truncate = true;
            return i;
        }
    }
    return 0;
}

static bool only_fresh_rows(const struct item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].op != CHANGE_READ)
            return false;
    }
    return true;
}

static enum target_op plain_op(const struct item *it)
{
    return it->op == CHANGE_DELETE ? TARGET_DELETE : it->op == CHANGE_UPDATE ? TARGET_UPDATE : TARGET_INSERT;
}

/* Without a key there is nothing to collapse by; snapshot rows never meet each other. */
static void emit_as_they_are(const struct item *items, size_t count, struct action_list *out)
{
    for (size_t i = 0; i < count; i++)
        emit(out, plain_op(&items[i]), items[i].row, items[i].old, &items[i]);
}

static bool emit_collapsed(const struct item *items, size_t count, enum rows_new rows_new,
                           struct arena *arena, struct action_list *out, struct err *err)
{
    struct collapse c;
    if (!collapse_init(&c, items, count, arena, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!take_item(&c, &items[i]))
            return false;
    }
    for (uint32_t i = 0; i < c.entry_count; i++)
        emit_entry(&c, &c.entries[i], rows_new, out);
    return true;
}

bool collapse_items(const struct item *items, size_t count, enum rows_new rows_new, struct arena *arena,
                    struct action_list *ret, struct err *err)
{
    struct action_list out = {0};
    size_t skip = after_truncate(items, count, &out.truncate);
    items += skip;
    count -= skip;
    out.rows = arena_alloc(arena, 2 * count * sizeof *out.rows);
    if (out.rows == NULL)
        return collapse_no_room(arena, err);
    if (count > 0 && (items[0].key == NULL || (rows_new != ROWS_NEW_NONE && only_fresh_rows(items, count))))
        emit_as_they_are(items, count, &out);
    else if (count > 0 && !emit_collapsed(items, count, rows_new, arena, &out, err))
        return false;
    *ret = out;
    return true;
}

static enum target_op sequence_op(const struct item *it)
{
    if (it->key == NULL)
        return plain_op(it);
    if (it->op == CHANGE_DELETE)
        return TARGET_DELETE;
    return row_is_complete(it->schema, it->row) ? TARGET_UPSERT : TARGET_UPDATE;
}

/* Its key change's other half comes next: both are at one place of the source's order. */
static bool moves_to(const struct item *it, const struct item *next)
{
    return it->key != NULL && it->op == CHANGE_DELETE && it->other_key != NULL && next->op == CHANGE_INSERT &&
           next->key != NULL && next->other_key != NULL && next->other_key_len == it->key_len &&
           memcmp(next->other_key, it->key, it->key_len) == 0;
}

bool sequence_items(const struct item *items, size_t count, struct arena *arena, struct action_list *ret,
                    struct err *err)
{
    struct action_list out = {.rows = arena_alloc(arena, count * sizeof *out.rows)};
    if (out.rows == NULL)
        return collapse_no_room(arena, err);
    for (size_t i = 0; i < count; i++) {
        const struct item *it = &items[i];
        if (i + 1 < count && moves_to(it, &items[i + 1])) {
            emit(&out, TARGET_UPDATE, items[i + 1].row, it->old, &items[i + 1]);
            i++;
        } else {
            emit(&out, sequence_op(it), it->row, it->key == NULL || it->op == CHANGE_DELETE ? it->old : NULL,
                 it);
            out.rows[out.count - 1].may_miss = it->may_miss;
        }
    }
    *ret = out;
    return true;
}
