/* The journal: reachable, this pipeline's, this source's, with room on its disk; and capture's folder for
 * spilling. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "check.h"
#include "core/alloc.h"
#include "journal/claim_owner.h"
#include "journal/journal.h"
#include "journal/journal_settings.h"
#include "journal/schema_registry.h"
#include "journal_tail.h"

#define SIDE            "journal"
#define LOW_SPACE_BYTES (UINT64_C(1) << 30)

/* The folder that a new embedded journal would be made in; malloc'd. NULL: not an embedded one. */
static char *lmdb_folder(const char *url)
{
    const char *path = strstr(url, "lmdb:"); /* fault:…:lmdb:PATH as well */
    return path != NULL ? xstrdup(path + 5) : NULL;
}

/* Nearest folder that exists, in place. */
static void go_up_to_existing(char *path)
{
    while (access(path, F_OK) != 0 && errno == ENOENT) {
        char *slash = strrchr(path, '/');
        if (slash == NULL) {
            strcpy(path, ".");
            return;
        }
        slash[slash == path] = '\0';
        if (slash == path)
            return;
    }
}

static void check_space(struct check *ck, const char *name, const char *path)
{
    struct statvfs fs;
    if (statvfs(path, &fs) != 0)
        return;
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes < LOW_SPACE_BYTES)
        check_add(ck, SIDE, name, CHECK_WARN, "make room: capture halts when the disk is full",
                  "%" PRIu64 " MB free at %s", free_bytes / 1000000, path);
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* True if there is a journal to look into. */
static bool check_folder(struct check *ck, const char *url)
{
    char *path = lmdb_folder(url);
    if (path == NULL)
        return true;
    bool there = access(path, F_OK) == 0;
    if (!there) {
        char *existing = xstrdup(path);
        go_up_to_existing(existing);
        if (access(existing, W_OK | X_OK) != 0)
            check_add(ck, SIDE, "folder", CHECK_FAIL,
                      "create it and give it to the user that runs capture and apply",
                      "%s cannot be made: %s: %s", path, existing, strerror(errno));
        else
            check_add(ck, SIDE, "folder", CHECK_OK, NULL, "%s will be made", path);
        check_space(ck, "space", existing);
        free(existing);
    } else if (!is_folder(path)) {
        check_add(ck, SIDE, "folder", CHECK_FAIL, "change journal.url", "%s is not a folder", path);
        there = false;
    } else {
        check_space(ck, "space", path);
    }
    free(path);
    return there;
}

static void count_stream(void *ctx, const struct journal_stream_info *info UNUSED)
{
    size_t *count = ctx;
    (*count)++;
}

static const char *hint_for(enum err_code code)
{
    switch (code) {
    case ERR_IDENTITY:
        return "each pipeline needs a journal (or a Kafka topic prefix) of its own: change journal.url";
    case ERR_CONNECT:
    case ERR_TIMEOUT:
        return "start the broker, or mend journal.url";
    case ERR_AUTH:
        return "mend the credentials in journal.kafka";
    default:
        return "see the message";
    }
}

/* The last fence must be of this pipeline and of a history that the source still has. */
static bool check_fence(struct check *ck, const struct fence *fence, struct err *err)
{
    lsn_t source_lsn = 0; /* asked behind the fence: capture may be at work */
    if (ck->source_system_id != NULL && !check_source_lsn(ck, &source_lsn, err))
        return false;
    char id[24];
    (void)snprintf(id, sizeof id, "%" PRIu64, fence->source_system_id);
    if (strcmp(fence->pipeline, config_text(ck->cfg, "pipeline")) != 0)
        check_add(ck, SIDE, "pipeline", CHECK_FAIL, "change journal.url or journal.topic_prefix",
                  "it belongs to pipeline %s", fence->pipeline);
    else if (ck->source_system_id != NULL && strcmp(id, ck->source_system_id) != 0)
        check_add(
            ck, SIDE, "source", CHECK_FAIL, "the source was replaced: start a new copy with an empty journal",
            "it was written from another source (system identifier %s, now %s)", id, ck->source_system_id);
    else if (source_lsn != 0 && fence->lsn > source_lsn)
        check_add(ck, SIDE, "source", CHECK_FAIL,
                  "the source was restored from a backup: start a new copy with an empty journal",
                  "it is ahead of the source: last fence at " LSN_FMT ", WAL ends at " LSN_FMT,
                  LSN_ARGS(fence->lsn), LSN_ARGS(source_lsn));
    else if (fence->complete && ck->slot_missing)
        check_add(ck, SIDE, "last fence", CHECK_FAIL,
                  "start a new copy with an empty journal: docs/OPERATIONS.md, \"The journal is lost\"",
                  "fence %" PRIu64 " at " LSN_FMT " needs slot %s, which is gone from the source", fence->id,
                  LSN_ARGS(fence->lsn), ck->slot);
    else
        check_add(ck, SIDE, "last fence", CHECK_OK, NULL, "fence %" PRIu64 " at " LSN_FMT "%s", fence->id,
                  LSN_ARGS(fence->lsn), fence->complete ? "" : " (first copy under way)");
    return true;
}

