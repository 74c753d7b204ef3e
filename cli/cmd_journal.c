/* crossfade journal list|cat|follow|fences: looks into the journal as an unregistered reader. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "config/suggest.h"
#include "core/alloc.h"
#include "journal/journal.h"
#include "journal/journal_settings.h"
#include "journal_tail.h"
#include "record_json.h"
#include "terminal.h"

#define LINE_BYTES_MAX  ((size_t)1 << 30)
#define IDLE_TIMEOUT_MS 500
#define READ_TIMEOUT_MS 30000

const struct cli_flag journal_flags[] = {
    {"from", "OFFSET", "cat, follow, fences: begin at this offset of each partition"},
    {"last", "N", "cat, follow, fences: begin N records before the end of each partition"},
    {"count", "N", "cat, follow, fences: end after N records"},
    {"partition", "P", "cat, follow: this partition only"},
    {"json", NULL, "list: one JSON object per stream (records are always JSON)"},
    {NULL, NULL, NULL},
};

struct stream_list {
    struct journal_stream_info *infos;
    size_t count;
};

struct look {
    const struct cli *cli;
    struct journal_config config;
    struct journal_reader *reader;
    struct stream_list streams;
    int64_t from, last, count, partition; /* -1 = not given */
};

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

static bool look_open(struct look *look, struct err *err)
{
    journal_settings(look->cli->cfg, &look->config);
    if (!journal_reader_open(&look->config, NULL, &look->reader, err) ||
        !journal_list(look->reader, keep_info, &look->streams, err))
        return false;
    if (look->streams.count > 0)
        qsort(look->streams.infos, look->streams.count, sizeof *look->streams.infos, by_name);
    return true;
}

static void look_release(struct look *look)
{
    free(look->streams.infos);
    journal_reader_close(look->reader);
}

static const char *kind_name(enum stream_kind kind)
{
    return kind == STREAM_FOREVER ? "forever" : "data";
}

static void list_json(const struct stream_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct journal_stream_info *info = &list->infos[i];
        json_t *line =
            json_pack("{s:s, s:s, s:i, s:I, s:o}", "stream", info->name, "kind", kind_name(info->kind),
                      "partitions", (int)info->partition_count, "records", (json_int_t)info->records, "bytes",
                      info->bytes != 0 ? json_integer((json_int_t)info->bytes) : json_null());
        char *text = json_dumps(line, JSON_COMPACT);
        (void)puts(text != NULL ? text : "{}");
        free(text);
        json_decref(line);
    }
}

static void list_text(const struct stream_list *list)
{
    struct strbuf out = STRBUF_INIT(LINE_BYTES_MAX);
    size_t width = 6;
    for (size_t i = 0; i < list->count; i++)
        width = MAX_OF(width, strlen(list->infos[i].name));
    strbuf_addf(&out, "%-*s  %-8s %10s %14s %10s\n", (int)width, "STREAM", "KIND", "PARTITIONS", "RECORDS",
                "BYTES");
    for (size_t i = 0; i < list->count; i++) {
        const struct journal_stream_info *info = &list->infos[i];
        struct strbuf records = STRBUF_INIT(100), bytes = STRBUF_INIT(100);
        human_count(&records, (double)info->records);
        if (info->bytes != 0)
            human_bytes(&bytes, (double)info->bytes);
        strbuf_addf(&out, "%-*s  %-8s %10d %14s %10s\n", (int)width, info->name, kind_name(info->kind),
                    (int)info->partition_count, records.data, bytes.len > 0 ? bytes.data : "-");
        strbuf_release(&records);
        strbuf_release(&bytes);
    }
    (void)fputs(out.data, stdout);
    strbuf_release(&out);
}

/* The stream of this name, with or without the prefix; says so and gives NULL if there is none. */
static const struct journal_stream_info *find_stream(const struct look *look, const char *name)
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

/* Where to begin and end in each partition. malloc'd. */
static bool make_ranges(struct look *look, const struct journal_stream_info *info, bool follow,
                        struct journal_range **ret, size_t *ret_count, struct err *err)
{
    struct journal_range *ranges = xcalloc((size_t)info->partition_count + 1, sizeof *ranges);
    size_t count = 0;
    for (int32_t p = 0; p < info->partition_count; p++) {
        uint64_t first, next;
        if (look->partition >= 0 && look->partition != p)
            continue;
        if (!journal_bounds(look->reader, info->name, p, &first, &next, err)) {
            free(ranges);
            return false;
        }
        uint64_t start = follow ? next : first;
        if (look->from >= 0)
            start = (uint64_t)look->from;
        else if (look->last == 0)
            start = next;
        else if (look->last > 0 &&
                 !journal_tail(look->reader, info->name, p, first, next, (uint64_t)look->last, &start, err)) {
            free(ranges);
            return false;
        }
        if (follow || start < next)
            ranges[count++] = (struct journal_range){.stream = info->name,
                                                     .partition = p,
                                                     .first_offset = start,
                                                     .next_offset = follow ? JOURNAL_FOLLOW : next};
    }
    *ret = ranges;
    *ret_count = count;
    return true;
}

