/* Owns: the writer's side of claims: what goes into the store, and the life of a unit's claims there. See claims.h. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "claim_owner.h"
#include "claims.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "core/lsn.h"
#include "core/nonce.h"

#define SWEEP_MIN_MS  1000
#define SWEEP_MAX_MS  600000
#define SWEEP_SLICE   32 /* units looked at in one trim() */
#define NOTE_MAX      ((long long)64 << 20)
#define FRESH_WAIT_US (5 * INT64_C(1000000))
#define LOOK_WAIT_MS  30000
#define OPEN_SUFFIX   ".open"
#define KEPT_SUFFIX   ".kept"
#define CLAIM_SUFFIX  ".claim"

/* Names; stems when their suffix was taken off. */
struct names {
    char **items;
    size_t count, cap;
};

struct claim_stream {
    char *name;   /* NULL: no data stream */
    bool claimed; /* in the unit at hand */
};

struct claim_writer {
    struct journal_config config; /* a copy */
    const struct journal_impl *impl;
    struct claim_store *store;
    bool large; /* rows that do not fit are claimed; else only old claims are looked after */
    char attempt[NONCE_MAX + 24];
    uint64_t unit, claims;        /* of the unit at hand */
    char *note;                   /* its ranges as JSON, once they are known */
    struct claim_stream *streams; /* by stream id */
    size_t stream_count;

    bool any_kept; /* a unit may be there to be swept */
    int64_t sweep_after_us;
    struct names sweep; /* stems still to be looked at */
    struct journal_reader *look;
};

static void names_add(struct names *n, const char *name, size_t len)
{
    if (n->count == n->cap) {
        n->cap = n->cap != 0 ? n->cap * 2 : 16;
        n->items = xrealloc(n->items, n->cap * sizeof *n->items);
    }
    n->items[n->count++] = xstrndup(name, len);
}

static void names_clear(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->items[i]);
    free(n->items);
    *n = (struct names){0};
}

/* Length of the stem if the name ends so, else 0. */
static size_t stem_len(const char *name, const char *suffix)
{
    size_t len = strlen(name), tail = strlen(suffix);
    return len > tail && strcmp(name + len - tail, suffix) == 0 ? len - tail : 0;
}

/* --- small objects --- */

static bool put_text(struct claim_writer *cw, const char *stem, const char *suffix, const char *text,
                     struct err *err)
{
    char *name CLEANUP(free_ptr) = xasprintf("%s%s", stem, suffix);
    struct claim_text piece = {text, strlen(text)};
    const struct claim_source source = {claim_text_next, &piece};
    return claim_store_put(cw->store, name, &source, err);
}

static bool remove_one(struct claim_writer *cw, const char *stem, const char *suffix, struct err *err)
{
    char *name CLEANUP(free_ptr) = xasprintf("%s%s", stem, suffix);
    return claim_store_remove(cw->store, name, err);
}

/* *ret NULL: it is not there. */
static bool read_note(struct claim_writer *cw, const char *stem, const char *suffix, json_t **ret,
                      struct err *err)
{
    char *name CLEANUP(free_ptr) = xasprintf("%s%s", stem, suffix);
    long long size = 0;
    *ret = NULL;
    if (!claim_store_size(cw->store, name, &size, err))
        return false;
    if (size < 0)
        return true;
    if (size <= NOTE_MAX) {
        char *text CLEANUP(free_ptr) = xcalloc(1, (size_t)size + 1);
        if (!claim_store_get(cw->store, name, text, (size_t)size, err))
            return false;
        *ret = json_loads(text, 0, NULL);
    }
    if (*ret != NULL)
        return true;
    char *path CLEANUP(free_ptr) = claim_store_path(cw->store, name);
    return err_set(err, ERR_PROTOCOL,
                   "claim store (journal.claim_store): %s is damaged; it says which records need the files "
                   "%s-*%s. Bring it "
                   "back, or remove it: those files are never deleted then",
                   path, stem, CLAIM_SUFFIX);
}

/* --- a unit's end --- */

