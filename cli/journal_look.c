/* See journal_look.h. */
#include "journal_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change/fence.h"
#include "config/suggest.h"
#include "core/alloc.h"
#include "journal/journal_settings.h"
#include "journal_tail.h"
#include "maria/url.h"
#include "pg/conn.h"

#define TARGET_WAIT_S 5

static void keep_info(void *ctx, const struct journal_stream_info *info)
{
    struct stream_list *list = ctx;
    list->infos = xrealloc(list->infos, (list->count + 1) * sizeof *list->infos);
    list->infos[list->count++] = *info;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct journal_stream_info *)a)->name,
                  ((const struct journal_stream_info *)b)->name);
}

bool look_flags(struct look *look)
{
    const struct cli *cli = look->cli;
    const char *lsn = cli_flag(cli, "from-lsn");
    if (!cli_flag_int(cli, "from", 0, INT64_MAX, -1, &look->from) ||
        !cli_flag_int(cli, "last", 0, JOURNAL_TAIL_MAX, -1, &look->last) ||
        !cli_flag_int(cli, "count", 0, INT64_MAX, -1, &look->count) ||
        !cli_flag_int(cli, "partition", 0, INT32_MAX, -1, &look->partition))
        return false;
    look->has_lsn = lsn != NULL;
    if (lsn != NULL && !lsn_parse(lsn, &look->from_lsn)) {
        (void)cli_usage_error(cli, "--from-lsn: found \"%s\", expected an LSN such as 16/B374D848", lsn);
        return false;
    }
    if ((lsn != NULL) + (look->from >= 0) + (look->last >= 0) > 1) {
        (void)cli_usage_error(cli, "--from, --last and --from-lsn exclude each other");
        return false;
    }
    return true;
}

/* One that is missing, cannot be read or does not parse is for the verb to tell. */
static bool check_last_fence(struct look *look, const char *stream, struct err *err)
{
    struct journal_record last;
    struct fence fence;
    struct err why = ERR_INIT;
    bool found = false;
    if (!journal_last(look->reader, stream, &last, &found, &why) || !found)
        return true;
    if (fence_decode(last.value, last.value_len, &fence, &why)) {
        fence_release(&fence);
        return true;
    }
    return why.code != ERR_UNSUPPORTED || err_set(err, why.code, "topic=%s offset=%llu: %s", stream,
                                                  (unsigned long long)last.offset, why.text);
}

/* A journal that others write has no fences. */
static bool check_format(struct look *look, struct err *err)
{
    char *stream CLEANUP(free_ptr) = journal_fence_stream(look->config.topic_prefix);
    for (size_t i = 0; i < look->streams.count; i++) {
        if (strcmp(look->streams.infos[i].name, stream) == 0)
            return check_last_fence(look, stream, err);
    }
    return true;
}

bool look_open(struct look *look, struct err *err)
{
    journal_settings(look->cli->cfg, &look->config);
    if (!journal_reader_open(&look->config, NULL, &look->reader, err) ||
        !journal_list(look->reader, keep_info, &look->streams, err))
        return false;
    if (look->streams.count > 0)
        qsort(look->streams.infos, look->streams.count, sizeof *look->streams.infos, by_name);
    return check_format(look, err);
}

void look_release(struct look *look)
{
    free(look->streams.infos);
    journal_reader_close(look->reader);
}

const struct journal_stream_info *look_find(const struct look *look, const char *name)
{
    const char *best = NULL;
    size_t distance = SIZE_MAX;
    char *full = xasprintf("%s.%s", look->config.topic_prefix, name);
    const struct journal_stream_info *found = NULL;
    for (size_t i = 0; i < look->streams.count; i++) {
        const struct journal_stream_info *info = &look->streams.infos[i];
        suggest_consider(full, info->name, &best, &distance);
        suggest_consider(name, info->name, &best, &distance);
        if (strcmp(info->name, name) == 0 || (found == NULL && strcmp(info->name, full) == 0))
            found = info;
    }
    if (found == NULL && best != NULL && suggest_is_near(full, distance))
        (void)cli_usage_error(look->cli, "the journal has no stream %s (did you mean %s?)", name, best);
    else if (found == NULL)
        (void)cli_usage_error(look->cli, "the journal has no stream %s (crossfade journal list names all)",
                              name);
    free(full);
    return found;
}

/* Several shards: the one that is furthest behind. */
static bool ask_target(struct pg_conn *conn, const char *pipeline, struct applied *ret, struct err *err)
{
    static const char sql[] =
        "SELECT fence_id, fence_offset + 1, lsn FROM crossfade.position WHERE pipeline = $1"
        " ORDER BY fence_id LIMIT 1";
    PG_RESULT_AUTO there = NULL;
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(conn, "SELECT to_regclass('crossfade.position') IS NOT NULL", 0, NULL, &there, err))
        return false;
    ret->known = true;
    if (!pg_cell_bool(there, 0, 0))
        return true;
    if (!pg_query(conn, sql, 1, &pipeline, &res, err))
        return false;
    if (pg_rows(res) == 0)
        return true;
    ret->fence_id = (uint64_t)pg_cell_int64(res, 0, 0);
    ret->next_offset = (uint64_t)pg_cell_int64(res, 0, 1);
    return lsn_parse(pg_cell(res, 0, 2), &ret->lsn) ||
           err_set(err, ERR_PROTOCOL, "crossfade.position has lsn=%s", pg_cell(res, 0, 2));
}

bool look_applied(const struct look *look, struct applied *ret, struct err *err)
{
    const struct pg_options options = {.application_name = "crossfade journal",
                                       .connect_timeout_s = TARGET_WAIT_S};
    const char *url = config_text(look->cli->cfg, "target.url");
    struct pg_conn *conn = NULL;
    struct err why = ERR_INIT;
    *ret = (struct applied){.known = false};
    if (!pg_open(url, &options, &conn, &why) || !ask_target(conn, look->config.pipeline, ret, &why)) {
        ret->known = false;
        (void)snprintf(ret->why, sizeof ret->why, "%s", why.text);
    }
    pg_close(conn);
    if (why.code != ERR_UNSUPPORTED || maria_is_url(url)) /* MariaDB's is not asked: `why` says so */
        return true;
    *err = why;
    return err_wrap(err, "target");
}
