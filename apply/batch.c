/* Owns: decoded changes of a batch, per table, in order. See batch.h. */
#include "apply/batch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apply/batch_internal.h"
#include "apply/foreign.h"
#include "apply/hash.h"
#include "core/alloc.h"
#include "core/temp_file.h"

/* What a change costs besides its values, in items, collapse and actions. */
#define ITEM_COST   360
#define ARENA_BLOCK ((size_t)1 << 20)
#define ARENA_KEEP  ((size_t)8 << 20)
/* Room for what collapse needs, and for one record of any size that PostgreSQL allows. */
#define ARENA_RESERVE ((size_t)2200 << 20)
/* Parts of a copy: small enough that the target works on one while the next is read. */
#define READ_PART_BYTES ((size_t)1 << 20)

struct batch *batch_new(size_t max_bytes)
{
    struct batch *b = xcalloc(1, sizeof *b);
    b->max_bytes = max_bytes;
    b->overflow_fd = -1;
    arena_init(&b->arena, ARENA_BLOCK, max_bytes + ARENA_RESERVE);
    return b;
}

static void end_overflow(struct batch *b)
{
    if (b->overflow_fd >= 0)
        close(b->overflow_fd);
    b->overflow_fd = -1;
}

void batch_free(struct batch *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->table_count; i++) {
        free(b->tables[i].stream);
        free(b->tables[i].schema);
        free(b->tables[i].table);
        if (!b->tables[i].in_arena)
            free(b->tables[i].items);
        free(b->tables[i].partitions);
    }
    free(b->tables);
    free(b->touched);
    free(b->slots);
    end_overflow(b);
    arena_release(&b->arena);
    free(b);
}

void batch_forget_items(struct batch *b)
{
    for (size_t i = 0; i < b->touched_count; i++) {
        struct batch_table *bt = &b->tables[b->touched[i]];
        if (bt->in_arena) {
            bt->items = NULL;
            bt->cap = 0;
        }
        bt->count = 0;
        bt->in_arena = bt->unsorted = false;
        bt->departures = 0;
    }
    b->item_count = b->departures = b->part_reads = 0;
    b->last_schema = NULL; /* the decoder may be another one next time */
    arena_clear(&b->arena);
    end_overflow(b);
    if (b->arena.reserved_bytes > ARENA_KEEP) /* one huge row is no reason to stay large */
        arena_release(&b->arena);
}

void batch_clear(struct batch *b)
{
    batch_forget_items(b);
    for (size_t i = 0; i < b->touched_count; i++) {
        struct batch_table *bt = &b->tables[b->touched[i]];
        memset(bt->rows, 0, sizeof bt->rows);
        bt->touched = false;
    }
    b->touched_count = 0;
    b->counts = (struct batch_counts){0};
    b->generation++;
    b->next_seq = 0;
}

void batch_large_parts(struct batch *b, bool large)
{
    b->large_parts = large;
}

void batch_keep_records(struct batch *b, bool keep)
{
    b->keep_records = keep;
}

void batch_take_repeats(struct batch *b, bool take)
{
    b->take_repeats = take;
    b->replayed = (struct partition_place){0};
}

size_t batch_bytes(const struct batch *b)
{
    return b->arena.used_bytes + b->item_count * ITEM_COST;
}

bool batch_is_full(const struct batch *b)
{
    size_t limit =
        batch_only_reads(b) && !b->large_parts ? MIN_OF(READ_PART_BYTES, b->max_bytes) : b->max_bytes;
    return b->overflow_fd < 0 && b->departures == 0 && batch_bytes(b) >= limit;
}

bool batch_is_over(const struct batch *b)
{
    return b->overflow_fd < 0 && batch_bytes(b) / 5 * 4 >= b->max_bytes;
}

bool batch_overflow(struct batch *b, struct err *err)
{
    if (!temp_file_open(&b->overflow_fd, err))
        return false;
    arena_overflow(&b->arena, b->overflow_fd);
    return true;
}

bool batch_only_reads(const struct batch *b)
{
    return b->part_reads == b->item_count;
}

const struct batch_counts *batch_counts(const struct batch *b)
{
    return &b->counts;
}

void batch_tally(struct batch *b, struct tally *t)
{
    for (size_t i = 0; i < b->touched_count; i++) {
        struct batch_table *bt = &b->tables[b->touched[i]];
        for (int kind = 0; kind < TALLY_KINDS; kind++) {
            if (bt->rows[kind] > 0 && bt->tally == 0)
                bt->tally = tally_table(t, bt->schema, bt->table) + 1;
            tally_row(t, bt->tally - 1, (enum tally_kind)kind, bt->rows[kind]);
        }
    }
    tally_commit(t);
}

