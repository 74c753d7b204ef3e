/*
 * Records that Debezium's own connectors wrote, by themselves: what our decoders (codec.h) take from the journal
 * around a record (key columns, exact names, order, where a schema is) is here taken from the record: its key's
 * schema, its `source`, the schema beside it (JsonConverter with schemas.enable=true) or in a registry (Avro in
 * Confluent's framing). PostgreSQL, MariaDB and MySQL connectors. Facts were read off recorded output of Debezium
 * 3.1.
 *
 * Order. change.source.commit_lsn and change.total_order are a place in the source's own order, of which only the
 * comparison means something: PostgreSQL: the end of the last commit before it (source.sequence), and its LSN;
 * MariaDB, MySQL: place in the binlog (number of the file and position), and the row. Not the ordinal in its
 * transaction: a connector that begins again inside of one counts from 1 anew.
 *
 * A decoder belongs to one thread. Schemas and tables are kept until it closes. Input is untrusted.
 */
#ifndef CHANGE_FOREIGN_H
#define CHANGE_FOREIGN_H

#include "change/change.h"
#include "change/codec.h"
#include "core/arena.h"

enum foreign_kind {
    FOREIGN_UNKNOWN = 0,
    FOREIGN_CHANGE,
    FOREIGN_BEGIN, /* of the transaction topic */
    FOREIGN_END,
    FOREIGN_BESIDE /* heartbeats, schema changes, logical messages, tombstones: nothing to apply */
};

struct foreign_record {
    const char *topic;
    const void *key; /* NULL = null key */
    size_t key_len;
    const void *value; /* NULL = tombstone */
    size_t value_len;
    const void *new_key, *old_key; /* of the headers; NULL = none */
    size_t new_key_len, old_key_len;
};

/* So many changes of one table, as an END says. */
struct foreign_count {
    const char *collection;
    uint64_t changes;
};

/* What a record means. Lives in the arena, but change.schema: the decoder's. */
struct foreign_event {
    enum foreign_kind kind;
    uint64_t transaction; /* identity, of events and BEGIN and END alike; 0 = none */

    /* FOREIGN_CHANGE */
    struct change change;
    const char *connector, *server; /* source.connector, source.name */
    const char *collection;         /* "schema.table" or "database.table", as an END names it */
    /* The key's columns in a form of our own: equal bytes = equal keys. NULL = no key. other_key: of the other half of
     * a key change; half: it is one, even if the header with the other key could not be read. */
    const void *key, *other_key;
    uint32_t key_len, other_key_len;
    bool half;
    bool incremental;                   /* a row of an incremental snapshot, amid the stream */
    bool first_of_table, last_of_table; /* rows of a snapshot: as source.snapshot says */
    uint64_t ordinal;                   /* transaction.total_order; 0 = not told */
    /* The transaction as the row's source tells it: PostgreSQL's number, or a hash of the GTID. 0 = not told. */
    uint64_t source_transaction;
    uint64_t gtid_domain, gtid_order; /* MariaDB's GTID: these rise; else 0 */
    uint64_t server_id;               /* of the one that committed it first; 0 = not told */
    bool binlog;                      /* MariaDB, MySQL: no two changes have one place */

    bool alone; /* MariaDB, MySQL: a TRUNCATE, which is a transaction of its own, without BEGIN and END */

    /* FOREIGN_END, and what is alone */
    uint64_t domain, order; /* of one domain: counts up from transaction to transaction (GTIDs: mostly) */
    bool rises;             /* it always does: PostgreSQL's */

    /* FOREIGN_END */
    int64_t end_us; /* wall; when the source committed it */
    const struct foreign_count *counts;
    size_t count_count;
};

struct foreign_options {
    bool avro;                   /* else JSON with schemas */
    struct schema_source source; /* Avro only */
    /* The table that a source's table is to be here; NULL = of the same names. Returns malloc'd texts. */
    void (*rename)(void *ctx, const char *schema, const char *table, char **ret_schema, char **ret_table);
    void *rename_ctx;
    const char *placeholder; /* the connector's unavailable.value.placeholder; NULL = its default */
};

struct foreign_decoder;

struct foreign_decoder *foreign_decoder_open(const struct foreign_options *options);
void foreign_decoder_close(struct foreign_decoder *fd); /* NULL allowed */
/* rec's bytes must live as long as the event's are used: values point into them. ERR_PROTOCOL: not a record of
 * Debezium, or a broken one; ERR_UNSUPPORTED: of a connector or type that is not read. The caller adds topic,
 * partition and offset. */
bool foreign_decode(struct foreign_decoder *fd, const struct foreign_record *rec, struct arena *arena,
                    struct foreign_event *ret, struct err *err) MUST_CHECK;

#endif
