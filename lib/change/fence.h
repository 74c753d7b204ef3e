/*
 * Fences (docs/ARCHITECTURE.md): records of stream <prefix>.fence that tie a position of the source to a position
 * of the journal. Always JSON, schema in schemas/fence.schema.json; key = pipeline name.
 *
 *   every transaction whose commit ended at or before `lsn` is in the journal below these offsets, and no
 *   later one is.
 */
#ifndef CHANGE_FENCE_H
#define CHANGE_FENCE_H

#include "change/copy_request.h"
#include "core/err.h"
#include "core/lsn.h"
#include "core/strbuf.h"

#define FENCE_FORMAT 3
/* What is written when a fence needs nothing newer. */
#define FENCE_FORMAT_PLAIN 1
/* It names a writer, whose records are the only ones that count. */
#define FENCE_FORMAT_WRITER 2
/* Rows come by another way, and are to be waited for. */
#define FENCE_FORMAT_DIRECT 3
/* Every n-th fence lists all partitions, not only the touched ones. */
#define FENCE_FULL_EVERY 100

enum fence_kind {
    FENCE_UNKNOWN = 0,
    FENCE_SNAPSHOT_BEGIN, /* a copy begins (anew): what an earlier try left on the target is to be removed
                             first */
    FENCE_SNAPSHOT,       /* rows of a running copy; the target is not complete yet */
    FENCE_STREAM          /* transactions; complete = true from the first one after the copy on */
};

enum marker_kind {
    MARKER_NONE = 0,
    MARKER_HOLD,    /* never becomes a fence */
    MARKER_COMPARE, /* the cut of a comparison: apply waits after it for the release */
    MARKER_REFUSED, /* a cut that came too late, or without its hold */
    MARKER_FINAL,   /* cutover's last fence */
    MARKER_PING,    /* proves the path: answered by a fence, nothing else */
    MARKER_COPY     /* asks for a copy of a table while everything streams; never becomes a fence */
};

struct fence_marker {
    enum marker_kind kind;
    char nonce[40];      /* "" = none */
    int64_t deadline_ms; /* how long apply may wait at it */
};

struct fence_range {
    char *stream; /* topic name */
    int32_t partition;
    uint64_t first_offset; /* of the records since the previous fence; == next_offset when untouched (full
                              listing) */
    uint64_t next_offset;  /* one past the last record */
};

/* How far a running copy has come (capture's; readers of the journal need not care): parts before `part` in the
 * plan's order are whole, of that part the keys up to `key`. The copy is the first one of all tables (requested false), or that of
 * the first request, for which everything else streams; further requests wait. */
struct fence_copy {
    bool there;
    bool requested;
    bool
        direct; /* its rows do not come by the journal: what follows is applied when the target has them all */
    lsn_t begin_lsn; /* direct: of the fence with which it began; 0 = not known */
    uint64_t plan;   /* hash of the order of parts: a place of another order means nothing; 0 = not begun */
    uint64_t part;
    char **key; /* texts; NULL = the part is not begun */
    size_t key_count;
    struct copy_request *requests;
    size_t request_count;
};

struct fence {
    int format;
    enum fence_kind kind;
    uint64_t id;      /* 1, 2, …: no gaps within a pipeline */
    uint64_t attempt; /* counts snapshot tries, from 1 */
    char *pipeline;
    uint64_t source_system_id;
    uint32_t timeline;
    lsn_t lsn;              /* MariaDB: transactions of the stream, counted */
    int64_t commit_time_us; /* of the last transaction below it; wall */
    int64_t written_us;     /* when capture wrote it; wall */
    bool complete;
    bool full; /* lists all partitions */
    struct fence_marker marker;
    struct fence_copy copy;
    uint64_t changes; /* records since the previous fence (tombstones not counted) */
    uint64_t transactions;
    uint64_t writer; /* journal_writer.id: only its records in the ranges are under this fence */
    uint64_t
        schemas_next; /* the schema stream's shapes of tables below this offset are under fences; 0 = not known */
    /* Of a MariaDB source, whose binlog has no one number: lists of GTIDs. NULL = of PostgreSQL. */
    char *gtid; /* behind which the fence stands */
    char *
        gtid_from; /* behind which reading has to begin: XA transactions that were prepared since may yet be committed; NULL = gtid */
    struct fence_range *ranges;
    size_t range_count;
};

void fence_release(struct fence *fence);
void fence_copy_release(struct fence_copy *copy);
struct fence_copy fence_copy_clone(const struct fence_copy *copy);
bool fence_encode(const struct fence *fence, struct strbuf *out, struct err *err) MUST_CHECK;
/* ERR_UNSUPPORTED: newer than FENCE_FORMAT. */
bool fence_format_check(long long format, struct err *err) MUST_CHECK;
/* Refuses formats newer than FENCE_FORMAT (ERR_UNSUPPORTED) and malformed text (ERR_PROTOCOL). */
bool fence_decode(const void *text, size_t len, struct fence *ret, struct err *err) MUST_CHECK;

const char *fence_kind_name(enum fence_kind kind);
const char *marker_kind_name(enum marker_kind kind);
enum marker_kind marker_kind_parse(const char *name); /* MARKER_NONE if unknown */

#endif
