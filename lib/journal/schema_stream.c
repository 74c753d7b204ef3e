/* The built-in schema store, on top of the journal's interface alone. Ids count up from 1 and are never
 * reused. */
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "journal_impl.h"
#include "schema_home.h"
#include "schema_stores.h"

struct entry {
    uint32_t id;
    uint32_t version;      /* counts within the subject, from 1 */
    struct entry *earlier; /* of the same subject */
    char *subject, *format, *schema;
};

struct schema_stream {
    struct schema_store base;
    struct journal_config config; /* with texts of our own */
    char *stream;
    pthread_mutex_t lock; /* decoders of several threads may share the source */
    struct entry **entries;
    size_t count, cap;
    struct entry **by_id; /* by_id[id - 1]; NULL = unknown */
    size_t by_id_cap;
    uint32_t max_id;
    struct name_map *subjects; /* → index in `newest` */
    struct entry **newest;
    size_t subject_count, subject_cap;
    uint64_t next_offset;          /* first record not read yet */
    struct journal_reader *reader; /* kept once a lookup needed it */
    const struct journal_writer *writer;
    int stream_id; /* of `writer` */
};

/* --- entries --- */

static void entry_free(struct entry *e)
{
    free(e->subject);
    free(e->format);
    free(e->schema);
    free(e);
}

static struct entry *entry_new(uint32_t id, uint32_t version, const char *subject, const char *format,
                               const char *schema)
{
    struct entry *e = xcalloc(1, sizeof *e);
    *e = (struct entry){.id = id,
                        .version = version,
                        .subject = xstrdup(subject),
                        .format = xstrdup(format),
                        .schema = xstrdup(schema)};
    return e;
}

static void *grown(void *array, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return array;
    size_t old = *cap;
    *cap = MAX_OF(need, old != 0 ? old * 2 : 64);
    array = xrealloc(array, *cap * size);
    memset((char *)array + old * size, 0, (*cap - old) * size);
    return array;
}

static struct entry *newest_of(const struct schema_stream *ss, const char *subject)
{
    int at = name_map_get(ss->subjects, subject);
    return at >= 0 ? ss->newest[at] : NULL;
}

/* Takes over e. */
static void add_entry(struct schema_stream *ss, struct entry *e)
{
    ss->entries = grown(ss->entries, &ss->cap, ss->count + 1, sizeof *ss->entries);
    ss->entries[ss->count++] = e;
    ss->by_id = grown(ss->by_id, &ss->by_id_cap, e->id, sizeof *ss->by_id);
    ss->by_id[e->id - 1] = e;
    ss->max_id = MAX_OF(ss->max_id, e->id);
    int at = name_map_get(ss->subjects, e->subject);
    if (at < 0) {
        at = (int)ss->subject_count++;
        ss->newest = grown(ss->newest, &ss->subject_cap, ss->subject_count, sizeof *ss->newest);
        name_map_put(ss->subjects, e->subject, at);
    }
    e->earlier = ss->newest[at];
    ss->newest[at] = e;
}

static struct entry *find_id(const struct schema_stream *ss, uint32_t id)
{
    return id >= 1 && id <= ss->max_id ? ss->by_id[id - 1] : NULL;
}

/* --- the stream's records --- */

static bool bad_record(const struct schema_stream *ss, const struct journal_record *rec, const char *why,
                       struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "schema stream: topic=%s offset=%llu: %s", ss->stream,
                   (unsigned long long)rec->offset, why);
}

/* Ids are dense, so an id far beyond what was read is not ours: it must not decide how much memory is taken.
 */
static bool id_in_reach(const struct schema_stream *ss, json_int_t id)
{
    return id >= 1 && id <= (json_int_t)ss->max_id + 100000;
}

/* Our own registrations come back when the stream is read on. */
static bool same_entry(const struct entry *e, const char *subject, const char *format, const char *schema)
{
    return strcmp(e->subject, subject) == 0 && strcmp(e->format, format) == 0 &&
           strcmp(e->schema, schema) == 0;
}