/* A range of a note; false: the note is not ours. */
static bool note_range(json_t *entry, struct journal_range *ret)
{
    const char *stream = NULL;
    json_int_t partition = 0, first = 0, next = 0;
    if (json_unpack(entry, "[s, I, I, I]", &stream, &partition, &first, &next) != 0)
        return false;
    *ret = (struct journal_range){.stream = stream,
                                  .partition = (int32_t)partition,
                                  .first_offset = (uint64_t)first,
                                  .next_offset = (uint64_t)next};
    return true;
}

static bool open_look(struct claim_writer *cw, struct err *err)
{
    return cw->look != NULL || cw->impl->reader->open(&cw->config, NULL, &cw->look, err);
}

static void close_look(struct claim_writer *cw)
{
    if (cw->look != NULL)
        cw->look->ops->close(cw->look);
    cw->look = NULL;
}

enum left { LEFT_UNKNOWN = 0, LEFT_NOTHING, LEFT_SOME };

/* What the journal still has of a range, which is cut to it. UNKNOWN: it ends before the range does. Its topic is another one, or the
 * broker does not show the end of a transaction yet: whoever deletes must not take that for an answer. */
static bool clip(struct claim_writer *cw, struct journal_range *range, enum left *ret, struct err *err)
{
    uint64_t first = 0, next = 0;
    const struct journal_reader_ops *ops = cw->look->ops;
    if (!ops->bounds(cw->look, range->stream, range->partition, &first, &next, err))
        return false;
    *ret = next < range->next_offset ? LEFT_UNKNOWN : first < range->next_offset ? LEFT_SOME : LEFT_NOTHING;
    range->first_offset = MAX_OF(range->first_offset, first);
    return true;
}

/* The same, when the range has just been settled: a moment's patience. */
static bool clip_fresh(struct claim_writer *cw, struct journal_range *range, enum left *ret, struct err *err)
{
    static const struct timespec nap = {.tv_nsec = 50 * 1000000};
    int64_t until_us = clock_mono_us() + FRESH_WAIT_US;
    for (;;) {
        if (!clip(cw, range, ret, err))
            return false;
        if (*ret != LEFT_UNKNOWN || clock_mono_us() >= until_us)
            return true;
        (void)nanosleep(&nap, NULL);
    }
}

static bool is_of(const struct journal_record *rec, const char *stem)
{
    struct claim claim;
    struct err ignored = ERR_INIT; /* a foreign record */
    const struct journal_header *header = claim_header(rec);
    size_t len = strlen(stem);
    return header != NULL && claim_decode(header, &claim, &ignored) && strncmp(claim.id, stem, len) == 0 &&
           claim.id[len] == '-';
}

static bool find_in(struct claim_writer *cw, const struct journal_range *range, const char *stem,
                    bool *ret_found, struct err *err)
{
    const struct journal_reader_ops *ops = cw->look->ops;
    if (!ops->assign(cw->look, range, 1, err))
        return false;
    for (;;) {
        struct journal_record rec;
        enum journal_next got = ops->next(cw->look, LOOK_WAIT_MS, &rec, err);
        if (got == JOURNAL_ERROR)
            return false;
        if (got == JOURNAL_IDLE)
            return err_set(err, ERR_TIMEOUT,
                           "claim store: topic=%s partition=%d: the journal gave no record within %d s",
                           range->stream, (int)range->partition, LOOK_WAIT_MS / 1000);
        *ret_found = got == JOURNAL_RECORD && is_of(&rec, stem);
        if (got == JOURNAL_END || *ret_found)
            return true;
    }
}

/* Whether readers see anything of the unit (SOME). Ranges that the journal has let go of since: nobody needs the claims. */
static bool look_for_unit(struct claim_writer *cw, const char *stem, json_t *note, enum left *ret,
                          struct err *err)
{
    *ret = LEFT_NOTHING;
    if (json_array_size(note) > 0 && !open_look(cw, err))
        return false;
    for (size_t i = 0; i < json_array_size(note); i++) {
        struct journal_range range = {0};
        enum left left = LEFT_UNKNOWN;
        bool found = false;
        if (note_range(json_array_get(note, i), &range) && !clip_fresh(cw, &range, &left, err))
            return false;
        if (left == LEFT_SOME && !find_in(cw, &range, stem, &found, err))
            return false;
        if (found) {
            *ret = LEFT_SOME;
            return true;
        }
        if (left == LEFT_UNKNOWN)
            *ret = LEFT_UNKNOWN;
    }
    return true;
}

/* --- removing --- */

