/*
 * PostgreSQL's streaming replication protocol on a connection opened with pg_options.replication
 * (documentation: "Streaming Replication Protocol"). Commands are upper case: older servers do not take
 * others.
 *
 * The snapshot that a slot's creation exports lives until the next command on that connection, or its end.
 * @thread: the connection's owner.
 */
#ifndef PG_REPLICATION_H
#define PG_REPLICATION_H

#include "core/lsn.h"
#include "pg/conn.h"

struct repl_identity {
    uint64_t system_id;
    uint32_t timeline;
    lsn_t wal_lsn; /* end of the flushed WAL */
};

struct repl_slot {
    lsn_t consistent_lsn; /* the snapshot holds exactly the transactions that committed before it */
    char snapshot[64];    /* for SET TRANSACTION SNAPSHOT; "" if none was exported */
};

/* One step of a timeline history: `timeline` ended at `end_lsn`. */
struct repl_timeline {
    uint32_t timeline;
    lsn_t end_lsn;
};

bool repl_identify(struct pg_conn *conn, struct repl_identity *ret, struct err *err) MUST_CHECK;
/* Ancestors of `timeline`, oldest first; none for timeline 1. *ret is malloc'd. */
bool repl_timeline_history(struct pg_conn *conn, uint32_t timeline, struct repl_timeline **ret,
                           size_t *ret_count, struct err *err) MUST_CHECK;
enum repl_slot_kind {
    REPL_SLOT_PLAIN = 0,
    REPL_SLOT_TEMPORARY, /* gone with the connection */
    REPL_SLOT_FAILOVER /* a standby may keep a copy of it (sync_replication_slots); plain before PostgreSQL 17 */
};

/* Logical slot with plugin pgoutput and an exported snapshot. Waits for the transactions that run now: pg_cancel() ends the
 * wait. A failover slot cannot be made on a standby. */
bool repl_create_slot(struct pg_conn *conn, const char *slot, enum repl_slot_kind kind, struct repl_slot *ret,
                      struct err *err) MUST_CHECK;
/* The newest pgoutput protocol of a server (as pg_server_version() tells it): 2 came with PostgreSQL 14, 3 with 15, 4 with 16
 * (server: logicalproto.h). What a version adds is sent only when an option asks for it. @thread any */
int repl_protocol_version(int server_version);
/* Streams the publication's changes in binary form from the later of start_lsn and what the slot has
 * confirmed. in_progress: large transactions before their commit too (PostgreSQL 14 and later). local_only: nothing that has a
 * replication origin, from REPL_ORIGIN_VERSION on; an earlier server sends it, with a message that names the origin. */
#define REPL_ORIGIN_VERSION 160000
bool repl_start(struct pg_conn *conn, const char *slot, lsn_t start_lsn, const char *publication,
                bool in_progress, bool local_only, struct err *err) MUST_CHECK;

enum repl_next {
    REPL_ERROR = 0,
    REPL_IDLE,      /* nothing is there: wait on pg_socket() for reading */
    REPL_DATA,      /* bytes, len, start_lsn: one pgoutput message */
    REPL_KEEPALIVE, /* wal_end_lsn, reply_requested */
};

struct repl_frame {
    const char *bytes; /* valid until the next call */
    size_t len;
    lsn_t start_lsn;   /* of the change; 0 for begin of some versions, relation, type */
    lsn_t wal_end_lsn; /* keepalive: everything that ended before it has been sent */
    bool reply_requested;
};

/* Never waits. An end of the stream by the server is ERR_CONNECT. */
enum repl_next repl_next(struct pg_conn *conn, struct repl_frame *ret, struct err *err);
/* Standby status update. flushed_lsn is what the slot will count as confirmed: durable in the journal. */
bool repl_status(struct pg_conn *conn, lsn_t received_lsn, lsn_t flushed_lsn, bool want_reply,
                 struct err *err) MUST_CHECK;
/* Ends the stream in good order, so that the slot is free at once (waits up to timeout_ms). Best effort. */
void repl_stop(struct pg_conn *conn, int timeout_ms);

#endif