const struct item *batch_last_item(const struct batch *b)
{
    return b->kept ? &b->last_item : NULL;
}

static bool is_table(const struct batch_table *bt, const char *stream, const char *schema, const char *table,
                     uint64_t hash)
{
    return bt->hash == hash && strcmp(bt->stream, stream) == 0 && strcmp(bt->table, table) == 0 &&
           strcmp(bt->schema, schema) == 0;
}

/* The slot of this table, or the empty one where it belongs. */
static uint32_t *find_slot(const struct batch *b, const char *stream, const char *schema, const char *table,
                           uint64_t hash)
{
    size_t at = hash & (b->slot_count - 1);
    while (b->slots[at] != 0 && !is_table(&b->tables[b->slots[at] - 1], stream, schema, table, hash))
        at = (at + 1) & (b->slot_count - 1);
    return &b->slots[at];
}

static void grow_tables(struct batch *b)
{
    b->table_cap = b->table_cap == 0 ? 16 : 2 * b->table_cap;
    b->tables = xrealloc(b->tables, b->table_cap * sizeof *b->tables);
    free(b->slots);
    b->slot_count = 4 * b->table_cap;
    b->slots = xcalloc(b->slot_count, sizeof *b->slots);
    for (size_t i = 0; i < b->table_count; i++) {
        const struct batch_table *bt = &b->tables[i];
        *find_slot(b, bt->stream, bt->schema, bt->table, bt->hash) = (uint32_t)i + 1;
    }
}

/* Several tables may share a stream, and a table has a schema for each of its shapes. */
static uint64_t hash_of(const char *stream, const char *table)
{
    return hash_mix(hash_bytes(stream, strlen(stream)), hash_bytes(table, strlen(table)));
}

/* Its index; a new one is made if need be. */
static size_t table_named(struct batch *b, const char *stream, const char *schema, const char *table)
{
    uint64_t hash = hash_of(stream, table);
    if (b->table_count == b->table_cap)
        grow_tables(b);
    uint32_t *slot = find_slot(b, stream, schema, table, hash);
    if (*slot == 0) {
        b->tables[b->table_count++] =
            (struct batch_table){.stream = xstrdup(stream),
                                 .schema = xstrdup(schema),
                                 .table = xstrdup(table),
                                 .elsewhere = !shard_has(&b->shard, b->layout, schema, table),
                                 .hash = hash};
        *slot = (uint32_t)b->table_count;
    }
    return *slot - 1;
}

/* What was found out about whole streams is found out again. */
void batch_of_shard(struct batch *b, struct shard shard, const struct target_layout *layout)
{
    b->shard = shard;
    b->layout = layout;
    b->last_schema = NULL;
    for (size_t i = 0; i < b->table_count; i++) {
        struct batch_table *bt = &b->tables[i];
        bt->elsewhere = bt->table[0] != '\0' && !shard_has(&shard, layout, bt->schema, bt->table);
    }
}

static bool stream_is_elsewhere(const struct batch *b, const char *stream)
{
    if (b->shard.count <= 1 || b->table_count == 0)
        return false;
    uint32_t slot = *find_slot(b, stream, "", "", hash_of(stream, ""));
    return slot != 0 && b->tables[slot - 1].elsewhere;
}

/* A record of a table that another shard has. Of a stream that holds nothing else none is looked into again. */
static void pass_over(struct batch *b, const struct journal_record *rec, const struct change *chg)
{
    b->counts.changes++;
    if (chg == NULL)
        return;
    b->counts.newest_lsn = MAX_OF(b->counts.newest_lsn, chg->source.commit_lsn);
    if (chg->schema->shared_id == NULL) {
        size_t whole = table_named(b, rec->stream, "", "");
        b->tables[whole].elsewhere = true;
    }
}

static struct batch_table *find_table(struct batch *b, const char *stream, const struct table_schema *schema)
{
    if (b->last_schema == schema)
        return &b->tables[b->last_table];
    b->last_table = table_named(b, stream, schema->schema, schema->table);
    b->last_schema = schema;
    return &b->tables[b->last_table];
}