/* A fence as it is, with its offset. */
static bool print_fence(const struct journal_record *rec, struct strbuf *out, struct err *err)
{
    json_error_t why;
    json_t *fence = json_loadb(rec->value, rec->value_len, 0, &why);
    if (!json_is_object(fence)) {
        json_decref(fence);
        return err_set(err, ERR_PROTOCOL, "topic=%s offset=%llu: the fence is not a JSON object: %s",
                       rec->stream, (unsigned long long)rec->offset, why.text);
    }
    json_object_set_new(fence, "offset", json_integer((json_int_t)rec->offset));
    char *text = json_dumps(fence, JSON_COMPACT);
    strbuf_adds(out, text != NULL ? text : "{}");
    strbuf_addc(out, '\n');
    free(text);
    json_decref(fence);
    return strbuf_ok(out, "fence", err);
}

static bool print_records(struct look *look, bool follow, bool fences, struct err *err)
{
    struct record_printer *printer = record_printer_new(&look->config);
    struct strbuf line = STRBUF_INIT(LINE_BYTES_MAX);
    bool good = true;
    int64_t left = look->count >= 0 ? look->count : INT64_MAX;
    while (good && left > 0 && !ferror(stdout)) {
        struct journal_record rec;
        enum journal_next next =
            journal_next(look->reader, follow ? IDLE_TIMEOUT_MS : READ_TIMEOUT_MS, &rec, err);
        if (next == JOURNAL_END)
            break;
        if (next == JOURNAL_IDLE && !follow)
            good =
                err_set(err, ERR_TIMEOUT, "the journal gave no record within %d s", READ_TIMEOUT_MS / 1000);
        if (next == JOURNAL_ERROR)
            good = false;
        if (next != JOURNAL_RECORD)
            continue;
        strbuf_clear(&line);
        good = fences && rec.value != NULL ? print_fence(&rec, &line, err)
                                           : record_print(printer, &rec, &line, err);
        if (good)
            (void)fwrite(line.data, 1, line.len, stdout);
        if (follow)
            (void)fflush(stdout);
        left--;
    }
    strbuf_release(&line);
    record_printer_free(printer);
    return good;
}

static int print_stream(struct look *look, const char *name, bool follow, bool fences)
{
    struct err err = ERR_INIT;
    struct journal_range *ranges = NULL;
    size_t count = 0;
    const struct journal_stream_info *info = find_stream(look, name);
    if (info == NULL)
        return CLI_EXIT_USAGE;
    if (look->partition >= info->partition_count)
        return cli_usage_error(look->cli, "--partition: stream %s has partitions 0 to %d", info->name,
                               (int)info->partition_count - 1);
    if (follow)
        cli_signals_end_well();
    bool good = make_ranges(look, info, follow, &ranges, &count, &err);
    if (good && count > 0)
        good = journal_assign(look->reader, ranges, count, &err) && print_records(look, follow, fences, &err);
    free(ranges);
    return good ? CLI_EXIT_OK : cli_error(look->cli, &err);
}

static int run_verb(struct look *look, const char *verb)
{
    const struct cli *cli = look->cli;
    if (strcmp(verb, "list") == 0) {
        if (cli_flag(cli, "json") != NULL)
            list_json(&look->streams);
        else
            list_text(&look->streams);
        return CLI_EXIT_OK;
    }
    if (strcmp(verb, "fences") == 0) {
        char *name = journal_fence_stream(look->config.topic_prefix);
        int code = print_stream(look, name, false, true);
        free(name);
        return code;
    }
    return print_stream(look, cli_arg(cli, 1), strcmp(verb, "follow") == 0, false);
}

int cmd_journal(struct cli *cli)
{
    const char *verb = cli_arg(cli, 0);
    bool named = strcmp(verb, "cat") == 0 || strcmp(verb, "follow") == 0;
    bool known = named || strcmp(verb, "list") == 0 || strcmp(verb, "fences") == 0;
    if (!known || cli->arg_count != (named ? 2u : 1u))
        return cli_usage_error(cli, "expected %s", cli->command->usage);
    struct look look = {.cli = cli};
    struct err err = ERR_INIT;
    if (!cli_flag_int(cli, "from", 0, INT64_MAX, -1, &look.from) ||
        !cli_flag_int(cli, "last", 0, JOURNAL_TAIL_MAX, -1, &look.last) ||
        !cli_flag_int(cli, "count", 0, INT64_MAX, -1, &look.count) ||
        !cli_flag_int(cli, "partition", 0, INT32_MAX, -1, &look.partition))
        return CLI_EXIT_USAGE;
    int code = look_open(&look, &err) ? run_verb(&look, verb) : cli_error(cli, &err);
    look_release(&look);
    return code;
}
