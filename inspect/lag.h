/* How far a reader that has applied some of the fences is behind, by what the fences after these say. */
#ifndef INSPECT_LAG_H
#define INSPECT_LAG_H

#include "core/lsn.h"
#include "journal/journal.h"

struct lag_stream {
    char *name;
    uint64_t records; /* offsets; Kafka's commit marks between fences are not among them */
};

struct lag {
    uint64_t fences, changes; /* not applied */
    uint64_t last_id;         /* newest fence; 0 = none */
    lsn_t last_lsn;
    struct lag_stream *streams; /* by name */
    size_t stream_count, stream_cap;
};

/* Reads the fences from the one before next_offset on, and replaces the reader's assignment. */
bool lag_read(struct journal_reader *jr, const char *fence_stream, uint64_t next_offset, struct lag *ret,
              struct err *err) MUST_CHECK;
/* Records of the stream that are not applied. */
uint64_t lag_of_stream(const struct lag *lag, const char *stream);
void lag_release(struct lag *lag);

#endif