static struct partition_place *find_partition(struct batch *b, struct batch_table *bt, int32_t partition)
{
    size_t want = partition < 0 ? 1 : (size_t)partition + 1;
    if (bt->partition_count < want) {
        bt->partitions = xrealloc(bt->partitions, want * sizeof *bt->partitions);
        memset(bt->partitions + bt->partition_count, 0,
               (want - bt->partition_count) * sizeof *bt->partitions);
        bt->partition_count = want;
    }
    struct partition_place *place = &bt->partitions[want - 1];
    if (place->generation != b->generation + 1)
        *place = (struct partition_place){.generation = b->generation + 1};
    return place;
}

int item_order(const struct item *a, const struct item *b)
{
    if (a->commit_lsn != b->commit_lsn)
        return a->commit_lsn < b->commit_lsn ? -1 : 1;
    if (a->total_order != b->total_order)
        return a->total_order < b->total_order ? -1 : 1;
    int rank_a = a->op != CHANGE_DELETE,
        rank_b = b->op != CHANGE_DELETE; /* halves of a key change may share an ordinal */
    if (rank_a != rank_b)
        return rank_a - rank_b;
    return (a->seq > b->seq) - (a->seq < b->seq);
}

/* Settles the item's place; false if it came before. Snapshot rows are never duplicates: they have no
 * ordinal. */
static bool take_place(struct partition_place *place, struct item *it, bool copied, lsn_t drop_below)
{
    struct item last = {.commit_lsn = place->commit_lsn, .total_order = place->total_order, .op = place->op};
    if (copied) {
        if (item_order(it, &last) < 0) {
            it->commit_lsn = last.commit_lsn;
            it->total_order = last.total_order;
        }
        return true;
    }
    if (it->commit_lsn < drop_below)
        return false;
    struct item same = *it;
    same.seq = 0;
    if (it->total_order > 0 && place->any && item_order(&same, &last) <= 0)
        return false;
    place->any = true;
    place->commit_lsn = it->commit_lsn;
    place->total_order = it->total_order;
    place->op = it->op;
    return true;
}

static const struct journal_header *find_header(const struct journal_record *rec, const char *name)
{
    for (size_t i = 0; i < rec->header_count; i++) {
        if (strcmp(rec->headers[i].name, name) == 0)
            return &rec->headers[i];
    }
    return NULL;
}

