/* Owns: the walk through the journal, from its end back. See journal_rows.h. */
#include "cause/journal_rows.h"

#include <stdlib.h>
#include <string.h>

#include "cause/record_row.h"
#include "change/codec.h"
#include "core/alloc.h"
#include "core/arena.h"
#include "core/clock.h"
#include "journal/journal_settings.h"
#include "journal/schema_store.h"

#define PART_RECORDS_FIRST UINT64_C(32768) /* of each partition; every further part is four times as long */
#define PART_GROWTH        4
#define RECORDS_MOST       UINT64_C(20000000)
#define RECORDS_BETWEEN    1024 /* looks at clock and stop */
#define RECORD_BYTES_MAX   ((size_t)2 << 30)
#define TAKE_MS            10000

struct stream {
    char *name;
    int32_t partition_count;
};

struct journal_rows {
    lsn_t lsn;
    bool copied; /* the journal began with a copy of all rows */
    struct stream *streams;
    size_t stream_count;
    struct journal_reader *reader;
    struct schema_store *schemas;
    const struct codec_ops *codec;
    struct decoder *decoder;
    struct arena arena;
};

static void keep_stream(void *ctx, const struct journal_stream_info *info)
{
    struct journal_rows *jr = ctx;
    jr->streams = xrealloc(jr->streams, (jr->stream_count + 1) * sizeof *jr->streams);
    jr->streams[jr->stream_count++] = (struct stream){xstrdup(info->name), info->partition_count};
}

static int32_t partitions_of(const struct journal_rows *jr, const char *topic)
{
    for (size_t i = 0; i < jr->stream_count; i++) {
        if (strcmp(jr->streams[i].name, topic) == 0)
            return jr->streams[i].partition_count;
    }
    return 0;
}

bool journal_rows_open(const struct config *cfg, lsn_t lsn, struct journal_rows **ret, struct err *err)
{
    struct journal_config config;
    struct journal_rows *jr = xcalloc(1, sizeof *jr);
    jr->lsn = lsn;
    jr->copied = strcmp(config_text(cfg, "capture.snapshot"), "never") != 0;
    jr->codec = codec_by_name(config_text(cfg, "journal.format"));
    arena_init(&jr->arena, 65536, RECORD_BYTES_MAX);
    journal_settings(cfg, &config);
    if (journal_reader_open(&config, NULL, &jr->reader, err) &&
        journal_list(jr->reader, keep_stream, jr, err) && schema_store_open(&config, &jr->schemas, err)) {
        struct schema_source source = schema_store_source(jr->schemas);
        if (jr->codec->decoder_open(&source, &jr->decoder, err)) {
            *ret = jr;
            return true;
        }
    }
    journal_rows_close(jr);
    return false;
}

void journal_rows_close(struct journal_rows *jr)
{
    if (jr == NULL)
        return;
    if (jr->decoder != NULL)
        jr->codec->decoder_close(jr->decoder);
    schema_store_close(jr->schemas);
    journal_reader_close(jr->reader);
    arena_release(&jr->arena);
    for (size_t i = 0; i < jr->stream_count; i++)
        free(jr->streams[i].name);
    free(jr->streams);
    free(jr);
}

struct part {
    uint64_t first, next; /* what the journal holds */
    uint64_t low;         /* read down to here */
};

/* All that one look needs. */
struct walk {
    struct journal_rows *jr;
    struct journal_look *look;
    struct record_rows *rows;
    struct part *parts;
    int32_t part_count;
    unsigned number; /* of the part being read */
    int64_t until_us;
    bool (*stopped)(void *ctx);
    void *ctx;
};

static bool find_bounds(struct walk *w, struct err *err)
{
    w->part_count = partitions_of(w->jr, w->look->topic);
    w->parts = xcalloc((size_t)w->part_count, sizeof *w->parts);
    w->look->whole = w->jr->copied;
    for (int32_t p = 0; p < w->part_count; p++) {
        struct part *part = &w->parts[p];
        if (!journal_bounds(w->jr->reader, w->look->topic, p, &part->first, &part->next, err))
            return false;
        part->low = part->next;
        w->look->whole = w->look->whole && part->first == 0;
    }
    return true;
}

/* False: enough of it; look->partial says why. */
static bool within_limits(struct walk *w)
{
    struct journal_look *look = w->look;
    if (w->stopped(w->ctx))
        look->partial = xstrdup("the comparison was asked to stop");
    else if (clock_mono_us() > w->until_us)
        look->partial = xstrdup("the time for looking up causes was over");
    else if (look->records >= RECORDS_MOST)
        look->partial =
            xasprintf("%llu records were read, which is the limit", (unsigned long long)look->records);
    return look->partial == NULL;
}

