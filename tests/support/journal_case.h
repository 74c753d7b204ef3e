/* Shared by the journal's component tests: a fresh journal per test, short ways to write and read records. */
#ifndef SUPPORT_JOURNAL_CASE_H
#define SUPPORT_JOURNAL_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "journal/journal.h"

#define PIPELINE "shop"

enum kind { KIND_LMDB, KIND_FAULT, KIND_KAFKA, KIND_KAFKA_IDEMPOTENT };

struct journal_case {
    enum kind kind;
    char folder[64]; /* "" for Kafka */
    char url[600];
    char prefix[64];
    char fence[80];
    struct journal_config config;
    struct err err;
};

/* Fails the test with the error's text. */
#define OK(jc, call)                                                                                         \
    do {                                                                                                     \
        if (!(call))                                                                                         \
            fail_msg("%s: %s (%s)", #call, (jc)->err.text, err_code_name((jc)->err.code));                   \
    } while (0)

#define FAILS(jc, want, call)                                                                                \
    do {                                                                                                     \
        if (call)                                                                                            \
            fail_msg("%s succeeded", #call);                                                                 \
        if ((jc)->err.code != (want))                                                                        \
            fail_msg("%s: %s instead of %s: %s", #call, err_code_name((jc)->err.code), err_code_name(want),  \
                     (jc)->err.text);                                                                        \
        err_clear(&(jc)->err);                                                                               \
    } while (0)

static inline void case_init(struct journal_case *jc, enum kind kind, const char *kafka)
{
    static unsigned serial;
    memset(jc, 0, sizeof *jc);
    jc->kind = kind;
    (void)snprintf(jc->prefix, sizeof jc->prefix, "t%lld-%ld-%u", (long long)clock_wall_us(), (long)getpid(),
                   ++serial); /* process ids come round while a broker runs */
    (void)snprintf(jc->fence, sizeof jc->fence, "%s.fence", jc->prefix);
    if (kind >= KIND_KAFKA) {
        (void)snprintf(jc->url, sizeof jc->url, "kafka://%s", kafka);
    } else {
        (void)snprintf(jc->folder, sizeof jc->folder, "/tmp/cf-journal-XXXXXX");
        assert_non_null(mkdtemp(jc->folder));
        (void)snprintf(jc->url, sizeof jc->url, "%slmdb:%s/j", kind == KIND_FAULT ? "fault:any:0:error:" : "",
                       jc->folder);
    }
    jc->config = (struct journal_config){.url = jc->url,
                                         .pipeline = PIPELINE,
                                         .topic_prefix = jc->prefix,
                                         .partitions = 1,
                                         .replication_factor = 1,
                                         .retention_ms = 86400000,
                                         .idempotent = kind == KIND_KAFKA_IDEMPOTENT};
}

static inline void case_done(struct journal_case *jc)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", jc->folder);
    if (jc->folder[0] != '\0')
        assert_int_equal(system(command), 0);
}

/* --- one for each test --- */

static enum kind kind_now = KIND_LMDB; /* of the next case */

static inline int setup(void **state)
{
    struct journal_case *jc = xmalloc(sizeof *jc);
    case_init(jc, kind_now, getenv("CF_KAFKA_BOOTSTRAP"));
    *state = jc;
    return 0;
}

static inline int teardown(void **state)
{
    case_done(*state);
    free(*state);
    return 0;
}

#define ON_FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* --- writing and reading --- */

static inline struct journal_writer *open_writer(struct journal_case *jc)
{
    struct journal_writer *jw = NULL;
    OK(jc, journal_writer_open(&jc->config, &jw, &jc->err));
    return jw;
}

static inline struct journal_reader *open_reader(struct journal_case *jc, const char *name)
{
    struct journal_reader *jr = NULL;
    OK(jc, journal_reader_open(&jc->config, name, &jr, &jc->err));
    return jr;
}

/* "<prefix>.<name>" in one of a few rotating buffers. */
static inline const char *stream_name(const struct journal_case *jc, const char *name)
{
    static char names[8][320];
    static unsigned turn;
    char *out = names[turn++ % ARRAY_LEN(names)];
    (void)snprintf(out, sizeof names[0], "%s.%s", jc->prefix, name);
    return out;
}

static inline int data_stream(struct journal_case *jc, struct journal_writer *jw, const char *name)
{
    int id = -1;
    OK(jc, journal_stream(jw, stream_name(jc, name), STREAM_DATA, &id, &jc->err));
    return id;
}

static inline int fence_stream(struct journal_case *jc, struct journal_writer *jw)
{
    int id = -1;
    OK(jc, journal_stream(jw, jc->fence, STREAM_FOREVER, &id, &jc->err));
    return id;
}

static inline void put(struct journal_case *jc, struct journal_writer *jw, int id, const char *key,
                       const char *value)
{
    struct journal_record rec = {.partition = -1,
                                 .key = key,
                                 .key_len = key != NULL ? strlen(key) : 0,
                                 .value = value,
                                 .value_len = value != NULL ? strlen(value) : 0};
    OK(jc, journal_append(jw, id, &rec, &jc->err));
}

static inline void assign_one(struct journal_case *jc, struct journal_reader *jr, const char *stream,
                              uint64_t first, uint64_t next)
{
    struct journal_range range = {.stream = stream, .first_offset = first, .next_offset = next};
    OK(jc, journal_assign(jr, &range, 1, &jc->err));
}

/* The next record, or NULL at the end or when nothing came for 20 s (fails the test). */
static inline const struct journal_record *get(struct journal_case *jc, struct journal_reader *jr)
{
    static struct journal_record rec;
    enum journal_next got = journal_next(jr, 20000, &rec, &jc->err);
    if (got == JOURNAL_ERROR)
        fail_msg("next: %s", jc->err.text);
    if (got == JOURNAL_IDLE)
        fail_msg("next: nothing came");
    return got == JOURNAL_RECORD ? &rec : NULL;
}

static inline bool text_is(const void *bytes, size_t len, const char *text)
{
    return bytes != NULL && len == strlen(text) && memcmp(bytes, text, len) == 0;
}

#endif
