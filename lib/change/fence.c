/* Fences as JSON texts: the record's one and only form. Numbers that may pass 2^53 in practice (the system
 * identifier) are strings, so that any JSON reader keeps them. */
#include "change/fence.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "change/json_write.h"
#include "core/alloc.h"

/* Ranges that a fence may list: streams × partitions of one pipeline. */
#define RANGES_MAX 1000000
/* INDEX_MAX_KEYS of a server as it is built (pg_config_manual.h) */
#define KEY_COLUMNS_MAX 32

static const char *const kind_names[] = {
    [FENCE_UNKNOWN] = "unknown",
    [FENCE_SNAPSHOT_BEGIN] = "snapshot_begin",
    [FENCE_SNAPSHOT] = "snapshot",
    [FENCE_STREAM] = "stream",
};

static const char *const marker_names[] = {
    [MARKER_NONE] = "none",       [MARKER_HOLD] = "hold",   [MARKER_COMPARE] = "compare",
    [MARKER_REFUSED] = "refused", [MARKER_FINAL] = "final", [MARKER_PING] = "ping",
    [MARKER_COPY] = "copy",
};

const char *fence_kind_name(enum fence_kind kind)
{
    return (size_t)kind < ARRAY_LEN(kind_names) ? kind_names[kind] : kind_names[FENCE_UNKNOWN];
}

const char *marker_kind_name(enum marker_kind kind)
{
    return (size_t)kind < ARRAY_LEN(marker_names) ? marker_names[kind] : marker_names[MARKER_NONE];
}

enum marker_kind marker_kind_parse(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(marker_names); i++) {
        if (strcmp(marker_names[i], name) == 0)
            return (enum marker_kind)i;
    }
    return MARKER_NONE;
}

void fence_copy_release(struct fence_copy *copy)
{
    for (size_t i = 0; i < copy->key_count; i++)
        free(copy->key[i]);
    free(copy->key);
    for (size_t i = 0; i < copy->request_count; i++)
        copy_request_release(&copy->requests[i]);
    free(copy->requests);
    *copy = (struct fence_copy){0};
}

struct fence_copy fence_copy_clone(const struct fence_copy *copy)
{
    struct fence_copy clone = *copy;
    clone.key = xcalloc(copy->key_count + 1, sizeof *clone.key);
    for (size_t i = 0; i < copy->key_count; i++)
        clone.key[i] = xstrdup(copy->key[i]);
    clone.requests = xcalloc(copy->request_count + 1, sizeof *clone.requests);
    for (size_t i = 0; i < copy->request_count; i++)
        clone.requests[i] = copy_request_clone(&copy->requests[i]);
    return clone;
}

void fence_release(struct fence *fence)
{
    fence_copy_release(&fence->copy);
    for (size_t i = 0; i < fence->range_count; i++)
        free(fence->ranges[i].stream);
    free(fence->ranges);
    free(fence->pipeline);
    free(fence->gtid);
    free(fence->gtid_from);
    *fence = (struct fence){0};
}

/* --- writing --- */

/* ,"name": */
static void put_name(struct strbuf *out, const char *name)
{
    strbuf_add(out, ",\"", 2);
    strbuf_adds(out, name);
    strbuf_add(out, "\":", 2);
}

static void put_int(struct strbuf *out, const char *name, int64_t v)
{
    put_name(out, name);
    json_put_int(out, v);
}

static void put_text(struct strbuf *out, const char *name, const char *text)
{
    put_name(out, name);
    json_put_string(out, text, strlen(text));
}

static void put_bool(struct strbuf *out, const char *name, bool v)
{
    put_name(out, name);
    strbuf_adds(out, v ? "true" : "false");
}

static void put_marker(struct strbuf *out, const struct fence_marker *marker)
{
    if (marker->kind == MARKER_NONE)
        return;
    strbuf_adds(out, ",\"marker\":{\"kind\":\"");
    strbuf_adds(out, marker_kind_name(marker->kind));
    strbuf_addc(out, '"');
    put_text(out, "nonce", marker->nonce);
    put_int(out, "deadline_ms", marker->deadline_ms);
    strbuf_addc(out, '}');
}

static void put_requests(struct strbuf *out, const struct fence_copy *copy)
{
    if (copy->request_count == 0)
        return;
    put_bool(out, "requested", copy->requested);
    strbuf_adds(out, ",\"requests\":[");
    for (size_t i = 0; i < copy->request_count; i++) {
        json_t *object = copy_request_to_json(&copy->requests[i]);
        char *text = json_dumps(object, JSON_COMPACT);
        strbuf_adds(out, i > 0 ? "," : "");
        strbuf_adds(out, text != NULL ? text : "null");
        free(text);
        json_decref(object);
    }
    strbuf_addc(out, ']');
}