static bool read_last_fence(struct check *ck, struct journal_reader *jr, const char *stream, struct err *err)
{
    struct journal_record rec;
    struct fence fence = {0};
    bool found = false;
    if (!journal_last(jr, stream, &rec, &found, err))
        return false;
    if (!found)
        return true;
    if (!fence_decode(rec.value, rec.value_len, &fence, err))
        return err_wrap(err, "topic=%s offset=%" PRIu64, stream, rec.offset);
    bool good = check_fence(ck, &fence, err);
    fence_release(&fence);
    return good;
}

static bool look_inside(struct check *ck, const struct journal_config *config, struct err *err)
{
    struct journal_reader *jr = NULL;
    size_t streams = 0;
    if (!journal_reader_open(config, NULL, &jr, err))
        return false;
    char *fences = journal_fence_stream(config->topic_prefix);
    bool good = journal_list(jr, count_stream, &streams, err);
    if (good) {
        check_add(ck, SIDE, "reachable", CHECK_OK, NULL, "%zu streams", streams);
        good = read_last_fence(ck, jr, fences, err);
    }
    free(fences);
    journal_reader_close(jr);
    return good;
}

static void check_registry(struct check *ck, const struct journal_config *config)
{
    char *level = NULL;
    struct err why = ERR_INIT;
    if (config->registry == NULL)
        return;
    if (strcmp(config_text(ck->cfg, "journal.format"), "avro") != 0)
        check_add(ck, SIDE, "registry", CHECK_FAIL, "set journal.format: avro, or remove journal.registry",
                  "journal.registry is for format avro alone");
    else if (!schema_registry_level(config, &level, &why))
        check_add(ck, SIDE, "registry", CHECK_FAIL, "see the message; mend journal.registry", "%s", why.text);
    else
        check_add(ck, SIDE, "registry", CHECK_OK, NULL, "answers; compatibility of new subjects: %s", level);
    free(level);
}

static void check_spill(struct check *ck)
{
    const char *path = config_text(ck->cfg, "capture.spill_dir");
    if (access(path, W_OK | X_OK) != 0)
        check_add(ck, SIDE, "capture.spill_dir", CHECK_FAIL, "create it, or set capture.spill_dir", "%s: %s",
                  path, strerror(errno));
    else
        check_space(ck, "capture.spill_dir", path);
}

/* Whose it is, is asked of the journal. */
static void check_claims_owner(struct check *ck, const struct journal_config *config)
{
    struct err why = ERR_INIT;
    bool taken = false;
    if (claim_owner_look(config, &taken, &why))
        check_add(ck, SIDE, "claim store", CHECK_OK, NULL, "%s%s", config->claim_store,
                  taken ? ", this pipeline's" : ": this pipeline has not used it yet");
    else if (why.code == ERR_IDENTITY)
        check_add(ck, SIDE, "claim store", CHECK_FAIL, "give the pipeline a journal.claim_store of its own",
                  "%s", why.text);
    else
        check_add(ck, SIDE, "claim store", CHECK_WARN, "see the message", "whose it is could not be told: %s",
                  why.text);
}

static void check_claims(struct check *ck, const struct journal_config *config)
{
    const char *path = config->claim_store;
    if (path == NULL) {
        if (config->claim_large)
            check_add(ck, SIDE, "claim store", CHECK_FAIL,
                      "set journal.claim_store to a directory that capture and apply share",
                      "journal.large_records is claim, and there is no journal.claim_store");
    } else if (access(path, R_OK | W_OK | X_OK) != 0) {
        check_add(ck, SIDE, "claim store", CHECK_FAIL,
                  "mount or create it, and give it to the user that runs capture and apply", "%s: %s", path,
                  strerror(errno));
    } else if (!is_folder(path)) {
        check_add(ck, SIDE, "claim store", CHECK_FAIL, "change journal.claim_store", "%s is not a folder",
                  path);
    } else {
        check_space(ck, "claim store", path);
        check_claims_owner(ck, config);
    }
}

bool check_journal(struct check *ck, struct err *err UNUSED)
{
    struct journal_config config;
    struct err why = ERR_INIT;
    journal_settings(ck->cfg, &config);
    check_spill(ck);
    check_registry(ck, &config);
    check_claims(ck, &config);
    if (check_folder(ck, config.url) && !look_inside(ck, &config, &why))
        check_add(ck, SIDE, "reachable", CHECK_FAIL, hint_for(why.code), "%s", why.text);
    return true;
}