struct removing {
    struct claim_writer *cw;
    const char *stem;
    uint64_t count;
};

static bool remove_claim(void *ctx, const char *name, struct err *err)
{
    struct removing *r = ctx;
    size_t len = strlen(r->stem);
    if (strncmp(name, r->stem, len) != 0 || name[len] != '-' || stem_len(name, CLAIM_SUFFIX) == 0)
        return true;
    r->count++;
    return claim_store_remove(r->cw->store, name, err);
}

/* The claims first: what speaks of them goes last. */
static bool remove_unit(struct claim_writer *cw, const char *stem, const char *suffix, const char *why,
                        struct err *err)
{
    struct removing r = {.cw = cw, .stem = stem};
    if (!claim_store_list(cw->store, remove_claim, &r, err) || !remove_one(cw, stem, suffix, err))
        return false;
    log_event(LOG_LEVEL_INFO, "claims_removed", "unit=%s files=%" PRIu64 " reason=\"%s\"", stem, r.count,
              why);
    return true;
}

/* --- opening --- */

/* The unit is there: what speaks of it gets its lasting name. */
static bool keep_unit(struct claim_writer *cw, const char *stem, json_t *note, struct err *err)
{
    char *text CLEANUP(free_ptr) = json_dumps(note, JSON_COMPACT);
    cw->any_kept = true;
    return put_text(cw, stem, KEPT_SUFFIX, text, err) && remove_one(cw, stem, OPEN_SUFFIX, err);
}

static bool settle_by_note(struct claim_writer *cw, const char *stem, json_t *note, struct err *err)
{
    enum left left = LEFT_UNKNOWN;
    if (!look_for_unit(cw, stem, note, &left, err))
        return false;
    switch (left) {
    case LEFT_SOME:
        return keep_unit(cw, stem, note, err);
    case LEFT_NOTHING:
        return remove_unit(cw, stem, OPEN_SUFFIX, "its unit was not committed", err);
    case LEFT_UNKNOWN:
        break;
    }
    log_event(LOG_LEVEL_WARN, "claims_unsettled",
              "unit=%s text=\"a topic ends before the records that were written to it (was it made anew?): "
              "the unit's files stay; it is looked at when the journal is opened next\"",
              stem);
    return true;
}

static bool settle(struct claim_writer *cw, const char *stem, struct err *err)
{
    json_t *note = NULL, *kept = NULL;
    bool ok = read_note(cw, stem, OPEN_SUFFIX, &note, err) && read_note(cw, stem, KEPT_SUFFIX, &kept, err);
    if (ok)
        ok = kept != NULL ? remove_one(cw, stem, OPEN_SUFFIX, err) : settle_by_note(cw, stem, note, err);
    json_decref(note);
    json_decref(kept);
    return ok;
}

struct opening {
    struct claim_writer *cw;
    struct names open;
};

static bool note_name(void *ctx, const char *name, struct err *err)
{
    struct opening *o = ctx;
    size_t len = stem_len(name, OPEN_SUFFIX);
    (void)err;
    if (len > 0)
        names_add(&o->open, name, len);
    o->cw->any_kept = o->cw->any_kept || stem_len(name, KEPT_SUFFIX) > 0;
    return true;
}

/* Before anything is deleted: is it ours? */
static bool take_store(struct claim_writer *cw, struct err *err)
{
    char *identity CLEANUP(free_ptr) = NULL;
    if (cw->impl->identity == NULL)
        return true;
    return open_look(cw, err) && cw->impl->identity(cw->look, &identity, err) &&
           claim_owner_take(cw->store, &cw->config, identity, err);
}

static bool settle_all(struct claim_writer *cw, struct err *err)
{
    struct opening o = {.cw = cw};
    bool ok = claim_store_list(cw->store, note_name, &o, err);
    for (size_t i = 0; ok && i < o.open.count; i++)
        ok = settle(cw, o.open.items[i], err);
    names_clear(&o.open);
    close_look(cw);
    return ok;
}

static void next_sweep(struct claim_writer *cw)
{
    int64_t keep_ms = cw->config.retention_ms;
    int64_t pause_ms = keep_ms < 0 ? SWEEP_MAX_MS : MIN_OF(MAX_OF(keep_ms / 8, SWEEP_MIN_MS), SWEEP_MAX_MS);
    cw->sweep_after_us = clock_mono_us() + pause_ms * 1000;
}

