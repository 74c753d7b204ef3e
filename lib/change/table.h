/*
 * The shape of a table as the journal describes it: one `struct table_schema` per version of a table.
 * Immutable once made; owned by whoever made it (capture's relation cache, apply's schema cache) and alive as
 * long as that cache.
 */
#ifndef CHANGE_TABLE_H
#define CHANGE_TABLE_H

#include <stddef.h>

#include "change/datum.h"
#include "core/err.h"

struct field {
    char *name;
    enum phys phys;
    char *semantic;        /* Connect schema name, e.g. "io.debezium.time.MicroTimestamp"; NULL = plain */
    bool optional;         /* may be NULL */
    bool key;              /* part of the record key */
    char *source_type;     /* upper case server type name, arrays with '_' in front: "NUMERIC", "_INT4" */
    int32_t source_length; /* __debezium.source.column.length; -1 = not given */
    int32_t source_scale;  /* __debezium.source.column.scale; -1 = not given */
    /* What only some columns have; zero otherwise. */
    int32_t source_typmod;     /* modifier that length and scale do not tell: an interval of certain fields */
    bool lossy;                /* the encoding may not give back every value of the column */
    enum phys elem;            /* ARRAY: of its elements, whose meaning `semantic` is then */
    bool elem_required;        /* ARRAY: elements are never null */
    int32_t decimal_scale;     /* Decimal */
    int32_t decimal_precision; /* Decimal; 0 = not given */
    int32_t bits_length;       /* Bits; 0 = not given */
    char *text_encoding;       /* text (or bytea) in "hex", "base64" or as "bytes", as Debezium's
                                  binary.handling.mode has it; NULL = plain */
    bool foreign;              /* Debezium wrote it (foreign.h): the source's type may not be known */
    bool unsigned_wraps; /* an unsigned number of 64 bits: what is beyond 2^63 comes as a negative one */
    bool labels_escaped; /* Enum: a comma inside of a label may come with a backslash before it */
    char *allowed;       /* Enum: the labels, with commas between; NULL = not given */
};

/* The field of a key that tells which of a topic's tables it is of, as Debezium's ByLogicalTableRouter names it. */
#define SHARED_ID_FIELD "__dbz__physicalTableIdentifier"

struct table_schema {
    char *
        topic; /* stream name: <prefix>.<schema>.<table>, characters outside [A-Za-z0-9._-] as '_'; or a shared one */
    char *name_space; /* Avro/Connect namespace: same as topic with Avro's character rules */
    char *schema;     /* source schema name, exact */
    char *table;      /* source table name, exact */
    char *
        shared_id; /* the topic holds other tables, too: this one's own name of a topic, which its keys carry; NULL = it is alone */
    struct field *fields;
    size_t field_count;
    size_t *key_fields;     /* indexes into fields, in key order */
    size_t key_count;       /* 0 = no key: records have a null key */
    uint32_t key_schema_id; /* ids in the schema store; 0 = not registered yet (or no key) */
    uint32_t value_schema_id;
    /* Encoders leave null what an envelope says twice: source.sequence and .ts_ns, and its own .ts_us and .ts_ns. */
    bool lean;
    bool
        mariadb; /* capture read it from MariaDB: types are that server's, the source block is that of Debezium's connector for it */
    bool silent_cascades; /* of MariaDB or MySQL: what InnoDB's foreign keys change besides is in no record */
    uint32_t version;     /* 1, 2, …: counts shapes of this table in this process, for logs */
};

/* Deep-copies nothing: takes ownership of heap strings in *fields. Frees all. NULL allowed. */
void table_schema_free(struct table_schema *schema);
/* True if both describe the same topic, table, fields and key (ids and version are not looked at). */
bool table_schema_same(const struct table_schema *a, const struct table_schema *b);
/* Index of the field, or -1. */
int table_schema_find(const struct table_schema *schema, const char *field_name);
/* "<prefix>.<schema>.<table>" as Debezium names it: '_' for each UTF-16 unit that Kafka does not take. malloc'd. */
char *topic_name(const char *prefix, const char *schema, const char *table);
/* "<prefix>.<rest>", by the same rule. malloc'd. */
char *topic_name_of(const char *prefix, const char *rest);
/* The namespace of its schemas, by Avro's rule: parts of [A-Za-z0-9_] that do not begin with a digit. malloc'd.
 */
char *topic_name_space(const char *topic);
/* The topic's name as Kafka compares it when it creates one: '.' and '_' are the same letter to it. Two
 * tables with equal names of this kind cannot both have a topic. malloc'd. */
char *topic_unified(const char *topic);

#endif
