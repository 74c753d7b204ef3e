/* Owns the note about where schemas are. See schema_home.h. */
#include "schema_home.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

bool schema_record_is_shape(const struct journal_record *rec)
{
    return rec->key_len == strlen(SCHEMA_SHAPE_KEY) && memcmp(rec->key, SCHEMA_SHAPE_KEY, rec->key_len) == 0;
}

const char *schema_home_note(const json_t *root)
{
    return json_string_value(json_object_get(root, "registry"));
}

/* Kafka counts aborted records and the marks of transactions as well, so the first one may lie anywhere. */
static bool read_first(struct journal_reader *jr, const struct journal_range *range, enum schema_home *ret,
                       struct err *err)
{
    struct journal_record rec;
    if (!journal_assign(jr, range, 1, err))
        return false;
    bool end = false;
    do { /* what it says of tables says nothing of schemas */
        if (!journal_take(jr, JOURNAL_TAKE_MS, &rec, &end, err))
            return err_wrap(err, "schema stream: topic=%s", range->stream);
    } while (!end && schema_record_is_shape(&rec));
    if (end)
        return true;
    json_t *root = rec.value != NULL ? json_loadb(rec.value, rec.value_len, 0, NULL) : NULL;
    *ret = schema_home_note(root) != NULL ? SCHEMA_HOME_REGISTRY : SCHEMA_HOME_STREAM;
    json_decref(root);
    return true;
}

bool schema_home_read(const struct journal_config *config, enum schema_home *ret, struct err *err)
{
    struct journal_reader *jr = NULL;
    char *stream CLEANUP(free_ptr) = journal_schema_stream(config->topic_prefix);
    struct journal_range range = {.stream = stream};
    enum schema_home home = SCHEMA_HOME_UNKNOWN;
    bool ok = journal_reader_open(config, NULL, &jr, err) &&
              journal_bounds(jr, stream, 0, &range.first_offset, &range.next_offset, err) &&
              (range.first_offset >= range.next_offset || read_first(jr, &range, &home, err));
    journal_reader_close(jr);
    if (ok)
        *ret = home;
    return ok;
}

bool schema_home_write(struct journal_writer *jw, const char *topic_prefix, const char *url, struct err *err)
{
    static const char no_id[4];
    char *stream CLEANUP(free_ptr) = journal_schema_stream(topic_prefix);
    int id;
    json_t *root = json_pack("{s:i,s:s}", "id", 0, "registry", url);
    char *text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (text == NULL)
        return err_set(err, ERR_CONFIG, "journal.registry is not UTF-8");
    struct journal_record rec = {
        .key = no_id, .key_len = sizeof no_id, .value = text, .value_len = strlen(text)};
    bool ok = journal_stream(jw, stream, STREAM_FOREVER, &id, err) && journal_append(jw, id, &rec, err);
    free(text);
    return ok;
}
