/*
 * The store of schemas that is a Confluent-compatible registry. Subjects are the caller's (TopicNameStrategy);
 * ids are the registry's, global and not dense.
 *
 * Requests: one for each schema of a table that is new to this store (capture), one for each id that is new to
 * it (apply, commands); never one for a record, since encoders and decoders keep what they got. A registry
 * that is away is an ERR_CONNECT of the role's loop, which opens everything anew after a backoff.
 */
#include "journal/schema_registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "journal_impl.h"
#include "registry_http.h"
#include "schema_home.h"
#include "schema_stores.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

/* The newest registration of a subject. */
struct given {
    char *subject, *schema;
    uint32_t id;
    UT_hash_handle hh;
};

/* A schema that was asked for. */
struct known {
    uint32_t id;
    char *schema;
    UT_hash_handle hh;
};

struct schema_registry {
    struct schema_store base;
    struct journal_config config; /* with texts of our own */
    struct registry_address address;
    struct registry_http *http;
    struct strbuf answer;
    pthread_mutex_t lock; /* decoders of several threads may share the source */
    enum schema_home home;
    struct given *given;
    struct known *known;
};

/* --- life --- */

static void registry_close(struct schema_store *store)
{
    struct schema_registry *sr = (struct schema_registry *)store;
    struct given *g, *next_given;
    struct known *k, *next_known;
    HASH_ITER(hh, sr->given, g, next_given)
    {
        HASH_DEL(sr->given, g);
        free(g->subject);
        free(g->schema);
        free(g);
    }
    HASH_ITER(hh, sr->known, k, next_known)
    {
        HASH_DEL(sr->known, k);
        free(k->schema);
        free(k);
    }
    registry_http_close(sr->http);
    registry_address_release(&sr->address);
    strbuf_release(&sr->answer);
    pthread_mutex_destroy(&sr->lock);
    journal_config_free(&sr->config);
    free(sr);
}

/* The journal must not have begun with the built-in stream. Asked again as long as nothing stands there. */
static bool check_home(struct schema_registry *sr, struct err *err)
{
    if (sr->home == SCHEMA_HOME_UNKNOWN && !schema_home_read(&sr->config, &sr->home, err))
        return false;
    if (sr->home != SCHEMA_HOME_STREAM)
        return true;
    return err_set(
        err, ERR_CONFIG,
        "topic=%s.schemas: this journal keeps its schemas in itself: remove journal.registry, or use a new "
        "journal.topic_prefix and begin anew",
        sr->config.topic_prefix);
}

static struct schema_registry *registry_new(const struct journal_config *config)
{
    struct schema_registry *sr = xcalloc(1, sizeof *sr);
    sr->base.ops = &schema_store_registry;
    journal_config_copy(&sr->config, config);
    strbuf_init(&sr->answer, REGISTRY_ANSWER_BYTES_MAX);
    pthread_mutex_init(&sr->lock, NULL);
    return sr;
}

static bool prepare(struct schema_registry *sr, struct err *err)
{
    const struct journal_config *c = &sr->config;
    return registry_address_read(c->registry, c->registry_user, c->registry_password, &sr->address, err) &&
           registry_http_open(&sr->address, c->registry_ca, &sr->http, err);
}

/* Asks the registry for nothing yet: who needs no schema can do without it. */
static bool registry_open(const struct journal_config *config, struct schema_store **ret, struct err *err)
{
    struct schema_registry *sr = registry_new(config);
    if (!prepare(sr, err) || !check_home(sr, err)) {
        registry_close(&sr->base);
        return false;
    }
    *ret = &sr->base;
    return true;
}

/* --- requests --- */

/* Any answer but a success is an error that speaks of the subject, or of the id if there is none. */
static bool ask(struct schema_registry *sr, const char *path, const char *body, const char *subject,
                uint32_t id, struct err *err)
{
    int status = 0;
    if (!registry_http_call(sr->http, path, body, &status, &sr->answer, err))
        return subject != NULL ? err_wrap(err, "subject=%s", subject) : false;
    return (status >= 200 && status < 300) ||
           registry_refusal(sr->address.base, subject, id, status, sr->answer.data, sr->answer.len, err);
}

