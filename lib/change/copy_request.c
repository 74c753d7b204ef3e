/* Owns: the JSON form of requests for a copy. See copy_request.h. */
#include "change/copy_request.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; texts != NULL && i < count; i++)
        free(texts[i]);
    free(texts);
}

static void keys_free(struct copy_keys *keys)
{
    if (keys == NULL)
        return;
    free_texts(keys->columns, keys->column_count);
    free_texts(keys->cells, keys->count * keys->column_count);
    free(keys);
}

static char **clone_texts(char *const *texts, size_t count)
{
    char **copy = xcalloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = xstrdup(texts[i]);
    return copy;
}

static struct copy_keys *keys_clone(const struct copy_keys *keys)
{
    if (keys == NULL)
        return NULL;
    struct copy_keys *copy = xcalloc(1, sizeof *copy);
    *copy = *keys;
    copy->columns = clone_texts(keys->columns, keys->column_count);
    copy->cells = clone_texts(keys->cells, keys->count * keys->column_count);
    return copy;
}

void copy_request_release(struct copy_request *req)
{
    keys_free(req->keys);
    free(req->schema);
    free(req->table);
    free(req->where);
    *req = (struct copy_request){0};
}

struct copy_request copy_request_clone(const struct copy_request *req)
{
    struct copy_request copy = *req;
    copy.schema = xstrdup(req->schema);
    copy.table = xstrdup(req->table);
    copy.where = req->where != NULL ? xstrdup(req->where) : NULL;
    copy.keys = keys_clone(req->keys);
    return copy;
}

/* --- JSON --- */

static json_t *texts_to_json(char *const *texts, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_string(texts[i]));
    return array;
}

static json_t *keys_to_json(const struct copy_keys *keys)
{
    return json_pack("{s:o, s:o, s:b}", "columns", texts_to_json(keys->columns, keys->column_count), "cells",
                     texts_to_json(keys->cells, keys->count * keys->column_count), "delete_gone",
                     (int)keys->delete_gone);
}

/* False: something else than texts is in it. */
static bool texts_from_json(const json_t *array, char ***ret, size_t *ret_count)
{
    size_t n = json_array_size(array);
    char **texts = xcalloc(n + 1, sizeof *texts);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text == NULL) {
            free_texts(texts, i);
            return false;
        }
        texts[i] = xstrdup(text);
    }
    *ret = texts;
    *ret_count = n;
    return true;
}

/* NULL: these are none. */
static struct copy_keys *keys_from_json(const json_t *object)
{
    struct copy_keys *keys = xcalloc(1, sizeof *keys);
    size_t cells = 0;
    if (texts_from_json(json_object_get(object, "columns"), &keys->columns, &keys->column_count) &&
        texts_from_json(json_object_get(object, "cells"), &keys->cells, &cells) && keys->column_count > 0 &&
        cells > 0 && cells % keys->column_count == 0 && cells / keys->column_count <= COPY_KEYS_MAX) {
        keys->count = cells / keys->column_count;
        keys->delete_gone = json_is_true(json_object_get(object, "delete_gone"));
        return keys;
    }
    free_texts(keys->cells, cells);
    free_texts(keys->columns, keys->column_count);
    free(keys);
    return NULL;
}

json_t *copy_request_to_json(const struct copy_request *req)
{
    json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:b}", "nonce", req->nonce, "schema", req->schema,
                               "table", req->table, "oid", (json_int_t)req->oid, "fresh", (int)req->fresh);
    if (object != NULL && req->where != NULL)
        json_object_set_new(object, "where", json_string(req->where));
    if (object != NULL && req->keys != NULL)
        json_object_set_new(object, "keys", keys_to_json(req->keys));
    return object;
}

bool copy_request_from_json(const json_t *object, struct copy_request *ret)
{
    const char *nonce = NULL, *schema = NULL, *table = NULL, *where = NULL;
    json_int_t oid = 0;
    const json_t *by_key = json_object_get(object, "keys");
    struct copy_keys *keys = NULL;
    int fresh = 0;
    if (json_unpack((json_t *)object, "{s:s, s:s, s:s, s:I, s:b, s?s}", "nonce", &nonce, "schema", &schema,
                    "table", &table, "oid", &oid, "fresh", &fresh, "where", &where) != 0 ||
        strlen(nonce) >= sizeof ret->nonce || oid < 1 || oid > UINT32_MAX ||
        (by_key != NULL && (keys = keys_from_json(by_key)) == NULL))
        return false;
    *ret = (struct copy_request){.oid = (uint32_t)oid,
                                 .fresh = fresh != 0,
                                 .schema = xstrdup(schema),
                                 .table = xstrdup(table),
                                 .where = where != NULL ? xstrdup(where) : NULL,
                                 .keys = keys};
    memcpy(ret->nonce, nonce, strlen(nonce) + 1);
    return true;
}