/* The fence's records: whatever was committed behind it is nobody's business here. */
static bool is_before_fence(const struct walk *w, const struct change *chg)
{
    lsn_t commit_lsn = chg->source.commit_lsn;
    return commit_lsn < w->jr->lsn || (chg->op == CHANGE_READ && commit_lsn == w->jr->lsn);
}

static void take_record(struct walk *w, const struct journal_record *rec)
{
    struct journal_look *look = w->look;
    struct change chg;
    struct err why = ERR_INIT;
    look->records++;
    if (rec->value == NULL)
        return;
    arena_clear(&w->jr->arena);
    if (!w->jr->codec->decode_value(w->jr->decoder, rec->stream, schema_store_id_of(rec), rec->value,
                                    rec->value_len, &w->jr->arena, &chg, &why)) {
        look->unreadable++;
        return;
    }
    if (strcmp(chg.schema->schema, look->pt->out.schema) == 0 &&
        strcmp(chg.schema->table, look->pt->out.table) == 0 && is_before_fence(w, &chg))
        record_rows_take(w->rows, &chg, rec->partition, rec->offset, w->number);
}

/* The next part of every partition, downwards. *ret_any false: all has been read. */
static bool assign(struct walk *w, uint64_t length, bool *ret_any, struct err *err)
{
    struct journal_range *ranges = xcalloc((size_t)w->part_count, sizeof *ranges);
    size_t count = 0;
    for (int32_t p = 0; p < w->part_count; p++) {
        struct part *part = &w->parts[p];
        if (part->low <= part->first)
            continue;
        uint64_t from = part->low - part->first > length ? part->low - length : part->first;
        ranges[count++] = (struct journal_range){
            .stream = w->look->topic, .partition = p, .first_offset = from, .next_offset = part->low};
        part->low = from;
    }
    *ret_any = count > 0;
    bool ok = count == 0 || journal_assign(w->jr->reader, ranges, count, err);
    free(ranges);
    return ok;
}

/* False: an error (*err), or a limit. */
static bool read_part(struct walk *w, struct err *err)
{
    for (uint64_t n = 1;; n++) {
        struct journal_record rec;
        bool end = false;
        if (!journal_take(w->jr->reader, TAKE_MS, &rec, &end, err))
            return false;
        if (end)
            return true;
        take_record(w, &rec);
        if (n % RECORDS_BETWEEN == 0 && !within_limits(w))
            return false;
    }
}

static void read_parts(struct walk *w, struct err *err)
{
    bool any = true;
    for (uint64_t length = PART_RECORDS_FIRST; !record_rows_satisfied(w->rows); length *= PART_GROWTH) {
        if (!within_limits(w))
            return;
        w->number++;
        if (!assign(w, length, &any, err))
            break;
        if (!any)
            return;
        if (!read_part(w, err))
            break;
    }
    if (err_is_set(err) || w->look->partial != NULL)
        record_rows_forget(w->rows, w->number); /* what was found in half a part may not be the last */
}

static char *span_text(const struct walk *w)
{
    struct strbuf text = STRBUF_INIT(4096);
    strbuf_addf(&text, "topic=%s", w->look->topic);
    if (w->part_count == 0)
        strbuf_adds(&text, " is not there");
    for (int32_t p = 0; p < w->part_count; p++) {
        const struct part *part = &w->parts[p];
        strbuf_addf(&text, "%s partition=%d offsets=%llu..%llu", p > 0 ? "," : "", (int)p,
                    (unsigned long long)part->low, (unsigned long long)part->next);
        if (part->first > 0)
            strbuf_addf(&text, " (kept from %llu)", (unsigned long long)part->first);
    }
    return strbuf_detach(&text);
}

void journal_rows_look(struct journal_rows *jr, struct journal_look *look, int64_t until_us,
                       bool (*stopped)(void *ctx), void *ctx)
{
    struct walk w = {.jr = jr, .look = look, .until_us = until_us, .stopped = stopped, .ctx = ctx};
    struct err why = ERR_INIT;
    w.rows = record_rows_new(look);
    if (find_bounds(&w, &why))
        read_parts(&w, &why);
    record_rows_free(w.rows);
    if (err_is_set(&why) && look->partial == NULL)
        look->partial = xasprintf("the journal cannot be read: %s", why.text);
    look->span = span_text(&w);
    free(w.parts);
}

static void image_release(struct image *image, size_t cells)
{
    for (size_t i = 0; image->cells != NULL && i < cells; i++)
        free(image->cells[i].text);
    free(image->cells);
}

void journal_look_release(struct journal_look *look)
{
    for (size_t i = 0; i < look->row_count; i++) {
        for (size_t k = 0; k < look->rows[i].image_count; k++)
            image_release(&look->rows[i].images[k], look->pt->column_count);
        look->rows[i].image_count = 0;
    }
    free(look->partial);
    free(look->span);
    look->partial = look->span = NULL;
}
