/*
 * MariaDB's binlog as a stream of transactions: a replication connection (libmariadb's mariadb_rpl opens the dump; packets are then read
 * and decoded here, since the library's own parser trusts what it gets), rows as datums, positions as lists of GTIDs.
 *
 * A transaction comes as BEGIN, its ROWs and STATEMENTs in order, END. It is streamed: memory holds one event, whatever the transaction's
 * size; who must not show half of one keeps its rows until END says how it ended. Transactions come in the order of their commits.
 *
 * What comes next is decided by the position alone: a new reader with binlog_position()'s list goes on exactly behind the last END. After a
 * failure nothing but closing is of use.
 *
 * @thread: one owner; binlog_interrupt() any.
 */
#ifndef MARIA_BINLOG_READER_H
#define MARIA_BINLOG_READER_H

#include "change/change.h"
#include "maria/binlog/event.h"

#define BINLOG_EVENT_BYTES_DEFAULT ((size_t)256 << 20)

struct binlog_options {
    const char *url;          /* lib/maria/url.h */
    const char *program;      /* what the server's process list shows */
    const char *topic_prefix; /* of the schemas' topics */
    const char *
        position; /* behind which to begin, as @@gtid_binlog_pos has it; "" = with the oldest file that there is */
    uint32_t server_id;     /* among the source's replicas, each has its own; 0 = by chance, beyond 2^31 */
    unsigned heartbeat_ms;  /* an idle source says so this often; 0 = 1000 */
    size_t max_event_bytes; /* 0 = the default; a larger event is ERR_NO_MEMORY */
    bool
        zero_date_null; /* dates that are none become null where a column can be null; else they are refused */
    /* Tables whose rows are wanted; NULL = all. Others cost next to nothing. */
    bool (*wanted)(void *ctx, const char *database, const char *table);
    void *wanted_ctx;
};

enum binlog_kind {
    BINLOG_IDLE = 0,  /* nothing new: the heartbeat */
    BINLOG_BEGIN,     /* gtid, time */
    BINLOG_ROW,       /* op, schema, before, after */
    BINLOG_STATEMENT, /* DDL or TRUNCATE: text, database */
    BINLOG_END        /* outcome */
};

enum binlog_outcome {
    BINLOG_OUTCOME_UNKNOWN = 0,
    BINLOG_COMMITTED,
    BINLOG_ROLLED_BACK, /* nothing of it counts (its rows, if any, were cut off by a crash of the server) */
    BINLOG_PREPARED, /* XA PREPARE: its rows wait for one of the next two, in a transaction of its own, with the same xid */
    BINLOG_XA_COMMITTED,
    BINLOG_XA_ROLLED_BACK
};

/* Pointers are valid until the next call; schemas until the reader closes. */
struct binlog_item {
    enum binlog_kind kind;
    struct gtid gtid;  /* of the transaction */
    uint32_t time_s;   /* of the event, by the source's clock; in END: of the commit */
    enum change_op op; /* ROW: INSERT, UPDATE, DELETE */
    uint64_t ordinal;  /* ROW: in the transaction, from 1, of wanted ones */
    const struct table_schema *schema;
    const struct datum *before, *after; /* NULL = none */
    const char *file; /* ROW: its event's place in the binlog, for people alone; "" = not known */
    uint64_t pos;
    uint32_t row;                      /* … and its number in the event, from 0 */
    struct binlog_span database, text; /* STATEMENT: not NUL-terminated, in the session's character set */
    enum binlog_outcome outcome;
    bool has_xid;
    struct binlog_xid xid;
};

struct binlog;

/* ERR_CONFIG: not MariaDB 10.6 or later, or no position; ERR_GAP: what is needed has been purged. */
bool binlog_open(const struct binlog_options *options, struct binlog **ret, struct err *err) MUST_CHECK;
void binlog_close(struct binlog *bl); /* NULL allowed */
/* Waits for the next item; IDLE comes every heartbeat_ms at least. ERR_CONNECT: open a new one at the position. ERR_SCHEMA: a table was
 * altered, and the binlog does not tell how (binlog_row_metadata). ERR_GAP: the server says that something is missing (INCIDENT). */
bool binlog_next(struct binlog *bl, struct binlog_item *ret, struct err *err) MUST_CHECK;
/* Behind the last END. Appends to out. */
void binlog_position(const struct binlog *bl, struct strbuf *out);
const struct gtid_list *binlog_position_list(const struct binlog *bl);
/* Makes a binlog_next() that waits fail with ERR_CONNECT. */
void binlog_interrupt(struct binlog *bl);

#endif