static bool add_record(struct schema_stream *ss, const struct journal_record *rec, struct err *err)
{
    json_error_t why;
    json_int_t id, version;
    const char *subject, *format, *schema;
    if (schema_record_is_shape(rec))
        return true;
    json_t *root = rec->value != NULL ? json_loadb(rec->value, rec->value_len, 0, &why) : NULL;
    if (root == NULL)
        return bad_record(ss, rec, "is not JSON", err);
    const char *registry = schema_home_note(root);
    if (registry != NULL) {
        err_set(err, ERR_CONFIG,
                "topic=%s: this journal's schemas are in the registry %s: set journal.registry, or use a new "
                "journal.topic_prefix and begin anew",
                ss->stream, registry);
        json_decref(root);
        return false;
    }
    bool ok = json_unpack(root, "{s:I,s:s,s:I,s:s,s:s}", "id", &id, "subject", &subject, "version", &version,
                          "format", &format, "schema", &schema) == 0;
    if (!ok)
        bad_record(ss, rec, "lacks id, subject, version, format or schema", err);
    else if (!id_in_reach(ss, id))
        ok = bad_record(ss, rec, "has an id out of range", err);
    else if (find_id(ss, (uint32_t)id) != NULL)
        ok = same_entry(find_id(ss, (uint32_t)id), subject, format, schema) ||
             bad_record(ss, rec, "has an id that is used already", err);
    else
        add_entry(ss, entry_new((uint32_t)id, (uint32_t)version, subject, format, schema));
    json_decref(root);
    return ok;
}

static bool read_to(struct schema_stream *ss, struct journal_reader *jr, uint64_t first, uint64_t end,
                    struct err *err)
{
    struct journal_range range = {.stream = ss->stream, .first_offset = first, .next_offset = end};
    if (!journal_assign(jr, &range, 1, err))
        return false;
    for (;;) {
        struct journal_record rec;
        bool at_end = false;
        if (!journal_take(jr, JOURNAL_TAKE_MS, &rec, &at_end, err))
            return err_wrap(err, "schema stream: topic=%s", ss->stream);
        if (at_end)
            break;
        if (!add_record(ss, &rec, err))
            return false;
        ss->next_offset = rec.offset + 1;
    }
    ss->next_offset = end;
    return true;
}

/* Reads what came since the last time. */
static bool read_on(struct schema_stream *ss, struct journal_reader *jr, struct err *err)
{
    uint64_t first, end;
    if (!journal_bounds(jr, ss->stream, 0, &first, &end, err))
        return false;
    first = MAX_OF(first, ss->next_offset);
    return first >= end || read_to(ss, jr, first, end, err);
}

/* --- life --- */

static void stream_close(struct schema_store *store)
{
    struct schema_stream *ss = (struct schema_stream *)store;
    journal_reader_close(ss->reader);
    for (size_t i = 0; i < ss->count; i++)
        entry_free(ss->entries[i]);
    free(ss->entries);
    free(ss->by_id);
    free(ss->newest);
    name_map_free(ss->subjects);
    pthread_mutex_destroy(&ss->lock);
    free(ss->stream);
    journal_config_free(&ss->config);
    free(ss);
}

/* Reads all schemas that are there, through a reader of its own. */
static bool stream_open(const struct journal_config *config, struct schema_store **ret, struct err *err)
{
    struct schema_stream *ss = xcalloc(1, sizeof *ss);
    ss->base.ops = &schema_store_stream;
    journal_config_copy(&ss->config, config);
    ss->stream = journal_schema_stream(config->topic_prefix);
    ss->subjects = name_map_new();
    pthread_mutex_init(&ss->lock, NULL);
    struct journal_reader *jr = NULL;
    bool ok = journal_reader_open(&ss->config, NULL, &jr, err) && read_on(ss, jr, err);
    journal_reader_close(jr);
    if (!ok) {
        stream_close(&ss->base);
        return false;
    }
    *ret = &ss->base;
    return true;
}

