/* Owns: which copy is at hand and which ones wait. See request_queue.h. */
#include "capture/copy/request_queue.h"

#include <stdlib.h>
#include <string.h>

#include "capture/capture_internal.h"
#include "capture/copy/copy_keys.h"
#include "capture/filters/filters.h"
#include "capture/source/standby.h"
#include "core/alloc.h"
#include "core/log.h"

void cap_queue_take(struct cap_request_queue *q, const struct fence_copy *place)
{
    struct fence_copy clone = fence_copy_clone(place);
    cap_queue_release(q);
    *q = (struct cap_request_queue){
        .requested = place->there && place->requested, .items = clone.requests, .count = clone.request_count};
    clone.requests = NULL;
    clone.request_count = 0;
    fence_copy_release(&clone);
}

void cap_queue_release(struct cap_request_queue *q)
{
    for (size_t i = 0; i < q->count; i++)
        copy_request_release(&q->items[i]);
    free(q->items);
    *q = (struct cap_request_queue){0};
}

bool cap_queue_add(struct cap_request_queue *q, struct copy_request *req)
{
    bool known = false;
    for (size_t i = 0; i < q->count; i++)
        known = known || strcmp(q->items[i].nonce, req->nonce) == 0;
    if (known || q->count == COPY_REQUESTS_MAX) {
        log_event(LOG_LEVEL_WARN, "copy_refused", "table=%s.%s nonce=%s text=\"%s\"", req->schema, req->table,
                  req->nonce, known ? "asked for twice" : "too many copies wait: ask again later");
        copy_request_release(req);
        return false;
    }
    q->items = xrealloc(q->items, (q->count + 1) * sizeof *q->items);
    q->items[q->count++] = *req;
    q->grown = true;
    *req = (struct copy_request){0};
    return true;
}

static void drop_first(struct cap_request_queue *q)
{
    copy_request_release(&q->items[0]);
    q->count--;
    memmove(q->items, q->items + 1, q->count * sizeof *q->items);
}

bool cap_queue_next(struct cap_request_queue *q)
{
    if (q->requested && q->count > 0)
        drop_first(q);
    q->requested = q->count > 0;
    return q->requested;
}

void cap_queue_place(const struct cap_request_queue *q, struct fence_copy *place)
{
    place->requested = q->requested;
    place->requests = q->items;
    place->request_count = q->count;
}

const struct copy_request *cap_queue_at_hand(const struct cap_request_queue *q)
{
    return q->requested && q->count > 0 ? &q->items[0] : NULL;
}

bool cap_queue_waits(const struct cap_request_queue *q, uint32_t oid)
{
    for (size_t i = q->requested; i < q->count; i++) {
        if (q->items[i].oid == oid)
            return true;
    }
    return false;
}

/* --- does it still fit? --- */

static bool is_loaded(const struct cap_session *s, uint32_t oid)
{
    for (size_t i = 0; i < s->tables.count; i++) {
        if (s->tables.items[i].oid == oid)
            return true;
    }
    return false;
}

static bool is_there(struct cap_session *s, uint32_t oid, bool *ret, struct err *err)
{
    char text[16];
    int64_t n = 0;
    (void)snprintf(text, sizeof text, "%u", oid);
    const char *params[] = {text};
    if (!pg_query_int64(s->sql, "SELECT count(*) FROM pg_catalog.pg_class WHERE oid = $1::oid", 1, params, &n,
                        err))
        return false;
    *ret = n > 0;
    return true;
}

/* Its keys are not (any more) those of the table. */
static bool misses_key(const struct cap_session *s, const struct copy_request *req)
{
    const struct source_table *t = cap_keys_table(s, req);
    return t != NULL && req->keys != NULL && !cap_keys_fit(s, t, req->keys);
}

bool cap_queue_check(struct cap_session *s, struct err *err)
{
    struct cap_request_queue *q = &s->queue;
    while (q->requested && q->count > 0 && (!is_loaded(s, q->items[0].oid) || misses_key(s, &q->items[0]))) {
        const struct copy_request *req = &q->items[0];
        bool there = false;
        if (misses_key(s, req)) {
            log_event(
                LOG_LEVEL_WARN, "copy_dropped",
                "table=%s.%s nonce=%s text=\"rows were asked for by columns that are not the table's key\"",
                req->schema, req->table, req->nonce);
            drop_first(q);
            continue;
        }
        if (!is_there(s, req->oid, &there, err))
            return false;
        if (there)
            return err_set(err, ERR_CONFIG,
                           "table=%s.%s was asked to be copied, but source.tables of this capture does not "
                           "choose it: add it "
                           "there and start capture again",
                           req->schema, req->table);
        log_event(LOG_LEVEL_WARN, "copy_dropped", "table=%s.%s nonce=%s text=\"the table is gone\"",
                  req->schema, req->table, req->nonce);
        drop_first(q); /* none left: nothing to copy, the next fence says that all is complete */
    }
    const struct copy_request *req = cap_queue_at_hand(q);
    return req == NULL || cap_filters_same(s, s->sql, req->oid, req->schema, req->table, err);
}

static void mark_later(struct cap_session *s, const char *detail)
{
    json_auto_t *object = json_loads(detail, JSON_REJECT_DUPLICATES, NULL);
    struct copy_request req;
    if (object == NULL || !copy_request_from_json(object, &req)) /* decoding ignores it as well */
        return;
    for (size_t i = 0; req.fresh && i < s->tables.count; i++) {
        if (s->tables.items[i].oid == req.oid)
            s->tables.items[i].from_start = false;
    }
    copy_request_release(&req);
}

bool cap_queue_mark_later(struct cap_session *s, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {s->settings->pipeline};
    if (!pg_query(s->sql, "SELECT detail FROM crossfade.marker WHERE pipeline = $1 AND kind = 'copy'", 1,
                  params, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++)
        mark_later(s, pg_cell(res, i, 0));
    return true;
}

bool cap_queue_forget_asked(struct cap_session *s, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {s->settings->pipeline};
    struct pg_conn *conn = cap_writable(s); /* NULL: nobody could ask, either */
    return conn == NULL ||
           pg_query(conn, "DELETE FROM crossfade.marker WHERE pipeline = $1 AND kind = 'copy'", 1, params,
                    &res, err);
}
