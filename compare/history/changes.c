/* Owns: reading the records of the ranges that the fences named. See changes.h. */
#include "history/changes.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "history/changes_internal.h"
#include "journal/journal_settings.h"
#include "journal/schema_store.h"

#define RECORD_BYTES_MAX ((size_t)2 << 30)

static int by_name(const void *a, const void *b)
{
    const struct changed_table *x = a, *y = b;
    int order = strcmp(x->schema, y->schema);
    return order != 0 ? order : strcmp(x->table, y->table);
}

static int by_topic(const void *a, const void *b)
{
    int order = strcmp(((const struct changed_table *)a)->topic, ((const struct changed_table *)b)->topic);
    return order != 0 ? order : by_name(a, b);
}

static void make_topics(struct walk *walk)
{
    struct changes *changes = walk->changes;
    if (changes->table_count > 1)
        qsort(changes->tables, changes->table_count, sizeof *changes->tables, by_topic);
    walk->topics = xcalloc(changes->table_count, sizeof *walk->topics);
    for (size_t i = 0; i < changes->table_count; i++) {
        const struct changed_table *t = &changes->tables[i];
        struct topic *topic = walk->topic_count > 0 ? &walk->topics[walk->topic_count - 1] : NULL;
        if (topic == NULL || strcmp(topic->name, t->topic) != 0) {
            topic = &walk->topics[walk->topic_count++];
            *topic = (struct topic){.name = t->topic, .first = i, .since_id = t->since.id};
        }
        topic->count++;
        topic->since_id = MIN_OF(topic->since_id, t->since.id);
    }
}

/* Some table of the topic still asks for its records. Asked for each record: a table that is lost stays so, and is passed by once. */
static bool is_wanted(const struct walk *walk, struct topic *topic)
{
    while (topic->lost_count < topic->count &&
           walk->changes->tables[topic->first + topic->lost_count].lost != NULL)
        topic->lost_count++;
    return topic->lost_count < topic->count;
}

/* A topic may be that of thousands of tables. NULL: nobody asked for this one. */
static struct changed_table *find_table(const struct walk *walk, const struct topic *topic,
                                        const struct change *chg)
{
    const struct changed_table wanted = {.schema = chg->schema->schema, .table = chg->schema->table};
    return bsearch(&wanted, &walk->changes->tables[topic->first], topic->count, sizeof wanted, by_name);
}

static void lose_topic(struct walk *walk, const struct topic *topic, const char *why)
{
    for (size_t i = 0; i < topic->count; i++)
        changed_table_lose(&walk->changes->tables[topic->first + i], "%s", why);
}

/* Without a key nothing can be looked up: a change is enough. */
static void lose_keyless(struct walk *walk, const struct topic *topic)
{
    for (size_t i = 0; i < topic->count; i++) {
        struct changed_table *t = &walk->changes->tables[topic->first + i];
        if (topic->part_count > 0 && t->key_count == 0)
            changed_table_lose(t, "it has no key, and was changed since fence %llu",
                               (unsigned long long)t->since.id);
    }
}

struct reading {
    struct walk *walk;
    const struct codec_ops *codec;
    struct schema_store *schemas;
    struct decoder *decoder;
    struct arena arena;
};

static bool take_record(struct reading *r, const struct journal_record *rec, struct err *err)
{
    struct topic *topic = changes_topic(r->walk, rec->stream);
    struct change chg;
    struct err why = ERR_INIT;
    if (rec->value == NULL || topic == NULL || !is_wanted(r->walk, topic))
        return true;
    arena_clear(&r->arena);
    if (!r->codec->decode_value(r->decoder, rec->stream, schema_store_id_of(rec), rec->value, rec->value_len,
                                &r->arena, &chg, &why)) {
        err_wrap(&why, "partition=%d offset=%llu", (int)rec->partition, (unsigned long long)rec->offset);
        lose_topic(r->walk, topic, why.text);
        return true;
    }
    struct changed_table *t = find_table(r->walk, topic, &chg);
    return t == NULL || changes_take(r->walk->changes, t, &chg, err);
}

