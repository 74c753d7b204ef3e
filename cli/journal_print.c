/* crossfade journal cat, follow, fences: records of one stream, a line each. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change/fence.h"
#include "core/alloc.h"
#include "journal_filter.h"
#include "journal_from.h"
#include "journal_look.h"
#include "journal_tail.h"
#include "record_json.h"

#define LINE_BYTES_MAX  ((size_t)1 << 30)
#define IDLE_TIMEOUT_MS 500
#define READ_TIMEOUT_MS 30000

struct printing {
    struct look *look;
    const struct journal_stream_info *info;
    bool follow, fences, envelope_alone;
    struct record_filter *filter;
    uint64_t *starts; /* by partition, from --from-lsn; NULL = not given */
};

/* Where to begin in a partition that holds [first, next). */
static bool start_of(const struct printing *p, int32_t partition, uint64_t first, uint64_t next,
                     uint64_t *ret, struct err *err)
{
    const struct look *look = p->look;
    *ret = p->follow ? next : first;
    if (look->from >= 0)
        *ret = (uint64_t)look->from;
    else if (p->starts != NULL)
        *ret = p->starts[partition] == UINT64_MAX ? next : MAX_OF(p->starts[partition], first);
    else if (look->last == 0)
        *ret = next;
    else if (look->last > 0)
        return journal_tail(look->reader, p->info->name, partition, first, next, (uint64_t)look->last, ret,
                            err);
    return true;
}

/* Where to begin and end in each partition; room for all of them is there. */
static bool make_ranges(const struct printing *p, struct journal_range *ranges, size_t *ret_count,
                        struct err *err)
{
    size_t count = 0;
    for (int32_t i = 0; i < p->info->partition_count; i++) {
        uint64_t first, next, start;
        if (p->look->partition >= 0 && p->look->partition != i)
            continue;
        if (!journal_bounds(p->look->reader, p->info->name, i, &first, &next, err) ||
            !start_of(p, i, first, next, &start, err))
            return false;
        if (p->follow || start < next)
            ranges[count++] = (struct journal_range){.stream = p->info->name,
                                                     .partition = i,
                                                     .first_offset = start,
                                                     .next_offset = p->follow ? JOURNAL_FOLLOW : next};
    }
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
    if (!fence_format_check(json_integer_value(json_object_get(fence, "format")), err)) {
        json_decref(fence);
        return err_wrap(err, "topic=%s offset=%llu", rec->stream, (unsigned long long)rec->offset);
    }
    json_object_set_new(fence, "offset", json_integer((json_int_t)rec->offset));
    char *text = json_dumps(fence, JSON_COMPACT);
    strbuf_adds(out, text != NULL ? text : "{}");
    strbuf_addc(out, '\n');
    free(text);
    json_decref(fence);
    return strbuf_ok(out, "fence", err);
}

/* The line of a record; empty if it is not wanted. */
static bool make_line(const struct printing *p, struct record_printer *printer,
                      const struct journal_record *rec, struct strbuf *line, struct err *err)
{
    struct record_texts texts;
    strbuf_clear(line);
    if (p->fences && rec->value != NULL)
        return print_fence(rec, line, err);
    if (!record_texts(printer, rec, &texts, err))
        return false;
    if (p->filter != NULL && !record_filter_wants(p->filter, rec, &texts))
        return true;
    return record_write(printer, rec, &texts, p->envelope_alone, line, err);
}

static bool print_records(const struct printing *p, struct err *err)
{
    struct record_printer *printer = record_printer_new(&p->look->config);
    struct strbuf line = STRBUF_INIT(LINE_BYTES_MAX);
    bool good = true;
    int64_t left = p->look->count >= 0 ? p->look->count : INT64_MAX;
    while (good && left > 0 && !ferror(stdout)) {
        struct journal_record rec;
        enum journal_next next =
            journal_next(p->look->reader, p->follow ? IDLE_TIMEOUT_MS : READ_TIMEOUT_MS, &rec, err);
        if (next == JOURNAL_END)
            break;
        if (next == JOURNAL_IDLE && !p->follow)
            good =
                err_set(err, ERR_TIMEOUT, "the journal gave no record within %d s", READ_TIMEOUT_MS / 1000);
        if (next == JOURNAL_ERROR)
            good = false;
        if (next != JOURNAL_RECORD)
            continue;
        good = make_line(p, printer, &rec, &line, err);
        if (good && line.len > 0) {
            (void)fwrite(line.data, 1, line.len, stdout);
            left--;
        }
        if (p->follow)
            (void)fflush(stdout);
    }
    strbuf_release(&line);
    record_printer_free(printer);
    return good;
}

/* --from-lsn: fences say where. */
static bool find_starts(struct printing *p, struct err *err)
{
    if (!p->look->has_lsn)
        return true;
    char *fences CLEANUP(free_ptr) = journal_fence_stream(p->look->config.topic_prefix);
    uint64_t fence_offset = 0;
    p->starts = xcalloc((size_t)p->info->partition_count + 1, sizeof *p->starts);
    if (!journal_from_lsn(p->look->reader, fences, p->look->from_lsn, p->info, &fence_offset, p->starts, err))
        return false;
    if (p->fences)
        p->starts[0] = fence_offset;
    return true;
}

static bool open_filter(struct printing *p, struct err *err)
{
    const char *key = cli_flag(p->look->cli, "key");
    if (p->fences || (key == NULL && !p->look->has_lsn))
        return true;
    return record_filter_new(key, p->look->has_lsn ? p->look->from_lsn : 0, &p->filter, err);
}

static bool print_all(struct printing *p, struct err *err)
{
    struct journal_range *ranges CLEANUP(free_ptr) =
        xcalloc((size_t)p->info->partition_count + 1, sizeof *ranges);
    size_t count = 0;
    return open_filter(p, err) && find_starts(p, err) && make_ranges(p, ranges, &count, err) &&
           (count == 0 || (journal_assign(p->look->reader, ranges, count, err) && print_records(p, err)));
}

int journal_print_stream(struct look *look, const struct journal_stream_info *info, bool follow, bool fences)
{
    struct printing p = {.look = look, .info = info, .follow = follow, .fences = fences};
    struct err err = ERR_INIT;
    const char *format = cli_flag(look->cli, "format");
    if (look->partition >= info->partition_count)
        return cli_usage_error(look->cli, "--partition: stream %s has partitions 0 to %d", info->name,
                               (int)info->partition_count - 1);
    if (format != NULL && strcmp(format, "json") != 0 && strcmp(format, "debezium") != 0)
        return cli_usage_error(look->cli, "--format: found \"%s\", expected json or debezium", format);
    p.envelope_alone = format != NULL && strcmp(format, "debezium") == 0;
    if (follow)
        cli_signals_end_well();
    bool good = print_all(&p, &err);
    record_filter_free(p.filter);
    free(p.starts);
    return good ? CLI_EXIT_OK : cli_error(look->cli, &err);
}