bool claim_writer_open(const struct journal_config *config, const struct journal_impl *impl,
                       struct claim_writer **ret, struct err *err)
{
    *ret = NULL;
    if (config->claim_store == NULL)
        return !config->claim_large ||
               err_set(err, ERR_CONFIG,
                       "journal.large_records is claim: set journal.claim_store to a directory that "
                       "capture and apply share");
    char nonce[NONCE_MAX];
    nonce_make(nonce);
    struct claim_writer *cw = xcalloc(1, sizeof *cw);
    journal_config_copy(&cw->config, config);
    cw->impl = impl;
    cw->large = config->claim_large;
    (void)snprintf(cw->attempt, sizeof cw->attempt, "%013" PRIx64 "-%.16s", (uint64_t)clock_wall_us(), nonce);
    next_sweep(cw);
    if (!claim_store_open(config->claim_store, config->topic_prefix, &cw->store, err) ||
        !take_store(cw, err) || !settle_all(cw, err)) {
        claim_writer_close(cw);
        return false;
    }
    *ret = cw;
    return true;
}

void claim_writer_close(struct claim_writer *cw)
{
    if (cw == NULL)
        return;
    close_look(cw);
    names_clear(&cw->sweep);
    claim_store_close(cw->store);
    journal_config_free(&cw->config);
    for (size_t i = 0; i < cw->stream_count; i++)
        free(cw->streams[i].name);
    free(cw->streams);
    free(cw->note);
    free(cw);
}

/* --- writing --- */

void claim_writer_note_stream(struct claim_writer *cw, int id, const char *name, enum stream_kind kind)
{
    if ((size_t)id >= cw->stream_count) {
        cw->streams = xrealloc(cw->streams, ((size_t)id + 1) * sizeof *cw->streams);
        memset(cw->streams + cw->stream_count, 0, ((size_t)id + 1 - cw->stream_count) * sizeof *cw->streams);
        cw->stream_count = (size_t)id + 1;
    }
    if (kind == STREAM_DATA && cw->streams[id].name == NULL)
        cw->streams[id].name = xstrdup(name);
}

bool claim_writer_wants(const struct claim_writer *cw, struct journal_writer *jw, int stream_id,
                        const struct journal_record *rec)
{
    return cw->large && rec->value != NULL && (size_t)stream_id < cw->stream_count &&
           cw->streams[stream_id].name != NULL && !jw->ops->fits(jw, stream_id, rec);
}

static void unit_stem(const struct claim_writer *cw, char ret[CLAIM_NAME_MAX + 1])
{
    (void)snprintf(ret, CLAIM_NAME_MAX + 1, "%s-%08" PRIx64, cw->attempt, cw->unit);
}

static bool begin_unit(struct claim_writer *cw, const char *stem, struct err *err)
{
    if (cw->claims > 0)
        return true;
    return put_text(cw, stem, OPEN_SUFFIX, "[]", err);
}

bool claim_writer_append(struct claim_writer *cw, struct journal_writer *jw, int stream_id,
                         const struct journal_record *rec, struct err *err)
{
    struct claim claim = {.size = 0};
    char stem[CLAIM_NAME_MAX + 1];
    unit_stem(cw, stem);
    if (!begin_unit(cw, stem, err))
        return false;
    jw->claiming = true;
    (void)snprintf(claim.id, sizeof claim.id, "%.90s-%" PRIx64 CLAIM_SUFFIX, stem, ++cw->claims);
    if (rec->lsn != 0)
        (void)lsn_format(rec->lsn, claim.lsn);
    if (!claim_put(cw->store, &claim, rec->value, rec->value_len, cw->config.claim_encrypt, err) ||
        !failpoint("journal.claim_put", err))
        return false;
    char *header CLEANUP(free_ptr) = NULL, *value CLEANUP(free_ptr) = NULL;
    char *path CLEANUP(free_ptr) = claim_store_path(cw->store, claim.id);
    claim_encode(&claim, path, &header, &value);
    struct journal_record small = *rec;
    BUG_UNLESS(small.header_count < JOURNAL_HEADERS_MAX);
    small.headers[small.header_count++] = (struct journal_header){HEADER_CLAIM, header, strlen(header)};
    small.value = value;
    small.value_len = strlen(value);
    cw->streams[stream_id].claimed = true;
    return jw->ops->append(jw, stream_id, &small, err);
}

