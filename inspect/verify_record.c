/* Records of data streams: where they lie, what they hold, and their order. */
#include <string.h>

#include "inspect/hash.h"
#include "journal/schema_store.h"
#include "verify_internal.h"

/* A record on its way through the checks. */
struct seen {
    struct verify *v;
    const struct journal_record *rec;
    struct part *part;
    struct batch_fence *fence; /* NULL: in none */
    lsn_t lsn;
};

#define RECORD_FINDING(s, which, ...)                                                                        \
    do {                                                                                                     \
        struct verify_finding finding_ = {.kind = (which),                                                   \
                                          .stream = (s)->part->stream,                                       \
                                          .partition = (s)->part->partition,                                 \
                                          .offset = (s)->rec->offset,                                        \
                                          .lsn = (s)->lsn,                                                   \
                                          .fence_id = (s)->fence != NULL ? (s)->fence->fence.id : 0};        \
        verify_find((s)->v, &finding_, __VA_ARGS__);                                                         \
    } while (0)

/* --- where --- */

static void tell_gap(struct verify *v, const struct slice *slice, uint64_t until)
{
    const struct fence *fence = &v->batch[slice->fence].fence;
    struct verify_finding finding = {.kind = VERIFY_GAP,
                                     .stream = slice->part->stream,
                                     .partition = slice->part->partition,
                                     .offset = slice->expect,
                                     .lsn = fence->lsn,
                                     .fence_id = fence->id};
    verify_find(v, &finding, "%llu records are missing: offsets %llu to %llu",
                (unsigned long long)(until - slice->expect), (unsigned long long)slice->expect,
                (unsigned long long)until - 1);
}

/* Ends the slices of the part that lie before the offset. */
static void pass_slices(struct verify *v, struct part *part, uint64_t offset)
{
    for (; part->slice_at < part->slice_end && v->slices[part->slice_at].next <= offset; part->slice_at++) {
        const struct slice *slice = &v->slices[part->slice_at];
        if (slice->expect < slice->next)
            tell_gap(v, slice, slice->next);
    }
}

/* The fence whose range has this offset. */
static struct batch_fence *find_fence(struct verify *v, struct part *part, uint64_t offset)
{
    pass_slices(v, part, offset);
    if (part->slice_at == part->slice_end || offset < v->slices[part->slice_at].first)
        return NULL;
    struct slice *slice = &v->slices[part->slice_at];
    if (offset > slice->expect)
        tell_gap(v, slice, offset);
    slice->expect = offset + 1;
    return &v->batch[slice->fence];
}

static void check_place(const struct seen *s)
{
    const struct part *part = s->part;
    if (s->fence == NULL)
        RECORD_FINDING(s, VERIFY_UNFENCED,
                       "the record lies in no fence's range: it was not written by capture");
    if (part->partition_count <= 1)
        return;
    int32_t right = kafka_partition(s->rec->key, s->rec->key_len, part->partition_count);
    if (right != part->partition)
        RECORD_FINDING(s, VERIFY_PARTITION, "the record's key belongs into partition %d", (int)right);
}

/* --- order --- */

static uint64_t change_hash(const struct part *part, lsn_t lsn, uint64_t order, enum change_op op)
{
    const uint64_t words[] = {lsn, order, (uint64_t)op, (uint64_t)(uint32_t)part->partition, part->attempt};
    return hash64(words, sizeof words, hash64(part->stream, strlen(part->stream), 0));
}

static bool is_after(const struct part *part, const struct change *chg)
{
    if (chg->source.commit_lsn != part->lsn)
        return chg->source.commit_lsn > part->lsn;
    return chg->total_order > part->order;
}

static void check_change(const struct seen *s, const struct change *chg)
{
    struct verify *v = s->v;
    struct part *part = s->part;
    char before[LSN_TEXT_MAX];
    v->totals.changes++;
    bool twice = key_sample_add(&v->recent, change_hash(part, s->lsn, chg->total_order, chg->op));
    bool after = is_after(part, chg);
    if (!after)
        RECORD_FINDING(s, twice ? VERIFY_DUPLICATE : VERIFY_ORDER,
                       "change %llu of its transaction %s change %llu at lsn=%s",
                       (unsigned long long)chg->total_order, twice ? "is there again, after" : "comes after",
                       (unsigned long long)part->order, lsn_format(part->lsn, before));
    if (s->fence != NULL && s->lsn >= s->fence->fence.lsn)
        RECORD_FINDING(s, VERIFY_LATE, "the change is not before its fence, which stands at lsn=%s",
                       lsn_format(s->fence->fence.lsn, before));
    if (s->fence != NULL) /* what lies in no fence does not exist */
        verify_txn_add(v, s->lsn, chg->total_order, part, s->rec->offset);
    if (after && s->fence != NULL) {
        part->lsn = s->lsn;
        part->order = chg->total_order;
    }
}

static void check_copied(const struct seen *s, uint64_t key_hash)
{
    struct verify *v = s->v;
    v->totals.copied++;
    if (s->rec->key == NULL || s->fence == NULL || !s->fence->copies)
        return;
    v->totals.copied_keys++;
    uint64_t words[] = {key_hash, s->part->attempt};
    if (key_sample_add(&v->copied,
                       hash64(words, sizeof words, hash64(s->part->stream, strlen(s->part->stream), 1))))
        RECORD_FINDING(s, VERIFY_COPIED_TWICE, "the copy has this row twice");
    v->totals.copied_share =
        v->totals.copied_share > 1u << v->copied.halvings ? v->totals.copied_share : 1u << v->copied.halvings;
}

