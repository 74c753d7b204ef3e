/* See journal_filter.h. */
#include "journal_filter.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

struct record_filter {
    json_t *key; /* NULL = any */
    lsn_t from_lsn;
    bool *late; /* by partition: the last record was late enough */
    size_t late_count;
};

bool record_filter_new(const char *key_json, lsn_t from_lsn, struct record_filter **ret, struct err *err)
{
    json_error_t why;
    json_t *key = NULL;
    if (key_json != NULL) {
        key = json_loads(key_json, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
        if (key == NULL)
            return err_set(err, ERR_CONFIG, "--key: found \"%s\", expected JSON: %s", key_json, why.text);
    }
    *ret = xcalloc(1, sizeof **ret);
    **ret = (struct record_filter){.key = key, .from_lsn = from_lsn};
    return true;
}

void record_filter_free(struct record_filter *filter)
{
    if (filter == NULL)
        return;
    json_decref(filter->key);
    free(filter->late);
    free(filter);
}

/* {"schema": …, "payload": …} → its payload. */
static const json_t *payload_of(const json_t *json)
{
    const json_t *payload = json_object_get(json, "payload");
    return payload != NULL && json_object_get(json, "schema") != NULL && json_object_size(json) == 2 ? payload
                                                                                                     : json;
}

static bool key_fits(const struct record_filter *filter, const char *text)
{
    json_auto_t *root = json_loads(text, JSON_DECODE_ANY, NULL);
    const json_t *key = payload_of(root);
    if (json_is_object(key) && json_object_size(key) == 1 && !json_is_object(filter->key))
        key = json_object_iter_value(json_object_iter((json_t *)key));
    return key != NULL && json_equal(key, filter->key);
}

/* Commit LSN of a change; of a copied row the copy's own; 0 when the value tells none. */
static lsn_t lsn_of(const char *text)
{
    json_auto_t *root = json_loads(text, JSON_DECODE_ANY, NULL);
    const json_t *envelope = payload_of(root);
    const char *id = json_string_value(json_object_get(json_object_get(envelope, "transaction"), "id"));
    const char *colon = id != NULL ? strchr(id, ':') : NULL;
    if (colon != NULL)
        return strtoull(colon + 1, NULL, 10);
    return (lsn_t)json_integer_value(json_object_get(json_object_get(envelope, "source"), "lsn"));
}

static bool is_late(struct record_filter *filter, const struct journal_record *rec, const char *value)
{
    size_t at = (size_t)rec->partition;
    if (at >= filter->late_count) {
        filter->late = xrealloc(filter->late, (at + 1) * sizeof *filter->late);
        memset(filter->late + filter->late_count, 0, (at + 1 - filter->late_count) * sizeof *filter->late);
        filter->late_count = at + 1;
    }
    if (rec->value != NULL)
        filter->late[at] = lsn_of(value) >= filter->from_lsn;
    return filter->late[at];
}

bool record_filter_wants(struct record_filter *filter, const struct journal_record *rec,
                         const struct record_texts *texts)
{
    if (filter->from_lsn != 0 && !is_late(filter, rec, texts->value))
        return false;
    return filter->key == NULL || key_fits(filter, texts->key);
}