static char *note_of(const struct journal_range *ranges, size_t count)
{
    json_t *note = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            note, json_pack("[s, I, I, I]", ranges[i].stream, (json_int_t)ranges[i].partition,
                            (json_int_t)ranges[i].first_offset, (json_int_t)ranges[i].next_offset));
    char *text = json_dumps(note, JSON_COMPACT);
    json_decref(note);
    BUG_UNLESS(text != NULL);
    return text;
}

static bool has_claims(const struct claim_writer *cw, const char *stream)
{
    for (size_t i = 0; i < cw->stream_count; i++) {
        if (cw->streams[i].claimed && strcmp(cw->streams[i].name, stream) == 0)
            return true;
    }
    return false;
}

bool claim_writer_before_commit(struct claim_writer *cw, struct journal_writer *jw, struct err *err)
{
    const struct journal_range *ranges = NULL;
    size_t count = 0;
    char stem[CLAIM_NAME_MAX + 1];
    if (cw->claims == 0)
        return true;
    if (!jw->ops->flush(jw, &ranges, &count, err))
        return false;
    struct journal_range *claimed CLEANUP(free_ptr) = xcalloc(count + 1, sizeof *claimed);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (has_claims(cw, ranges[i].stream))
            claimed[n++] = ranges[i];
    }
    unit_stem(cw, stem);
    free(cw->note);
    cw->note = note_of(claimed, n);
    return put_text(cw, stem, OPEN_SUFFIX, cw->note, err) && failpoint("journal.claim_noted", err);
}

bool claim_writer_committed(struct claim_writer *cw, struct err *err)
{
    char stem[CLAIM_NAME_MAX + 1];
    if (cw->claims == 0)
        return true;
    unit_stem(cw, stem);
    if (!failpoint("journal.claim_committed", err) || !put_text(cw, stem, KEPT_SUFFIX, cw->note, err) ||
        !remove_one(cw, stem, OPEN_SUFFIX, err))
        return false;
    for (size_t i = 0; i < cw->stream_count; i++)
        cw->streams[i].claimed = false;
    cw->unit++;
    cw->claims = 0;
    cw->any_kept = true;
    return true;
}

/* --- sweeping --- */

static bool note_kept(void *ctx, const char *name, struct err *err)
{
    struct claim_writer *cw = ctx;
    size_t len = stem_len(name, KEPT_SUFFIX);
    (void)err;
    if (len > 0)
        names_add(&cw->sweep, name, len);
    return true;
}

static bool sweep_unit(struct claim_writer *cw, const char *stem, struct err *err)
{
    json_t *note = NULL;
    bool gone = true, ok = true;
    if (!read_note(cw, stem, KEPT_SUFFIX, &note, err))
        return false;
    for (size_t i = 0; ok && gone && i < json_array_size(note); i++) {
        struct journal_range range = {0};
        enum left left = LEFT_UNKNOWN; /* not ours: stays */
        ok = !note_range(json_array_get(note, i), &range) || clip(cw, &range, &left, err);
        gone = left == LEFT_NOTHING;
    }
    json_decref(note);
    return ok && (!gone || remove_unit(cw, stem, KEPT_SUFFIX, "the journal has let go of its records", err));
}

bool claim_writer_trim(struct claim_writer *cw, struct err *err)
{
    if (cw->sweep.count == 0) {
        if (!cw->any_kept || clock_mono_us() < cw->sweep_after_us)
            return true;
        next_sweep(cw);
        if (!claim_store_list(cw->store, note_kept, cw, err))
            return false;
        cw->any_kept = cw->sweep.count > 0;
    }
    if (cw->sweep.count > 0 && !open_look(cw, err))
        return false;
    for (int i = 0; i < SWEEP_SLICE && cw->sweep.count > 0; i++) {
        char *stem CLEANUP(free_ptr) = cw->sweep.items[--cw->sweep.count];
        if (!sweep_unit(cw, stem, err))
            return false;
    }
    if (cw->sweep.count == 0) {
        names_clear(&cw->sweep);
        close_look(cw);
    }
    return true;
}