static void check_tombstone(const struct seen *s, uint64_t key_hash)
{
    s->v->totals.tombstones++;
    if (s->part->op != CHANGE_DELETE || key_hash == 0 || key_hash != s->part->key_hash)
        RECORD_FINDING(s, VERIFY_TOMBSTONE, "the tombstone does not follow the delete of its key");
    s->part->op = CHANGE_UNKNOWN;
}

/* --- what --- */

static bool open_decoder(struct verify *v, struct err *err)
{
    if (v->decoder != NULL)
        return true;
    if (v->schemas == NULL && !schema_store_open(v->options->journal, &v->schemas, err))
        return false;
    struct schema_source source = schema_store_source(v->schemas);
    return v->codec->decoder_open(&source, &v->decoder, err);
}

/* A value that does not decode is a finding, *ret_good false; only a journal that cannot be read is an error. */
static bool decode(const struct seen *s, struct change *ret, bool *ret_good, struct err *err)
{
    struct verify *v = s->v;
    const struct journal_record *rec = s->rec;
    struct err why = ERR_INIT;
    if (!open_decoder(v, err))
        return false;
    arena_clear(&v->arena);
    *ret_good = v->codec->decode_value(v->decoder, rec->stream, schema_store_id_of(rec), rec->value,
                                       rec->value_len, &v->arena, ret, &why);
    if (*ret_good)
        return true;
    if (err_policy(why.code) == POLICY_HALT) {
        RECORD_FINDING(s, VERIFY_UNREADABLE, "%s", why.text);
        return true;
    }
    *err = why;
    return false;
}

static void begin_attempt(const struct seen *s)
{
    struct part *part = s->part;
    if (s->fence == NULL || part->attempt == s->fence->fence.attempt)
        return;
    part->attempt = s->fence->fence.attempt;
    part->lsn = part->order = part->key_hash = 0;
    part->op = CHANGE_UNKNOWN;
}

/* Settles whether the fence is the record's: only its own writer's count. True: it is what a unit without transactions has left. */
static bool is_stray(struct seen *s)
{
    if (s->fence != NULL && s->fence->fence.writer != s->rec->writer)
        s->fence = NULL;
    return s->fence == NULL && s->rec->writer != 0;
}

bool verify_record(struct verify *v, const struct journal_record *rec, struct err *err)
{
    struct seen s = {.v = v, .rec = rec};
    struct change chg;
    bool good = false;
    if (!verify_parts_find(v, rec->stream, rec->partition, &s.part, err))
        return false;
    v->totals.records++;
    if (rec->offset >= s.part->at) {
        v->walked += rec->offset + 1 - s.part->at;
        s.part->at = rec->offset + 1;
    }
    s.fence = find_fence(v, s.part, rec->offset);
    if (is_stray(&s)) {
        v->totals.stray_records++;
        return true;
    }
    uint64_t key_hash = rec->key == NULL ? 0 : hash64(rec->key, rec->key_len, 0) | 1;
    begin_attempt(&s);
    if (rec->value != NULL) {
        if (!decode(&s, &chg, &good, err))
            return false;
        s.lsn = good && !change_is_copied(&chg) ? chg.source.commit_lsn : 0;
    }
    check_place(&s);
    if (s.fence != NULL && rec->value != NULL)
        s.fence->came++;
    if (rec->value == NULL)
        check_tombstone(&s, key_hash);
    else if (good && change_is_copied(&chg))
        check_copied(&s, key_hash);
    else if (good)
        check_change(&s, &chg);
    if (rec->value != NULL)
        s.part->op = good ? chg.op : CHANGE_UNKNOWN;
    s.part->key_hash = key_hash;
    return true;
}

/* Retention may take what was applied, and nothing else. The target is asked once for each batch: it moves on. */
static void tell_expired(struct verify *v)
{
    uint64_t applied = 0;
    bool asked = false;
    for (size_t i = 0; i < v->batch_count; i++) {
        const struct batch_fence *bf = &v->batch[i];
        if (!bf->expired || v->options->applied == NULL)
            continue;
        if (!asked && !v->options->applied(v->options->ctx, &applied))
            return;
        asked = true;
        if (bf->fence.id <= applied)
            continue;
        struct verify_finding finding = {.kind = VERIFY_GAP,
                                         .stream = v->fence_stream,
                                         .offset = bf->offset,
                                         .lsn = bf->fence.lsn,
                                         .fence_id = bf->fence.id};
        verify_find(v, &finding,
                    "records of this fence are no longer kept, and the target has fence %llu only",
                    (unsigned long long)applied);
    }
}

void verify_batch_end(struct verify *v)
{
    for (size_t i = 0; i < v->slice_count; i++)
        pass_slices(v, v->slices[i].part, UINT64_MAX);
    for (size_t i = 0; i < v->batch_count; i++) {
        const struct batch_fence *bf = &v->batch[i];
        if (bf->expired || bf->came == bf->fence.changes)
            continue;
        struct verify_finding finding = {.kind = VERIFY_COUNT,
                                         .stream = v->fence_stream,
                                         .offset = bf->offset,
                                         .lsn = bf->fence.lsn,
                                         .fence_id = bf->fence.id};
        verify_find(v, &finding, "the fence counts %llu changes, its ranges hold %llu",
                    (unsigned long long)bf->fence.changes, (unsigned long long)bf->came);
    }
    tell_expired(v);
    verify_txn_sweep(v);
}
