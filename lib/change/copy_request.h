/*
 * A table that is to be copied while everything else streams (crossfade capture add-table, resnapshot). It is asked for by a
 * marker's detail on the source, and waits, or is worked on, in fences (fence_copy): one JSON form for both.
 */
#ifndef CHANGE_COPY_REQUEST_H
#define CHANGE_COPY_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"

/* So many may wait. */
#define COPY_REQUESTS_MAX 1000

/* … with this much text of keys at most: they stand in every fence until they are copied. */
#define COPY_KEYS_MAX       1000
#define COPY_KEYS_BYTES_MAX (128 << 10)

/* Rows by their keys: the whole key of the table, its columns by their published names, in any order. */
struct copy_keys {
    size_t column_count, count;
    char **columns;
    char **cells;     /* key by key, column_count each: texts that the columns' types read */
    bool delete_gone; /* a key without a row that is published: a deletion is */
};

struct copy_request {
    char nonce[40]; /* of its marker */
    uint32_t oid;   /* the table's when it was asked for */
    bool fresh;     /* nothing of it was captured before */
    char *schema, *table;
    char *where;            /* a condition in SQL on the source's row p; NULL = all rows */
    struct copy_keys *keys; /* only these rows; NULL = all */
};

void copy_request_release(struct copy_request *req);
struct copy_request copy_request_clone(const struct copy_request *req);
/* New reference. */
json_t *copy_request_to_json(const struct copy_request *req);
/* False: not the object that copy_request_to_json() gives. */
bool copy_request_from_json(const json_t *object, struct copy_request *ret) MUST_CHECK;

#endif
