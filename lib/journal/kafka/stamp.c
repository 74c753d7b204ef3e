/* Stamps on records, and what an opening looks at of earlier writers. See stamp.h. */
#include "journal/kafka/stamp.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/nonce.h"

#define STAMP_BYTES 16
/* A unit's fence and its commit mark, and some. */
#define TAIL_OFFSETS 8

static const char by_name[] = "__crossfade.by", at_name[] = "__crossfade.at";

static const char *name_for(enum stream_kind kind)
{
    return kind == STREAM_FOREVER ? at_name : by_name;
}

void kafka_stamp_add(rd_kafka_headers_t *headers, enum stream_kind kind, struct kafka_stamp stamp)
{
    const uint64_t words[2] = {htobe64(stamp.writer), htobe64(stamp.number)};
    (void)rd_kafka_header_add(headers, name_for(kind), -1, words, sizeof words);
}

struct kafka_stamp kafka_stamp_of(const rd_kafka_message_t *msg, enum stream_kind kind)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t len;
    uint64_t words[2];
    if (rd_kafka_message_headers(msg, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name_for(kind), &value, &len) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        len != STAMP_BYTES)
        return (struct kafka_stamp){0};
    memcpy(words, value, sizeof words);
    return (struct kafka_stamp){.writer = be64toh(words[0]), .number = be64toh(words[1])};
}

bool kafka_stamp_is(const char *header_name)
{
    return strcmp(header_name, by_name) == 0 || strcmp(header_name, at_name) == 0;
}

uint64_t kafka_stamp_writer(void)
{
    char nonce[NONCE_MAX];
    uint64_t id = 0;
    while (id == 0) {
        nonce_make(nonce);
        nonce[16] = '\0';
        id = strtoull(nonce, NULL, 16);
    }
    return id;
}

struct look {
    uint64_t writer;
    bool stamped; /* the last record is */
    bool sealed;  /* by another one than `writer` */
};

/* All records of the range, those that do not count included. */
static bool look_at(struct journal_reader *jr, const struct journal_range *range, struct look *look,
                    struct err *err)
{
    bool end = false;
    if (!journal_assign(jr, range, 1, err))
        return false;
    while (!end) {
        struct journal_record rec;
        if (!journal_take(jr, JOURNAL_TAKE_MS, &rec, &end, err))
            return false;
        if (end)
            break;
        look->stamped = rec.writer != 0;
        look->sealed = look->sealed || (rec.stray && rec.value == NULL && rec.writer != look->writer);
    }
    return true;
}

static bool open_audit(const struct journal_config *config, struct journal_reader **ret, struct err *err)
{
    struct journal_config audit = *config;
    audit.audit = true;
    return journal_reader_open(&audit, NULL, ret, err);
}

bool kafka_is_sealed(const struct journal_config *config, const struct journal_range *range, uint64_t writer,
                     bool *ret, struct err *err)
{
    struct journal_reader *jr = NULL;
    struct look look = {.writer = writer};
    bool ok = open_audit(config, &jr, err) && look_at(jr, range, &look, err);
    journal_reader_close(jr);
    *ret = look.sealed;
    return ok;
}

bool kafka_tail_is_stamped(const struct journal_config *config, bool *ret, struct err *err)
{
    struct journal_reader *jr = NULL;
    struct look look = {0};
    char *fence CLEANUP(free_ptr) = journal_fence_stream(config->topic_prefix);
    struct journal_range range = {.stream = fence};
    uint64_t first = 0;
    bool ok = open_audit(config, &jr, err) && journal_bounds(jr, fence, 0, &first, &range.next_offset, err);
    range.first_offset = range.next_offset > first + TAIL_OFFSETS ? range.next_offset - TAIL_OFFSETS : first;
    ok = ok && look_at(jr, &range, &look, err);
    journal_reader_close(jr);
    *ret = look.stamped;
    return ok || err_wrap(err, "the end of the fence stream");
}