static bool assign(struct reading *r, const struct topic *only, struct err *err)
{
    struct walk *walk = r->walk;
    struct journal_range *ranges = NULL;
    size_t count = 0;
    for (size_t t = 0; t < walk->topic_count; t++) {
        struct topic *topic = &walk->topics[t];
        if ((only != NULL && only != topic) || !is_wanted(walk, topic))
            continue;
        for (size_t p = 0; p < topic->part_count; p++) {
            if (!topic->parts[p].there)
                continue;
            ranges = xrealloc(ranges, (count + 1) * sizeof *ranges);
            ranges[count++] = (struct journal_range){.stream = topic->name,
                                                     .partition = (int32_t)p,
                                                     .first_offset = topic->parts[p].first,
                                                     .next_offset = topic->parts[p].next};
        }
    }
    bool ok = journal_assign(walk->reader, ranges, count, err);
    free(ranges);
    return ok;
}

/* All records of the assigned ranges. *ret_ours: the error is not the journal's, and ends the reading. */
static bool read_assigned(struct reading *r, bool *ret_ours, struct err *err)
{
    for (;;) {
        struct journal_record rec;
        bool end = false;
        if (!journal_take(r->walk->reader, JOURNAL_TAKE_MS, &rec, &end, err))
            return false;
        if (end)
            return true;
        if (!take_record(r, &rec, err)) {
            *ret_ours = true;
            return false;
        }
    }
}

/* NULL: of all topics. */
static bool read_topic(struct reading *r, const struct topic *only, bool *ret_ours, struct err *err)
{
    return assign(r, only, err) && read_assigned(r, ret_ours, err);
}

/* One topic whose records are gone must not cost all others: then each is read for itself. */
static bool read_topics(struct reading *r, struct err *err)
{
    struct err why = ERR_INIT;
    bool ours = false;
    bool all = read_topic(r, NULL, &ours, &why);
    for (size_t t = 0; !all && !ours && t < r->walk->topic_count; t++) {
        struct topic *topic = &r->walk->topics[t];
        err_clear(&why);
        if (topic->part_count > 0 && is_wanted(r->walk, topic) && !read_topic(r, topic, &ours, &why) && !ours)
            lose_topic(r->walk, topic, why.text);
    }
    if (ours)
        *err = why;
    return !ours;
}

static bool read_records(struct walk *walk, const struct journal_config *config, struct err *open_err,
                         struct err *err)
{
    struct reading r = {.walk = walk,
                        .codec = codec_by_name(config_text(walk->changes->cfg, "journal.format"))};
    bool any = false, ok = true;
    for (size_t t = 0; t < walk->topic_count; t++) {
        lose_keyless(walk, &walk->topics[t]);
        any = any || (walk->topics[t].part_count > 0 && is_wanted(walk, &walk->topics[t]));
    }
    if (!any)
        return true;
    arena_init(&r.arena, 65536, RECORD_BYTES_MAX);
    if (schema_store_open(config, &r.schemas, open_err)) {
        struct schema_source source = schema_store_source(r.schemas);
        if (r.codec->decoder_open(&source, &r.decoder, open_err))
            ok = read_topics(&r, err);
    }
    for (size_t i = 0; i < walk->changes->table_count; i++) { /* they name the decoder's schemas */
        key_reader_free(walk->changes->tables[i].reader);
        walk->changes->tables[i].reader = NULL;
    }
    if (r.decoder != NULL)
        r.codec->decoder_close(r.decoder);
    schema_store_close(r.schemas);
    arena_release(&r.arena);
    return ok;
}

bool changes_read(struct changes *changes, struct err *err)
{
    struct walk walk = {.changes = changes};
    struct journal_config config;
    struct err why = ERR_INIT;
    bool ok = true;
    if (changes->table_count == 0)
        return true;
    journal_settings(changes->cfg, &config);
    char *stream = journal_fence_stream(config.topic_prefix);
    make_topics(&walk);
    if (journal_reader_open(&config, NULL, &walk.reader, &why) && changes_walk_fences(&walk, stream, &why))
        ok = read_records(&walk, &config, &why, err);
    for (size_t i = 0; err_is_set(&why) && i < changes->table_count; i++)
        changed_table_lose(&changes->tables[i], "what changed cannot be read from the journal: %s", why.text);
    journal_reader_close(walk.reader);
    for (size_t t = 0; t < walk.topic_count; t++)
        free(walk.topics[t].parts);
    free(walk.topics);
    free(stream);
    return ok;
}
