/*
 * One event of MariaDB's binlog as a replica gets it: a pure decoder of bytes that are not trusted. Facts: the server's
 * sql/log_event.h and log_event*.cc, and the connector's mariadb_rpl.c; events of MySQL's own (GTIDs, rows of version 2) are refused.
 *
 * Spans point into the caller's bytes, or (a compressed body) into the decoder's buffer: valid until the next event.
 */
#ifndef MARIA_BINLOG_EVENT_H
#define MARIA_BINLOG_EVENT_H

#include "core/err.h"
#include "core/strbuf.h"
#include "maria/binlog/gtid.h"

#define BINLOG_HEADER_BYTES 19

enum binlog_event_type {
    BINLOG_UNKNOWN_EVENT = 0,
    BINLOG_QUERY = 2,
    BINLOG_STOP = 3,
    BINLOG_ROTATE = 4,
    BINLOG_FORMAT = 15,
    BINLOG_XID = 16,
    BINLOG_TABLE_MAP = 19,
    BINLOG_WRITE_ROWS = 23,
    BINLOG_UPDATE_ROWS = 24,
    BINLOG_DELETE_ROWS = 25,
    BINLOG_INCIDENT = 26,
    BINLOG_HEARTBEAT = 27,
    BINLOG_XA_PREPARE = 38,
    BINLOG_ANNOTATE = 160,
    BINLOG_CHECKPOINT = 161,
    BINLOG_GTID = 162,
    BINLOG_GTID_LIST = 163,
    BINLOG_START_ENCRYPTION = 164,
    /* 165 to 168 come out as the events that they are when their bodies are not compressed */
};

enum { /* flags of a GTID event */
       BINLOG_GTID_STANDALONE = 0x01,
       BINLOG_GTID_COMMIT_ID = 0x02,
       BINLOG_GTID_DDL = 0x20,
       BINLOG_GTID_PREPARED_XA = 0x40,
       BINLOG_GTID_COMPLETED_XA = 0x80
};
#define BINLOG_STATEMENT_END 0x01 /* of a rows event: its statement's last */
#define BINLOG_XID_MAX       128  /* bytes of an XA transaction's name */

struct binlog_span {
    const char *p;
    size_t len;
};

struct binlog_xid {
    uint32_t format;
    uint8_t gtrid_len, bqual_len;
    uint8_t bytes[BINLOG_XID_MAX];
};

struct binlog_event {
    enum binlog_event_type type;
    uint32_t time_s, server_id, next_pos;
    uint16_t flags;
    union {
        struct {
            struct binlog_span file;
            uint64_t pos;
        } rotate; /* HEARTBEAT: file alone */
        struct {
            struct gtid id;
            uint8_t flags;
            uint64_t commit_id;
            bool has_xid;
            struct binlog_xid xid;
        } gtid;
        struct {
            struct binlog_span database, text;
            uint16_t error;
        } query;
        struct {
            uint64_t table_id;
            struct binlog_span body; /* behind the post-header: table_map.h */
        } table_map;
        struct {
            uint64_t table_id;
            uint16_t flags;
            size_t columns;
            const uint8_t *before, *after; /* bitmaps of the columns that are there; update alone has two */
            struct binlog_span rows;
        } rows;
        struct {
            bool one_phase;
            struct binlog_xid xid;
        } prepare;
        struct {
            uint16_t number;
            struct binlog_span text;
        } incident;
        uint64_t xid;
    };
};

struct binlog_decoder {
    bool
        checksum; /* events end in four bytes of CRC-32: as the last FORMAT event said; before it, the caller */
    bool has_format;  /* there was one */
    char server[51];  /* version of the server that wrote the file */
    size_t max_bytes; /* of an event and of what a compressed one becomes */
    struct strbuf inflated;
};

void binlog_decoder_init(struct binlog_decoder *d, size_t max_bytes, bool checksum);
void binlog_decoder_release(struct binlog_decoder *d);
/* ERR_PROTOCOL: broken, or its checksum is wrong; ERR_UNSUPPORTED: an event that cannot be passed over; ERR_NO_MEMORY: beyond
 * max_bytes. Events that may be passed over come as what they are, without a body. */
bool binlog_decode(struct binlog_decoder *d, const void *bytes, size_t len, struct binlog_event *ret,
                   struct err *err) MUST_CHECK;

#endif