/* --- writing --- */

static bool append_entry(struct schema_stream *ss, struct journal_writer *jw, const struct entry *e,
                         struct err *err)
{
    if (ss->writer != jw) {
        if (!journal_stream(jw, ss->stream, STREAM_FOREVER, &ss->stream_id, err))
            return false;
        ss->writer = jw;
    }
    json_t *root = json_pack("{s:I,s:s,s:I,s:s,s:s}", "id", (json_int_t)e->id, "subject", e->subject,
                             "version", (json_int_t)e->version, "format", e->format, "schema", e->schema);
    char *text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (text == NULL)
        return err_set(err, ERR_DATA, "schema stream: the schema of subject %s is not UTF-8", e->subject);
    uint32_t key = __builtin_bswap32(e->id);
    struct journal_record rec = {
        .partition = 0, .key = &key, .key_len = sizeof key, .value = text, .value_len = strlen(text)};
    bool ok = journal_append(jw, ss->stream_id, &rec, err);
    free(text);
    return ok;
}

static bool register_locked(struct schema_stream *ss, struct journal_writer *jw, const char *subject,
                            const char *format, const char *schema_json, uint32_t *ret_id, struct err *err)
{
    const struct entry *newest = newest_of(ss, subject);
    for (const struct entry *e = newest; e != NULL; e = e->earlier) {
        if (same_entry(e, subject, format, schema_json)) {
            *ret_id = e->id;
            return true;
        }
    }
    struct entry *e =
        entry_new(ss->max_id + 1, newest != NULL ? newest->version + 1 : 1, subject, format, schema_json);
    if (!append_entry(ss, jw, e, err)) {
        entry_free(e);
        return false;
    }
    add_entry(ss, e);
    *ret_id = e->id;
    return true;
}

static bool stream_put(struct schema_store *store, struct journal_writer *jw, const char *subject,
                       const char *format, const char *schema_json, uint32_t *ret_id, struct err *err)
{
    struct schema_stream *ss = (struct schema_stream *)store;
    pthread_mutex_lock(&ss->lock);
    bool ok = register_locked(ss, jw, subject, format, schema_json, ret_id, err);
    pthread_mutex_unlock(&ss->lock);
    return ok;
}

/* --- reading --- */

static bool lookup_locked(struct schema_stream *ss, uint32_t id, const char **ret_json, struct err *err)
{
    const struct entry *e = find_id(ss, id);
    for (int tries = 0; e == NULL && tries <= ASK_AGAIN_MAX; tries++) { /* (the end may be told wrongly) */
        if (tries > 0)
            (void)poll(NULL, 0, ASK_AGAIN_MS);
        if (ss->reader == NULL && !journal_reader_open(&ss->config, NULL, &ss->reader, err))
            return false;
        if (!read_on(ss, ss->reader, err)) {
            journal_reader_close(ss->reader);
            ss->reader = NULL;
            return false;
        }
        e = find_id(ss, id);
    }
    if (e == NULL)
        return err_set(err, ERR_PROTOCOL, "schema id=%u is not in topic=%s", id, ss->stream);
    *ret_json = e->schema;
    return true;
}

static bool stream_lookup(struct schema_store *store, uint32_t id, const char **ret_json, struct err *err)
{
    struct schema_stream *ss = (struct schema_stream *)store;
    pthread_mutex_lock(&ss->lock);
    bool ok = lookup_locked(ss, id, ret_json, err);
    pthread_mutex_unlock(&ss->lock);
    return ok;
}

const struct schema_store_ops schema_store_stream = {
    .name = "stream",
    .open = stream_open,
    .put = stream_put,
    .lookup = stream_lookup,
    .close = stream_close,
};
