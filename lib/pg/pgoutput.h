/*
 * Decoder of pgoutput, PostgreSQL's built-in logical decoding plugin, protocol versions 1 and 2 (documentation:
 * "Logical Replication Message Formats"; streaming 'on', not 'parallel'). Pure: bytes in, struct out, no I/O and no allocation after
 * pgoutput_new(). Input is untrusted: every read is checked against the end of the message, a message with
 * bytes left over is refused.
 *
 * Between Stream Start and Stop lie messages of one transaction that is still running, each with the id of its (sub)transaction
 * behind the type: pgoutput_streamed() takes that out, what is left is decoded as any other.
 * @thread: a decoder belongs to one thread.
 */
#ifndef PG_PGOUTPUT_H
#define PG_PGOUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/lsn.h"

/* PostgreSQL's MaxTupleAttributeNumber. */
#define PGOUTPUT_MAX_COLUMNS 1664

enum pgoutput_type {
    PGOUTPUT_UNKNOWN = 0,
    PGOUTPUT_BEGIN = 'B',
    PGOUTPUT_COMMIT = 'C',
    PGOUTPUT_ORIGIN = 'O',
    PGOUTPUT_RELATION = 'R',
    PGOUTPUT_TYPE = 'Y',
    PGOUTPUT_INSERT = 'I',
    PGOUTPUT_UPDATE = 'U',
    PGOUTPUT_DELETE = 'D',
    PGOUTPUT_TRUNCATE = 'T',
    PGOUTPUT_MESSAGE = 'M',
    PGOUTPUT_STREAM_START = 'S',
    PGOUTPUT_STREAM_STOP = 'E',
    PGOUTPUT_STREAM_COMMIT = 'c',
    PGOUTPUT_STREAM_ABORT = 'A',
};

enum pgoutput_value_kind {
    PGOUTPUT_VALUE_UNKNOWN = 0,
    PGOUTPUT_NULL = 'n',
    PGOUTPUT_UNCHANGED = 'u', /* unchanged TOAST value: not sent */
    PGOUTPUT_TEXT = 't',
    PGOUTPUT_BINARY = 'b',
};

struct pgoutput_value {
    const char *p; /* into the message */
    uint32_t len;
    enum pgoutput_value_kind kind;
};

struct pgoutput_tuple {
    struct pgoutput_value *values; /* the decoder's */
    uint16_t count;
};

struct pgoutput_column {
    const char *name;
    uint32_t type_oid;
    int32_t typmod;
    bool identity; /* part of the replica identity; with REPLICA IDENTITY FULL all are */
};

/* Old image of an update or delete. */
enum pgoutput_old {
    PGOUTPUT_OLD_NONE = 0,
    PGOUTPUT_OLD_KEY = 'K',  /* columns of the replica identity; others are null */
    PGOUTPUT_OLD_FULL = 'O', /* REPLICA IDENTITY FULL: all columns */
};

/* Strings and values point into the message bytes, arrays into the decoder: valid until either changes. */
struct pgoutput_message {
    enum pgoutput_type type;
    union {
        struct {
            lsn_t final_lsn;        /* where the commit record starts */
            int64_t commit_time_us; /* wall, since 1970 */
            uint32_t xid;
        } begin;
        struct {
            lsn_t commit_lsn, commit_end_lsn;
            int64_t commit_time_us;
        } commit;
        struct {
            uint32_t xid;
            bool first; /* nothing of this transaction came before */
        } stream_start;
        struct {
            uint32_t xid;
            lsn_t commit_lsn, commit_end_lsn;
            int64_t commit_time_us;
        } stream_commit;
        struct {
            uint32_t xid, sub_xid; /* the same: the whole transaction */
        } stream_abort;
        struct {
            lsn_t origin_lsn;
            const char *name;
        } origin;
        struct {
            uint32_t oid;
            const char *schema, *table; /* schema "" means pg_catalog */
            char replica_identity;      /* 'd' default, 'n' nothing, 'f' full, 'i' index */
            const struct pgoutput_column *columns;
            uint16_t column_count;
        } relation;
        struct {
            uint32_t oid;
            const char *schema, *name;
        } type_info;
        struct {
            uint32_t oid;
            enum pgoutput_old old_kind;    /* update, delete */
            struct pgoutput_tuple old_row; /* update, delete */
            struct pgoutput_tuple new_row; /* insert, update */
        } row;
        struct {
            const uint32_t *oids;
            uint32_t count;
            bool cascade, restart_identity;
        } truncate;
        struct {
            bool transactional;
            lsn_t lsn;
            const char *prefix, *content;
            uint32_t content_len;
        } message;
    };
};

struct pgoutput;

struct pgoutput *pgoutput_new(void);
void pgoutput_free(struct pgoutput *decoder); /* NULL allowed */
/* One message = the payload of one XLogData. ERR_PROTOCOL if the bytes do not parse. */
bool pgoutput_decode(struct pgoutput *decoder, const void *bytes, size_t len, struct pgoutput_message *ret,
                     struct err *err) MUST_CHECK;

/* A message inside of a stream block, but Stream Stop and Origin: the bytes without the id are its type and *ret_body. */
bool pgoutput_streamed(const void *bytes, size_t len, uint32_t *ret_xid, const char **ret_body,
                       size_t *ret_body_len, struct err *err) MUST_CHECK;

#endif
