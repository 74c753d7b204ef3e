/*
 * The front of the journal: chooses the implementation by URL, and the wrappers that are the only way to call
 * one. They hold callers to the contract of journal.h: after a failed call only close is left, arguments are
 * in range.
 */
#include "journal/journal.h"

#include <fnmatch.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "claims.h"
#include "core/alive.h"
#include "core/alloc.h"
#include "core/log.h"
#include "journal_impl.h"

/* Kafka's limit for topic names. */
#define STREAM_NAME_MAX 249

static const struct journal_impl *const impls[] = {&journal_impl_lmdb, &journal_impl_kafka,
                                                   &journal_impl_fault};

const struct journal_impl *journal_impl_for(const char *url, struct err *err)
{
    const char *colon = url != NULL ? strchr(url, ':') : NULL;
    size_t len = colon != NULL ? (size_t)(colon - url) : 0;
    for (size_t i = 0; i < ARRAY_LEN(impls) && len > 0; i++) {
        if (strlen(impls[i]->scheme) == len && strncmp(impls[i]->scheme, url, len) == 0)
            return impls[i];
    }
    char masked[300];
    err_set(err, ERR_CONFIG, "journal url \"%s\" is not kafka://host:port,… or lmdb:PATH",
            log_mask_url(url != NULL ? url : "", masked, sizeof masked));
    return NULL;
}