static void put_copy(struct strbuf *out, const struct fence_copy *copy)
{
    if (!copy->there)
        return;
    strbuf_addf(out, ",\"copy\":{\"plan\":\"%016llx\"", (unsigned long long)copy->plan);
    put_int(out, "part", (int64_t)copy->part);
    strbuf_adds(out, ",\"key\":[");
    for (size_t i = 0; i < copy->key_count; i++) {
        strbuf_adds(out, i > 0 ? "," : "");
        json_put_string(out, copy->key[i], strlen(copy->key[i]));
    }
    strbuf_addc(out, ']');
    if (copy->direct)
        put_bool(out, "direct", true);
    if (copy->direct && copy->begin_lsn != 0) {
        char lsn[LSN_TEXT_MAX];
        put_text(out, "begin", lsn_format(copy->begin_lsn, lsn));
    }
    put_requests(out, copy);
    strbuf_addc(out, '}');
}

static void put_range(struct strbuf *out, const struct fence_range *range)
{
    strbuf_adds(out, "{\"stream\":");
    json_put_string(out, range->stream, strlen(range->stream));
    put_int(out, "partition", range->partition);
    put_int(out, "first_offset", (int64_t)range->first_offset);
    put_int(out, "next_offset", (int64_t)range->next_offset);
    strbuf_addc(out, '}');
}

static bool encodable(const struct fence *f)
{
    const uint64_t numbers[] = {f->id, f->attempt, f->changes, f->transactions, f->schemas_next};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (numbers[i] > INT64_MAX)
            return false;
    }
    for (size_t i = 0; i < f->range_count; i++) {
        const struct fence_range *r = &f->ranges[i];
        if (r->stream == NULL || r->partition < 0 || r->first_offset > r->next_offset ||
            r->next_offset > INT64_MAX)
            return false;
    }
    return f->pipeline != NULL && f->kind > FENCE_UNKNOWN && f->kind <= FENCE_STREAM && f->id != 0 &&
           memchr(f->marker.nonce, '\0', sizeof f->marker.nonce) != NULL && f->range_count <= RANGES_MAX;
}

bool fence_encode(const struct fence *fence, struct strbuf *out, struct err *err)
{
    char lsn[LSN_TEXT_MAX];
    size_t old_len = out->len;
    if (!encodable(fence))
        return err_set(err, ERR_BUG, "fence %llu: a field is out of range", (unsigned long long)fence->id);
    int format = fence->copy.direct   ? FENCE_FORMAT_DIRECT
                 : fence->writer != 0 ? FENCE_FORMAT_WRITER
                                      : FENCE_FORMAT_PLAIN;
    strbuf_addf(out, "{\"format\":%d,\"kind\":\"%s\"", format, fence_kind_name(fence->kind));
    put_int(out, "id", (int64_t)fence->id);
    put_int(out, "attempt", (int64_t)fence->attempt);
    put_text(out, "pipeline", fence->pipeline);
    strbuf_addf(out, ",\"source_system_id\":\"%llu\"", (unsigned long long)fence->source_system_id);
    put_int(out, "timeline", fence->timeline);
    put_text(out, "lsn", lsn_format(fence->lsn, lsn));
    if (fence->gtid != NULL)
        put_text(out, "gtid", fence->gtid);
    if (fence->gtid_from != NULL)
        put_text(out, "gtid_from", fence->gtid_from);
    put_int(out, "commit_time_us", fence->commit_time_us);
    put_int(out, "written_us", fence->written_us);
    put_bool(out, "complete", fence->complete);
    put_bool(out, "full", fence->full);
    put_marker(out, &fence->marker);
    put_copy(out, &fence->copy);
    put_int(out, "changes", (int64_t)fence->changes);
    put_int(out, "transactions", (int64_t)fence->transactions);
    if (fence->writer != 0)
        strbuf_addf(out, ",\"writer\":\"%016llx\"", (unsigned long long)fence->writer);
    if (fence->schemas_next != 0)
        put_int(out, "schemas_next", (int64_t)fence->schemas_next);
    strbuf_adds(out, ",\"positions\":[");
    for (size_t i = 0; i < fence->range_count; i++) {
        if (i != 0)
            strbuf_addc(out, ',');
        put_range(out, &fence->ranges[i]);
    }
    strbuf_adds(out, "]}");
    if (strbuf_ok(out, "fence", err))
        return true;
    out->len = old_len;
    return false;
}

/* --- reading: the first thing that is wrong is named --- */