static bool bad_answer(const struct schema_registry *sr, struct err *err)
{
    return err_wrap(err, "schema registry %s", sr->address.base);
}

static void keep_given(struct schema_registry *sr, struct given *g, const char *subject, const char *schema,
                       uint32_t id)
{
    if (g == NULL) {
        g = xcalloc(1, sizeof *g);
        g->subject = xstrdup(subject);
        HASH_ADD_KEYPTR(hh, sr->given, g->subject, strlen(g->subject), g);
    }
    free(g->schema);
    g->schema = xstrdup(schema);
    g->id = id;
}

static bool put_locked(struct schema_registry *sr, struct journal_writer *jw, const char *subject,
                       const char *schema, uint32_t *ret_id, struct err *err)
{
    struct given *g;
    HASH_FIND_STR(sr->given, subject, g);
    if (g != NULL && strcmp(g->schema, schema) == 0) {
        *ret_id = g->id;
        return true;
    }
    char *path CLEANUP(free_ptr) = registry_versions_path(subject);
    char *body CLEANUP(free_ptr) = registry_put_body(schema);
    uint32_t id;
    if (body == NULL)
        return err_set(err, ERR_DATA, "subject=%s: the schema is not UTF-8", subject);
    if (!ask(sr, path, body, subject, 0, err))
        return false;
    if (!registry_read_id(sr->answer.data, sr->answer.len, &id, err))
        return bad_answer(sr, err);
    if (sr->home == SCHEMA_HOME_UNKNOWN) { /* in the unit of the first record that needs it */
        if (!schema_home_write(jw, sr->config.topic_prefix, sr->address.base, err))
            return false;
        sr->home = SCHEMA_HOME_REGISTRY;
    }
    keep_given(sr, g, subject, schema, id);
    *ret_id = id;
    return true;
}

static bool registry_put(struct schema_store *store, struct journal_writer *jw, const char *subject,
                         const char *format, const char *schema_json, uint32_t *ret_id, struct err *err)
{
    struct schema_registry *sr = (struct schema_registry *)store;
    if (strcmp(format, "avro") != 0)
        return err_set(err, ERR_CONFIG,
                       "journal.registry is for journal.format avro: with format %s remove journal.registry",
                       format);
    pthread_mutex_lock(&sr->lock);
    bool ok = put_locked(sr, jw, subject, schema_json, ret_id, err);
    pthread_mutex_unlock(&sr->lock);
    return ok;
}

static bool lookup_locked(struct schema_registry *sr, uint32_t id, const char **ret_json, struct err *err)
{
    struct known *k;
    HASH_FIND(hh, sr->known, &id, sizeof id, k);
    if (k == NULL) {
        char *path CLEANUP(free_ptr) = registry_id_path(id);
        char *schema = NULL;
        if (!check_home(sr, err) || !ask(sr, path, NULL, NULL, id, err))
            return false;
        if (!registry_read_schema(sr->answer.data, sr->answer.len, &schema, err))
            return bad_answer(sr, err);
        k = xcalloc(1, sizeof *k);
        k->id = id;
        k->schema = schema;
        HASH_ADD(hh, sr->known, id, sizeof k->id, k);
    }
    *ret_json = k->schema;
    return true;
}

static bool registry_lookup(struct schema_store *store, uint32_t id, const char **ret_json, struct err *err)
{
    struct schema_registry *sr = (struct schema_registry *)store;
    pthread_mutex_lock(&sr->lock);
    bool ok = lookup_locked(sr, id, ret_json, err);
    pthread_mutex_unlock(&sr->lock);
    return ok;
}

bool schema_registry_level(const struct journal_config *config, char **ret, struct err *err)
{
    struct schema_registry *sr = registry_new(config);
    bool ok = prepare(sr, err) && ask(sr, "/config", NULL, NULL, 0, err) &&
              (registry_read_level(sr->answer.data, sr->answer.len, ret, err) || bad_answer(sr, err));
    registry_close(&sr->base);
    return ok;
}

const struct schema_store_ops schema_store_registry = {
    .name = "registry",
    .shared = true,
    .open = registry_open,
    .put = registry_put,
    .lookup = registry_lookup,
    .close = registry_close,
};