static char *dup_or_null(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

void journal_config_copy(struct journal_config *ret, const struct journal_config *config)
{
    *ret = *config;
    ret->url = xstrdup(config->url);
    ret->pipeline = xstrdup(config->pipeline);
    ret->topic_prefix = xstrdup(config->topic_prefix);
    ret->registry = dup_or_null(config->registry);
    ret->registry_user = dup_or_null(config->registry_user);
    ret->registry_password = dup_or_null(config->registry_password);
    ret->registry_ca = dup_or_null(config->registry_ca);
    ret->claim_store = dup_or_null(config->claim_store);
    size_t count = 0;
    while (config->kafka_properties != NULL && config->kafka_properties[count] != NULL)
        count++;
    char **properties = xcalloc(count + 1, sizeof *properties);
    for (size_t i = 0; i < count; i++)
        properties[i] = xstrdup(config->kafka_properties[i]);
    ret->kafka_properties = (const char *const *)properties;
}

void journal_config_free(struct journal_config *copy)
{
    free((char *)copy->url);
    free((char *)copy->pipeline);
    free((char *)copy->topic_prefix);
    free((char *)copy->registry);
    free((char *)copy->registry_user);
    free((char *)copy->registry_password);
    free((char *)copy->registry_ca);
    free((char *)copy->claim_store);
    for (size_t i = 0; copy->kafka_properties != NULL && copy->kafka_properties[i] != NULL; i++)
        free((char *)copy->kafka_properties[i]);
    free((void *)copy->kafka_properties);
}

static bool config_ok(const struct journal_config *config, struct err *err)
{
    if (config->pipeline == NULL || config->pipeline[0] == '\0' || config->topic_prefix == NULL ||
        config->topic_prefix[0] == '\0')
        return err_set(err, ERR_CONFIG, "the journal needs pipeline and journal.topic_prefix");
    if (strlen(config->pipeline) > 63 || strlen(config->topic_prefix) > 200)
        return err_set(err, ERR_CONFIG,
                       "pipeline (at most 63 bytes) or journal.topic_prefix (200) is too long");
    return true;
}

static bool name_ok(const char *name, struct err *err)
{
    size_t len = strlen(name);
    if (len == 0 || len > STREAM_NAME_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return err_set(err, ERR_CONFIG,
                       "stream name \"%.40s…\" has %zu bytes, 1 to %d are allowed: shorten %s", name, len,
                       STREAM_NAME_MAX, "journal.topic_prefix or the table's name");
    for (const char *p = name; *p != '\0'; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!letter && *p != '.' && *p != '_' && *p != '-')
            return err_set(err, ERR_CONFIG, "stream name \"%s\" may only have letters, digits and . _ -",
                           name);
    }
    return true;
}

static bool usable(const struct journal_writer *jw, struct err *err)
{
    return !jw->failed ||
           err_set(err, ERR_BUG, "the journal was used after a failed call; it has to be opened anew");
}

static bool writer_result(struct journal_writer *jw, bool ok)
{
    jw->failed = !ok;
    return ok;
}

bool journal_writer_open(const struct journal_config *config, struct journal_writer **ret, struct err *err)
{
    const struct journal_impl *impl = journal_impl_for(config->url, err);
    if (impl == NULL || !config_ok(config, err))
        return false;
    struct journal_writer *jw = NULL;
    alive_wait_begin(); /* for a broker */
    bool open = impl->writer->open(config, &jw, err);
    alive_wait_end();
    if (!open)
        return false;
    BUG_UNLESS(jw != NULL && jw->ops != NULL);
    /* A decorator's claims are those of the journal behind it. */
    if (impl != &journal_impl_fault && !claim_writer_open(config, impl, &jw->claims, err)) {
        jw->ops->close(jw);
        return false;
    }
    *ret = jw;
    return true;
}

bool journal_stream(struct journal_writer *jw, const char *name, enum stream_kind kind, int *ret_id,
                    struct err *err)
{
    BUG_UNLESS(name != NULL && (kind == STREAM_DATA || kind == STREAM_FOREVER));
    if (!usable(jw, err))
        return false;
    bool ok = writer_result(jw, name_ok(name, err) && jw->ops->stream(jw, name, kind, ret_id, err));
    if (ok && jw->claims != NULL)
        claim_writer_note_stream(jw->claims, *ret_id, name, kind);
    return ok;
}

bool journal_append(struct journal_writer *jw, int stream_id, const struct journal_record *rec,
                    struct err *err)
{
    BUG_UNLESS(stream_id >= 0 && rec->partition >= -1 && rec->header_count <= JOURNAL_HEADERS_MAX);
    if (!usable(jw, err))
        return false;
    if (jw->claims != NULL && claim_writer_wants(jw->claims, jw, stream_id, rec))
        return writer_result(jw, claim_writer_append(jw->claims, jw, stream_id, rec, err));
    return writer_result(jw, jw->ops->append(jw, stream_id, rec, err));
}

bool journal_flush(struct journal_writer *jw, const struct journal_range **ret_ranges, size_t *ret_count,
                   struct err *err)
{
    if (!usable(jw, err))
        return false;
    return writer_result(jw, jw->ops->flush(jw, ret_ranges, ret_count, err));
}

bool journal_commit(struct journal_writer *jw, struct err *err)
{
    if (!usable(jw, err))
        return false;
    if (jw->claims == NULL)
        return writer_result(jw, jw->ops->commit(jw, err));
    bool ok = claim_writer_before_commit(jw->claims, jw, err) && jw->ops->commit(jw, err) &&
              claim_writer_committed(jw->claims, err);
    jw->claiming = false; /* (after a failure nothing is written any more) */
    return writer_result(jw, ok);
}

bool journal_trim(struct journal_writer *jw, struct err *err)
{
    if (!usable(jw, err))
        return false;
    return writer_result(jw, jw->ops->trim(jw, err) &&
                                 (jw->claims == NULL || claim_writer_trim(jw->claims, err)));
}

void journal_writer_numbers(struct journal_writer *jw, struct journal_numbers *ret)
{
    *ret = (struct journal_numbers){.bytes = -1, .records = -1, .queued = -1};
    if (!jw->failed && jw->ops->numbers != NULL)
        jw->ops->numbers(jw, ret);
}

void journal_writer_close(struct journal_writer *jw)
{
    if (jw == NULL)
        return;
    claim_writer_close(jw->claims);
    jw->ops->close(jw);
}

static bool reader_name_ok(const char *name, struct err *err)
{
    if (name == NULL)
        return true;
    if (strlen(name) > 64 || strchr(name, '/') != NULL || name[0] == '.')
        return err_set(err, ERR_CONFIG, "reader name \"%.70s\" has to be a short word", name);
    return name_ok(name, err);
}

bool journal_reader_open(const struct journal_config *config, const char *reader_name,
                         struct journal_reader **ret, struct err *err)
{
    const struct journal_impl *impl = journal_impl_for(config->url, err);
    if (impl == NULL || !config_ok(config, err) || !reader_name_ok(reader_name, err))
        return false;
    struct journal_reader *jr = NULL;
    alive_wait_begin();
    bool open = impl->reader->open(config, reader_name, &jr, err);
    alive_wait_end();
    if (!open)
        return false;
    BUG_UNLESS(jr != NULL && jr->ops != NULL);
    if (impl != &journal_impl_fault)
        jr->claims = claim_reader_new(config);
    *ret = jr;
    return true;
}

bool journal_list(struct journal_reader *jr, void (*each)(void *ctx, const struct journal_stream_info *info),
                  void *ctx, struct err *err)
{
    return jr->ops->list(jr, each, ctx, err);
}

bool journal_bounds(struct journal_reader *jr, const char *stream, int32_t partition, uint64_t *ret_first,
                    uint64_t *ret_next, struct err *err)
{
    BUG_UNLESS(stream != NULL && partition >= 0);
    return jr->ops->bounds(jr, stream, partition, ret_first, ret_next, err);
}

bool journal_bounds_around(struct journal_reader *jr, const char *stream, int32_t partition, uint64_t offset,
                           uint64_t *ret_first, uint64_t *ret_next, struct err *err)
{
    for (int tries = 0;; tries++) {
        if (!journal_bounds(jr, stream, partition, ret_first, ret_next, err))
            return false;
        if ((*ret_first <= offset && offset <= *ret_next) || tries == ASK_AGAIN_MAX)
            return true;
        (void)poll(NULL, 0, ASK_AGAIN_MS);
    }
}

bool journal_assign(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                    struct err *err)
{
    for (size_t i = 0; i < count; i++)
        BUG_UNLESS(ranges[i].stream != NULL && ranges[i].partition >= 0 &&
                   ranges[i].first_offset <= ranges[i].next_offset);
    return jr->ops->assign(jr, ranges, count, err);
}

enum journal_next journal_next(struct journal_reader *jr, int timeout_ms, struct journal_record *ret,
                               struct err *err)
{
    enum journal_next got = jr->ops->next(jr, timeout_ms, ret, err);
    if (got == JOURNAL_RECORD && ret->header_count > 0 && jr->claims != NULL &&
        !claim_reader_resolve(jr->claims, ret, err))
        return JOURNAL_ERROR;
    return got;
}

bool journal_position(struct journal_reader *jr, const char *stream, int32_t partition, uint64_t *ret)
{
    return jr->ops->position != NULL && jr->ops->position(jr, stream, partition, ret);
}

bool journal_take(struct journal_reader *jr, int timeout_ms, struct journal_record *ret, bool *ret_end,
                  struct err *err)
{
    enum journal_next got = journal_next(jr, timeout_ms, ret, err);
    *ret_end = got == JOURNAL_END;
    if (got == JOURNAL_IDLE)
        return err_set(err, ERR_TIMEOUT, "the journal gave no record within %d s", timeout_ms / 1000);
    return got != JOURNAL_ERROR;
}

bool journal_confirm(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                     uint64_t fence_offset, struct err *err)
{
    return jr->ops->confirm(jr, ranges, count, fence_offset, err);
}

void journal_reader_close(struct journal_reader *jr)
{
    if (jr == NULL)
        return;
    claim_reader_free(jr->claims);
    jr->ops->close(jr);
}

bool journal_foreign_fits(const char *const *patterns, const char *topic)
{
    bool fits = false;
    for (; *patterns != NULL; patterns++) {
        bool excludes = **patterns == '!';
        if (fnmatch(*patterns + excludes, topic, 0) == 0)
            fits = !excludes;
    }
    return fits;
}

char *journal_fence_stream(const char *topic_prefix)
{
    return xasprintf("%s.fence", topic_prefix);
}

char *journal_schema_stream(const char *topic_prefix)
{
    return xasprintf("%s.schemas", topic_prefix);
}
