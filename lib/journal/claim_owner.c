/* See claim_owner.h. */
#include "claim_owner.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"
#include "journal_impl.h"

#define OWNER      "owner.json"
#define OWNER_MAX  4096
#define TAKE_TRIES 3

/* *ret NULL: nobody has taken it. */
static bool read_owner(struct claim_store *cs, json_t **ret, struct err *err)
{
    long long size = 0;
    char text[OWNER_MAX + 1] = "";
    *ret = NULL;
    if (!claim_store_size(cs, OWNER, &size, err))
        return false;
    if (size < 0)
        return true;
    if (size <= OWNER_MAX && !claim_store_get(cs, OWNER, text, (size_t)size, err))
        return false;
    *ret = json_loads(text, 0, NULL);
    if (*ret != NULL)
        return true;
    char *path CLEANUP(free_ptr) = claim_store_path(cs, OWNER);
    return err_set(err, ERR_PROTOCOL,
                   "claim store (journal.claim_store): %s is damaged; it says whose the files beside it are. "
                   "If they are "
                   "this pipeline's, remove it",
                   path);
}

static bool check_owner(struct claim_store *cs, const json_t *owner, const struct journal_config *config,
                        const char *identity, struct err *err)
{
    const char *journal = json_string_value(json_object_get(owner, "journal")),
               *pipeline = json_string_value(json_object_get(owner, "pipeline"));
    if (journal != NULL && pipeline != NULL && strcmp(journal, identity) == 0 &&
        strcmp(pipeline, config->pipeline) == 0)
        return true;
    char *path CLEANUP(free_ptr) = claim_store_path(cs, OWNER);
    return err_set(
        err, ERR_IDENTITY,
        "claim store (journal.claim_store): %s says that the directory is that of pipeline %s on journal %s; "
        "this "
        "is pipeline %s on %s, and either would delete the other's files. Give each a journal.claim_store of "
        "its "
        "own. If the other one is gone for good (the cluster was made anew), remove that directory",
        path, pipeline != NULL ? pipeline : "?", journal != NULL ? journal : "?", config->pipeline, identity);
}

static bool put_owner(struct claim_store *cs, const struct journal_config *config, const char *identity,
                      bool *ret_put, struct err *err)
{
    json_t *owner = json_pack("{s:s, s:s, s:s}", "journal", identity, "pipeline", config->pipeline,
                              "topic_prefix", config->topic_prefix);
    char *text CLEANUP(free_ptr) = owner != NULL ? json_dumps(owner, JSON_COMPACT) : NULL;
    json_decref(owner);
    if (text == NULL)
        return err_set(err, ERR_CONFIG, "pipeline, or the journal's identity, is not UTF-8");
    struct claim_text piece = {text, strlen(text)};
    const struct claim_source source = {claim_text_next, &piece};
    return claim_store_put_new(cs, OWNER, &source, ret_put, err);
}

bool claim_owner_take(struct claim_store *cs, const struct journal_config *config, const char *identity,
                      struct err *err)
{
    for (int tries = 0; tries < TAKE_TRIES; tries++) {
        json_t *owner = NULL;
        bool put = false;
        if (!read_owner(cs, &owner, err))
            return false;
        if (owner != NULL) {
            bool ok = check_owner(cs, owner, config, identity, err);
            json_decref(owner);
            return ok;
        }
        if (!put_owner(cs, config, identity, &put, err))
            return false;
        if (put) {
            log_event(LOG_LEVEL_INFO, "claim_store_taken", "pipeline=%s journal=%s", config->pipeline,
                      identity);
            return true;
        } /* else somebody was quicker: who? */
    }
    return err_set(err, ERR_TRANSIENT, "claim store (journal.claim_store): " OWNER " comes and goes");
}

static bool ask_identity(const struct journal_config *config, char **ret, struct err *err)
{
    struct journal_reader *jr = NULL;
    const struct journal_impl *impl = journal_impl_for(config->url, err);
    *ret = NULL;
    if (impl == NULL)
        return false;
    if (impl->identity == NULL)
        return true;
    if (!impl->reader->open(config, NULL, &jr, err))
        return false;
    bool ok = impl->identity(jr, ret, err);
    jr->ops->close(jr);
    return ok;
}

bool claim_owner_look(const struct journal_config *config, bool *ret_taken, struct err *err)
{
    struct claim_store *cs = NULL;
    char *identity CLEANUP(free_ptr) = NULL;
    json_t *owner = NULL;
    *ret_taken = false;
    if (!ask_identity(config, &identity, err))
        return false;
    if (identity == NULL)
        return true;
    if (!claim_store_open(config->claim_store, config->topic_prefix, &cs, err))
        return false;
    bool ok = read_owner(cs, &owner, err);
    *ret_taken = owner != NULL;
    ok = ok && (owner == NULL || check_owner(cs, owner, config, identity, err));
    json_decref(owner);
    claim_store_close(cs);
    return ok;
}
