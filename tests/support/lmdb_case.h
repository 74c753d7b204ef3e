/* Shared by the component tests of the embedded journal alone: units of records, how far it is trimmed. */
#ifndef SUPPORT_LMDB_CASE_H
#define SUPPORT_LMDB_CASE_H

#include <sys/stat.h>

#include "journal_case.h"

static inline void bounds(struct journal_case *jc, const char *stream, uint64_t *first, uint64_t *next)
{
    struct journal_reader *jr = open_reader(jc, NULL);
    OK(jc, journal_bounds(jr, stream, 0, first, next, &jc->err));
    journal_reader_close(jr);
}

static inline void put_many(struct journal_case *jc, struct journal_writer *jw, int id, size_t count,
                            size_t size)
{
    char *bytes = xmalloc(size + 1);
    memset(bytes, 'x', size);
    struct journal_record rec = {
        .partition = -1, .key = "k", .key_len = 1, .value = bytes, .value_len = size};
    for (size_t i = 0; i < count; i++)
        OK(jc, journal_append(jw, id, &rec, &jc->err));
    free(bytes);
}

static inline void unit(struct journal_case *jc, struct journal_writer *jw, int id, size_t count)
{
    put_many(jc, jw, id, count, 200);
    put(jc, jw, fence_stream(jc, jw), PIPELINE, "fence");
    OK(jc, journal_commit(jw, &jc->err));
}

static inline void confirm(struct journal_case *jc, const char *reader, uint64_t fence)
{
    struct journal_reader *jr = open_reader(jc, reader);
    OK(jc, journal_confirm(jr, NULL, 0, fence, &jc->err));
    journal_reader_close(jr); /* saves it */
}

/* Trims until nothing more goes; trimming paces itself. */
static inline void trim_all(struct journal_case *jc, struct journal_writer *jw, const char *stream,
                            uint64_t want_first)
{
    uint64_t first = 0, next;
    int64_t until_us = clock_mono_us() + 10000000;
    do {
        OK(jc, journal_trim(jw, &jc->err));
        bounds(jc, stream, &first, &next);
    } while (first < want_first && clock_mono_us() < until_us);
    assert_int_equal(first, want_first);
}

static inline int64_t file_bytes(const struct journal_case *jc)
{
    char path[128];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/j/data.mdb", jc->folder);
    assert_int_equal(stat(path, &st), 0);
    return st.st_blocks * 512;
}

#endif