struct take {
    const json_t *object;
    const char *wrong; /* NULL, or the member that is missing or wrong */
};

static const json_t *member(struct take *t, const char *name, bool fits)
{
    if (!fits && t->wrong == NULL)
        t->wrong = name;
    return json_object_get(t->object, name);
}

static int64_t take_int(struct take *t, const char *name, int64_t least, int64_t most)
{
    const json_t *v = json_object_get(t->object, name);
    int64_t n = json_integer_value(v);
    (void)member(t, name, json_is_integer(v) && n >= least && n <= most);
    return n;
}

static uint64_t take_count(struct take *t, const char *name)
{
    return (uint64_t)take_int(t, name, 0, INT64_MAX);
}

static bool take_bool(struct take *t, const char *name)
{
    const json_t *v = json_object_get(t->object, name);
    (void)member(t, name, json_is_boolean(v));
    return json_is_true(v);
}

/* "" when missing. */
static const char *take_text(struct take *t, const char *name)
{
    const char *text = json_string_value(json_object_get(t->object, name));
    (void)member(t, name, text != NULL);
    return text != NULL ? text : "";
}

static uint64_t take_system_id(struct take *t)
{
    const char *text = take_text(t, "source_system_id");
    char *end = NULL;
    unsigned long long v = strtoull(text, &end, 10);
    (void)member(t, "source_system_id", text[0] >= '0' && text[0] <= '9' && *end == '\0');
    return v;
}

/* Both may be missing. */
static uint64_t take_writer(struct take *t)
{
    if (json_object_get(t->object, "writer") == NULL)
        return 0;
    const char *text = take_text(t, "writer");
    char *end = NULL;
    unsigned long long v = strtoull(text, &end, 16);
    (void)member(t, "writer", strlen(text) == 16 && *end == '\0' && v != 0);
    return v;
}

static uint64_t take_schemas_next(struct take *t)
{
    return json_object_get(t->object, "schemas_next") != NULL ? take_count(t, "schemas_next") : 0;
}

static lsn_t take_lsn(struct take *t)
{
    lsn_t lsn = 0;
    (void)member(t, "lsn", lsn_parse(take_text(t, "lsn"), &lsn));
    return lsn;
}

/* NULL when missing. malloc'd */
static char *take_optional(struct take *t, const char *name)
{
    return json_object_get(t->object, name) != NULL ? xstrdup(take_text(t, name)) : NULL;
}

static enum fence_kind take_kind(struct take *t)
{
    const char *name = take_text(t, "kind");
    for (size_t i = FENCE_UNKNOWN + 1; i < ARRAY_LEN(kind_names); i++) {
        if (strcmp(kind_names[i], name) == 0)
            return (enum fence_kind)i;
    }
    (void)member(t, "kind", false);
    return FENCE_UNKNOWN;
}

static struct fence_marker take_marker(struct take *t)
{
    struct fence_marker marker = {.kind = MARKER_NONE};
    struct take inner = {.object = json_object_get(t->object, "marker")};
    if (inner.object == NULL || json_is_null(inner.object))
        return marker;
    const char *nonce = take_text(&inner, "nonce");
    marker.kind = marker_kind_parse(take_text(&inner, "kind"));
    marker.deadline_ms = take_int(&inner, "deadline_ms", INT64_MIN, INT64_MAX);
    size_t len = strlen(nonce);
    (void)member(t, "marker", inner.wrong == NULL && marker.kind != MARKER_NONE && len < sizeof marker.nonce);
    if (len < sizeof marker.nonce)
        memcpy(marker.nonce, nonce, len + 1);
    return marker;
}

static void take_requests(struct take *t, struct fence_copy *ret)
{
    const json_t *list = json_object_get(t->object, "requests"), *item;
    size_t i, count = json_array_size(list);
    if (list == NULL)
        return;
    ret->requested = take_bool(t, "requested");
    (void)member(t, "requests", count > 0 && count <= COPY_REQUESTS_MAX);
    if (t->wrong != NULL)
        return;
    ret->requests = xcalloc(count, sizeof *ret->requests);
    json_array_foreach(list, i, item)
    {
        if (!copy_request_from_json(item, &ret->requests[i])) {
            (void)member(t, "requests", false);
            return;
        }
        ret->request_count++;
    }
}

