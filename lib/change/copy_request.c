/* Owns: the JSON form of requests for a copy. See copy_request.h. */
#include "change/copy_request.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

void copy_request_release(struct copy_request *req)
{
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
    return copy;
}

json_t *copy_request_to_json(const struct copy_request *req)
{
    json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:b}", "nonce", req->nonce, "schema", req->schema,
                               "table", req->table, "oid", (json_int_t)req->oid, "fresh", (int)req->fresh);
    if (object != NULL && req->where != NULL)
        json_object_set_new(object, "where", json_string(req->where));
    return object;
}

bool copy_request_from_json(const json_t *object, struct copy_request *ret)
{
    const char *nonce = NULL, *schema = NULL, *table = NULL, *where = NULL;
    json_int_t oid = 0;
    int fresh = 0;
    if (json_unpack((json_t *)object, "{s:s, s:s, s:s, s:I, s:b, s?s}", "nonce", &nonce, "schema", &schema,
                    "table", &table, "oid", &oid, "fresh", &fresh, "where", &where) != 0 ||
        strlen(nonce) >= sizeof ret->nonce || oid < 1 || oid > UINT32_MAX)
        return false;
    *ret = (struct copy_request){.oid = (uint32_t)oid,
                                 .fresh = fresh != 0,
                                 .schema = xstrdup(schema),
                                 .table = xstrdup(table),
                                 .where = where != NULL ? xstrdup(where) : NULL};
    memcpy(ret->nonce, nonce, strlen(nonce) + 1);
    return true;
}