static uint32_t schema_id_of(const struct journal_record *rec)
{
    const struct journal_header *header = rec->header_count > 0 ? find_header(rec, HEADER_SCHEMA_ID) : NULL;
    if (header == NULL || header->value_len != 4)
        return 0;
    const unsigned char *p = header->value;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool record_err(const struct journal_record *rec, struct err *err)
{
    return err_wrap(err, "topic=%s partition=%d offset=%llu", rec->stream, (int)rec->partition,
                    (unsigned long long)rec->offset);
}

static bool no_room(const struct batch *b, const struct journal_record *rec, struct err *err)
{
    if (b->arena.in_file)
        (void)collapse_no_room(&b->arena, err);
    else
        err_set(err, ERR_NO_MEMORY, "the record does not fit into memory");
    return record_err(rec, err);
}

static bool copy_keys(struct batch *b, const struct journal_record *rec, struct item *it)
{
    if (rec->key == NULL)
        return true;
    const struct journal_header *other = NULL;
    if (rec->header_count > 0 && it->op == CHANGE_DELETE)
        other = find_header(rec, HEADER_NEW_KEY);
    else if (rec->header_count > 0 && it->op == CHANGE_INSERT)
        other = find_header(rec, HEADER_OLD_KEY);
    else if (rec->header_count > 0 && it->op == CHANGE_UPDATE)
        it->may_miss = find_header(rec, HEADER_COPYING) != NULL;
    const void *key, *other_key;
    size_t key_len, other_len;
    codec_payload(rec->key, rec->key_len, &key, &key_len); /* a header's key has no schema beside it */
    it->key = arena_copy(&b->arena, key, key_len);
    it->key_len = (uint32_t)key_len;
    if (other == NULL)
        return it->key != NULL;
    codec_payload(other->value, other->value_len, &other_key, &other_len);
    it->other_key = arena_copy(&b->arena, other_key, other_len);
    it->other_key_len = (uint32_t)other_len;
    return it->key != NULL && it->other_key != NULL;
}

/* Key and headers are copied, the value is the batch's already. */
static bool keep_record(struct batch *b, const struct journal_record *rec, const char *value, struct item *it)
{
    struct journal_record *raw = arena_alloc(&b->arena, sizeof *raw);
    if (raw == NULL)
        return false;
    *raw = *rec;
    raw->value = value;
    raw->stream = arena_copy(&b->arena, rec->stream, strlen(rec->stream));
    if (rec->key != NULL)
        raw->key = arena_copy(&b->arena, rec->key, rec->key_len);
    bool ok = raw->stream != NULL && (rec->key == NULL || raw->key != NULL);
    for (size_t i = 0; ok && i < rec->header_count; i++) {
        raw->headers[i].name = arena_copy(&b->arena, rec->headers[i].name, strlen(rec->headers[i].name));
        raw->headers[i].value = arena_copy(&b->arena, rec->headers[i].value, rec->headers[i].value_len);
        ok = raw->headers[i].name != NULL && raw->headers[i].value != NULL;
    }
    it->raw = raw;
    return ok;
}

static void count_departures(struct batch *b, struct batch_table *bt, const struct item *it)
{
    if (it->other_key == NULL)
        return;
    if (it->op == CHANGE_DELETE) {
        bt->departures++;
        b->departures++;
    } else if (bt->departures > 0) {
        bt->departures--;
        b->departures--;
    }
}

static bool grow_items(struct batch *b, struct batch_table *bt)
{
    size_t cap = bt->cap == 0 ? 256 : 2 * bt->cap;
    if (b->overflow_fd < 0) {
        bt->items = xrealloc(bt->items, cap * sizeof *bt->items);
    } else {
        struct item *items = arena_alloc(&b->arena, cap * sizeof *items);
        if (items == NULL)
            return false;
        if (bt->count > 0)
            memcpy(items, bt->items, bt->count * sizeof *items);
        if (!bt->in_arena)
            free(bt->items);
        bt->items = items;
        bt->in_arena = true;
    }
    bt->cap = cap;
    return true;
}

static bool append_item(struct batch *b, struct batch_table *bt, const struct item *it)
{
    batch_touch(b, bt);
    if (bt->count == bt->cap && !grow_items(b, bt))
        return false;
    if (bt->count > 0 && item_order(&bt->items[bt->count - 1], it) > 0)
        bt->unsorted = true;
    bt->items[bt->count++] = *it;
    b->item_count++;
    b->part_reads += it->op == CHANGE_READ;
    count_departures(b, bt, it);
    return true;
}

static bool check_item(const struct item *it, const struct journal_record *rec, struct err *err)
{
    bool keyed = it->schema->key_count > 0;
    if (it->op != CHANGE_TRUNCATE && keyed != (it->key != NULL)) {
        err_set(err, ERR_PROTOCOL, "table=%s.%s: key and schema do not agree", it->schema->schema,
                it->schema->table);
        return record_err(rec, err);
    }
    bool needs_old = it->op == CHANGE_DELETE || (it->op == CHANGE_UPDATE && !keyed);
    if (needs_old && it->old == NULL) {
        err_set(err, ERR_PROTOCOL,
                "table=%s.%s lsn=" LSN_FMT ": the record lacks the old row (replica identity?)",
                it->schema->schema, it->schema->table, LSN_ARGS(it->commit_lsn));
        return record_err(rec, err);
    }
    return true;
}

void batch_decode_foreign(struct batch *b, struct foreign_decoder *foreign)
{
    batch_clear(b);
    b->foreign = foreign;
}

/* In a partition the order is that of arrival, whatever the places say; between partitions, places are all there is. */
static void keep_order(struct partition_place *place, struct item *it)
{
    const struct item last = {
        .commit_lsn = place->commit_lsn, .total_order = place->total_order, .op = place->op};
    struct item same = *it;
    same.seq = 0;
    if (place->any && item_order(&same, &last) < 0) { /* (at one place, deletes would come first) */
        it->commit_lsn = last.commit_lsn;
        it->total_order = last.total_order + 1;
    }
    place->any = true;
    place->commit_lsn = it->commit_lsn;
    place->total_order = it->total_order;
    place->op = it->op;
}

static void count_item(struct batch *b, struct batch_table *bt, const struct item *it,
                       const struct journal_record *rec)
{
    bt->rows[tally_kind_of((char)it->op)]++;
    b->last_item = *it;
    b->kept = true;
    b->counts.changes++;
    b->counts.reads += it->op == CHANGE_READ;
    b->counts.inserts += it->op == CHANGE_INSERT;
    b->counts.truncates += it->op == CHANGE_TRUNCATE;
    b->counts.value_bytes += rec->value_len;
    b->counts.newest_lsn = MAX_OF(b->counts.newest_lsn, it->commit_lsn);
}

/* A copy of the record's bytes: values point into it. */
static const void *keep_bytes(struct batch *b, const void *bytes, size_t len)
{
    return bytes != NULL ? arena_copy(&b->arena, bytes, len) : NULL;
}

/* Letters of a chain come in the order that holds, over all partitions and tables. */
static struct partition_place *place_for(struct batch *b, struct batch_table *bt, int32_t partition)
{
    return b->take_repeats ? &b->replayed : find_partition(b, bt, partition);
}

static bool add_foreign(struct batch *b, const struct journal_record *rec, struct err *err)
{
    struct foreign_record fr = foreign_record_of(rec);
    struct foreign_event ev;
    fr.value = keep_bytes(b, rec->value, rec->value_len);
    if (fr.value == NULL)
        return no_room(b, rec, err);
    if (!foreign_decode(b->foreign, &fr, &b->arena, &ev, err))
        return record_err(rec, err);
    if (ev.kind != FOREIGN_CHANGE)
        return true;
    const struct change *chg = &ev.change;
    struct item it = {.schema = chg->schema,
                      .row = chg->op == CHANGE_DELETE ? NULL : chg->after,
                      .old = chg->before,
                      .key = ev.key,
                      .other_key = ev.other_key,
                      .key_len = ev.key_len,
                      .other_key_len = ev.other_key_len,
                      .commit_lsn = chg->source.commit_lsn,
                      .total_order = chg->total_order,
                      .seq = b->next_seq++,
                      .op = chg->op};
    struct batch_table *bt = find_table(b, rec->stream, it.schema);
    if (bt->elsewhere)
        return pass_over(b, rec, chg), true;
    keep_order(place_for(b, bt, rec->partition), &it);
    if (b->keep_records && !keep_record(b, rec, fr.value, &it))
        return no_room(b, rec, err);
    if (!check_item(&it, rec, err))
        return false;
    if (!append_item(b, bt, &it))
        return no_room(b, rec, err);
    count_item(b, bt, &it, rec);
    return true;
}

void batch_drop_by_table(struct batch *b, lsn_t (*drop_below)(void *ctx, const struct table_schema *schema),
                         void *ctx)
{
    b->table_drop_below = drop_below;
    b->table_drop_ctx = ctx;
}

bool batch_add(struct batch *b, const struct codec_ops *codec, struct decoder *dec,
               const struct journal_record *rec, lsn_t drop_below, struct err *err)
{
    struct change chg;
    b->kept = false;
    if (rec->value == NULL)
        return true;
    if (b->foreign != NULL)
        return add_foreign(b, rec, err);
    if (stream_is_elsewhere(b, rec->stream))
        return pass_over(b, rec, NULL), true;
    const char *value = arena_copy(&b->arena, rec->value, rec->value_len);
    if (value == NULL)
        return no_room(b, rec, err);
    if (!codec->decode_value(dec, rec->stream, schema_id_of(rec), value, rec->value_len, &b->arena, &chg,
                             err))
        return record_err(rec, err);
    struct item it = {.schema = chg.schema,
                      .row = chg.op == CHANGE_DELETE ? NULL : chg.after,
                      .old = chg.before,
                      .commit_lsn = chg.source.commit_lsn,
                      .total_order = chg.total_order,
                      .seq = b->next_seq++,
                      .op = chg.op};
    struct batch_table *bt = find_table(b, rec->stream, it.schema);
    if (bt->elsewhere)
        return pass_over(b, rec, &chg), true;
    if (b->table_drop_below != NULL)
        drop_below = MAX_OF(drop_below, b->table_drop_below(b->table_drop_ctx, it.schema));
    if (!take_place(find_partition(b, bt, rec->partition), &it, change_is_copied(&chg), drop_below) &&
        !b->take_repeats) {
        b->counts.duplicates++;
        return true;
    }
    if ((it.op != CHANGE_TRUNCATE && !copy_keys(b, rec, &it)) ||
        (b->keep_records && !keep_record(b, rec, value, &it)))
        return no_room(b, rec, err);
    if (!check_item(&it, rec, err))
        return false;
    if (!append_item(b, bt, &it))
        return no_room(b, rec, err);
    count_item(b, bt, &it, rec);
    return true;
}