static void take_copy(struct take *t, struct fence_copy *ret)
{
    struct take inner = {.object = json_object_get(t->object, "copy")};
    if (inner.object == NULL || json_is_null(inner.object))
        return;
    const json_t *key = json_object_get(inner.object, "key"), *item;
    size_t i;
    char *end = NULL;
    ret->there = true;
    ret->plan = strtoull(take_text(&inner, "plan"), &end, 16);
    ret->part = take_count(&inner, "part");
    (void)member(&inner, "plan", *end == '\0');
    const json_t *direct = json_object_get(inner.object, "direct");
    (void)member(&inner, "direct", direct == NULL || json_is_boolean(direct));
    ret->direct = json_is_true(direct);
    const json_t *begin = json_object_get(inner.object, "begin");
    (void)member(&inner, "begin",
                 begin == NULL ||
                     (json_is_string(begin) && lsn_parse(json_string_value(begin), &ret->begin_lsn)));
    (void)member(&inner, "key", json_is_array(key) && json_array_size(key) <= KEY_COLUMNS_MAX);
    if (inner.wrong == NULL && json_array_size(key) > 0)
        ret->key = xcalloc(json_array_size(key), sizeof *ret->key);
    json_array_foreach(key, i, item)
    {
        (void)member(&inner, "key", json_is_string(item));
        if (inner.wrong == NULL)
            ret->key[ret->key_count++] = xstrdup(json_string_value(item));
    }
    take_requests(&inner, ret);
    (void)member(t, "copy", inner.wrong == NULL);
}

static void take_ranges(struct take *t, struct fence *f)
{
    const json_t *list = json_object_get(t->object, "positions"), *item;
    size_t i, count = json_array_size(list);
    (void)member(t, "positions", json_is_array(list) && count <= RANGES_MAX);
    if (t->wrong != NULL)
        return;
    f->ranges = xcalloc(count + 1, sizeof *f->ranges);
    json_array_foreach(list, i, item)
    {
        struct take inner = {.object = item};
        struct fence_range range = {
            .partition = (int32_t)take_int(&inner, "partition", 0, INT32_MAX),
            .first_offset = take_count(&inner, "first_offset"),
            .next_offset = take_count(&inner, "next_offset"),
        };
        const char *stream = take_text(&inner, "stream");
        if (inner.wrong != NULL || range.first_offset > range.next_offset) {
            (void)member(t, "positions", false);
            return;
        }
        range.stream = xstrdup(stream);
        f->ranges[f->range_count++] = range;
    }
}

bool fence_format_check(long long format, struct err *err)
{
    return format <= FENCE_FORMAT ||
           err_set(err, ERR_UNSUPPORTED,
                   "fence has format %lld, this program (" CF_VERSION
                   ") knows up to %d: a newer crossfade has written it; use that version, or a later one",
                   format, FENCE_FORMAT);
}

/* A newer format may mean anything: it is looked at first. */
static bool check_format(const json_t *root, struct err *err)
{
    const json_t *format = json_object_get(root, "format");
    json_int_t n = json_integer_value(format);
    if (!json_is_integer(format) || n < 1)
        return err_set(err, ERR_PROTOCOL, "fence does not parse: member format is missing or wrong");
    return fence_format_check(n, err);
}

bool fence_decode(const void *text, size_t len, struct fence *ret, struct err *err)
{
    json_error_t why;
    json_auto_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        return err_set(err, ERR_PROTOCOL, "fence is no JSON: %s", why.text);
    if (!check_format(root, err))
        return false;
    struct take t = {.object = root};
    struct fence f = {
        .format = FENCE_FORMAT,
        .kind = take_kind(&t),
        .id = (uint64_t)take_int(&t, "id", 1, INT64_MAX),
        .attempt = take_count(&t, "attempt"),
        .source_system_id = take_system_id(&t),
        .timeline = (uint32_t)take_int(&t, "timeline", 0, UINT32_MAX),
        .lsn = take_lsn(&t),
        .commit_time_us = take_int(&t, "commit_time_us", INT64_MIN, INT64_MAX),
        .written_us = take_int(&t, "written_us", INT64_MIN, INT64_MAX),
        .complete = take_bool(&t, "complete"),
        .full = take_bool(&t, "full"),
        .marker = take_marker(&t),
        .changes = take_count(&t, "changes"),
        .transactions = take_count(&t, "transactions"),
        .writer = take_writer(&t),
        .schemas_next = take_schemas_next(&t),
    };
    f.pipeline = xstrdup(take_text(&t, "pipeline"));
    f.gtid = take_optional(&t, "gtid");
    f.gtid_from = take_optional(&t, "gtid_from");
    take_copy(&t, &f.copy);
    take_ranges(&t, &f);
    if (t.wrong != NULL) {
        fence_release(&f);
        return err_set(err, ERR_PROTOCOL, "fence does not parse: member %s is missing or wrong", t.wrong);
    }
    *ret = f;
    return true;
}
