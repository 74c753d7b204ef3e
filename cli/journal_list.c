/* crossfade journal list: streams with sizes, and how far apply is behind in each. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/lag.h"
#include "journal_look.h"
#include "terminal.h"

#define TEXT_MAX ((size_t)64 << 20)

struct listing {
    const struct look *look;
    struct applied applied;
    struct lag lag;
    char *fence_stream;
};

static const char *kind_name(enum stream_kind kind)
{
    return kind == STREAM_FOREVER ? "forever" : "data";
}

/* False: not known, or none (schemas are nobody's backlog). */
static bool lag_of(const struct listing *l, const struct journal_stream_info *info, uint64_t *ret)
{
    if (!l->applied.known)
        return false;
    *ret = strcmp(info->name, l->fence_stream) == 0 ? l->lag.fences : lag_of_stream(&l->lag, info->name);
    return info->kind != STREAM_FOREVER || strcmp(info->name, l->fence_stream) == 0;
}

static void add_applied(const struct listing *l, json_t *line)
{
    char lsn[LSN_TEXT_MAX];
    if (!l->applied.known)
        return;
    json_object_set_new(line, "applied_fence", json_integer((json_int_t)l->applied.fence_id));
    json_object_set_new(line, "applied_lsn", json_string(lsn_format(l->applied.lsn, lsn)));
    json_object_set_new(line, "last_fence", json_integer((json_int_t)l->lag.last_id));
    json_object_set_new(line, "last_lsn", json_string(lsn_format(l->lag.last_lsn, lsn)));
    json_object_set_new(line, "changes_behind", json_integer((json_int_t)l->lag.changes));
}

static void print_json(const struct listing *l)
{
    for (size_t i = 0; i < l->look->streams.count; i++) {
        const struct journal_stream_info *info = &l->look->streams.infos[i];
        uint64_t lag;
        bool has_lag = lag_of(l, info, &lag);
        json_t *line =
            json_pack("{s:s, s:s, s:i, s:I, s:o, s:o}", "stream", info->name, "kind", kind_name(info->kind),
                      "partitions", (int)info->partition_count, "records", (json_int_t)info->records, "bytes",
                      info->bytes != 0 ? json_integer((json_int_t)info->bytes) : json_null(), "lag",
                      has_lag ? json_integer((json_int_t)lag) : json_null());
        if (strcmp(info->name, l->fence_stream) == 0)
            add_applied(l, line);
        char *text = json_dumps(line, JSON_COMPACT);
        (void)puts(text != NULL ? text : "{}");
        free(text);
        json_decref(line);
    }
}

static void add_stream(const struct listing *l, const struct journal_stream_info *info, int width,
                       struct strbuf *out)
{
    struct strbuf records = STRBUF_INIT(100), bytes = STRBUF_INIT(100), behind = STRBUF_INIT(100);
    uint64_t lag;
    human_count(&records, (double)info->records);
    if (info->bytes != 0)
        human_bytes(&bytes, (double)info->bytes);
    if (lag_of(l, info, &lag))
        human_count(&behind, (double)lag);
    strbuf_addf(out, "%-*s  %-8s %10d %14s %10s %12s\n", width, info->name, kind_name(info->kind),
                (int)info->partition_count, records.data, bytes.len > 0 ? bytes.data : "-",
                behind.len > 0 ? behind.data : "-");
    strbuf_release(&records);
    strbuf_release(&bytes);
    strbuf_release(&behind);
}

static void add_position(const struct listing *l, struct strbuf *out)
{
    char applied[LSN_TEXT_MAX], last[LSN_TEXT_MAX];
    if (!l->applied.known) {
        strbuf_addf(out, "apply: the target cannot be asked (%s)\n", l->applied.why);
        return;
    }
    strbuf_addf(out, "apply: fence %llu at lsn=%s of %llu at lsn=%s, ",
                (unsigned long long)l->applied.fence_id, lsn_format(l->applied.lsn, applied),
                (unsigned long long)l->lag.last_id, lsn_format(l->lag.last_lsn, last));
    human_count(out, (double)l->lag.changes);
    strbuf_adds(out, " changes behind\n");
}

static void print_text(const struct listing *l)
{
    struct strbuf out = STRBUF_INIT(TEXT_MAX);
    int width = 6;
    for (size_t i = 0; i < l->look->streams.count; i++)
        width = MAX_OF(width, (int)strlen(l->look->streams.infos[i].name));
    strbuf_addf(&out, "%-*s  %-8s %10s %14s %10s %12s\n", width, "STREAM", "KIND", "PARTITIONS", "RECORDS",
                "BYTES", "LAG");
    for (size_t i = 0; i < l->look->streams.count; i++)
        add_stream(l, &l->look->streams.infos[i], width, &out);
    add_position(l, &out);
    (void)fputs(out.data, stdout);
    strbuf_release(&out);
}

int journal_list_streams(struct look *look)
{
    struct listing l = {.look = look, .fence_stream = journal_fence_stream(look->config.topic_prefix)};
    struct err err = ERR_INIT;
    bool ok = look_applied(look, &l.applied, &err);
    ok = ok &&
         (!l.applied.known || lag_read(look->reader, l.fence_stream, l.applied.next_offset, &l.lag, &err));
    if (ok && cli_flag(look->cli, "json") != NULL)
        print_json(&l);
    else if (ok)
        print_text(&l);
    lag_release(&l.lag);
    free(l.fence_stream);
    return ok ? CLI_EXIT_OK : cli_error(look->cli, &err);
}
