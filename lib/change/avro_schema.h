/*
 * Private to lib/change: Avro schema texts. Making them from a table, and compiling any Debezium envelope
 * schema (ours or one that Debezium wrote) into a plan that the decoder walks. The JSON text is the truth:
 * avro-c's own schema objects forget connect.*, defaults and logical types.
 */
#ifndef CHANGE_AVRO_SCHEMA_H
#define CHANGE_AVRO_SCHEMA_H

#include "change/shape.h"
#include "core/arena.h"

enum avro_kind {
    AVRO_KIND_UNKNOWN = 0,
    AVRO_KIND_NULL,
    AVRO_KIND_BOOL,
    AVRO_KIND_INT,
    AVRO_KIND_LONG,
    AVRO_KIND_FLOAT,
    AVRO_KIND_DOUBLE,
    AVRO_KIND_BYTES,
    AVRO_KIND_STRING,
    AVRO_KIND_FIXED,
    AVRO_KIND_ENUM,
    AVRO_KIND_ARRAY,
    AVRO_KIND_MAP,
    AVRO_KIND_UNION,
    AVRO_KIND_RECORD,
};

/* A type as parsed. Records may refer to themselves. */
struct avro_node {
    enum avro_kind kind;
    size_t count;             /* fields, branches, symbols; FIXED: bytes */
    struct avro_node **items; /* fields' or branches' types; ARRAY, MAP: one */
    const char **names;       /* RECORD: field names */
};

/* What a field of envelope, source or transaction is for. */
enum avro_role {
    ROLE_SKIP = 0,
    ROLE_BEFORE,
    ROLE_AFTER,
    ROLE_SOURCE,
    ROLE_TRANSACTION,
    ROLE_OP,
    ROLE_TS_MS,
    ROLE_TS_US,
    ROLE_HINTS,
    ROLE_SOURCE_NAME,
    ROLE_SOURCE_DB,
    ROLE_SOURCE_TS_MS,
    ROLE_SOURCE_TS_US,
    ROLE_SOURCE_SNAPSHOT,
    ROLE_SOURCE_SEQUENCE,
    ROLE_SOURCE_TXID,
    ROLE_SOURCE_LSN,
    ROLE_SOURCE_CONNECTOR,
    ROLE_SOURCE_SCHEMA,
    ROLE_SOURCE_TABLE,
    ROLE_SOURCE_FILE,
    ROLE_SOURCE_GTID,
    ROLE_SOURCE_POS,
    ROLE_SOURCE_ROW,
    ROLE_SOURCE_SERVER_ID,
    ROLE_TRANSACTION_ID,
    ROLE_TOTAL_ORDER,
    ROLE_TABLE_ORDER,
};

struct avro_step {
    enum avro_role role;
    enum avro_kind kind; /* what is to be read once the union is dealt with */
    int null_branch;     /* -1: no union; 0, 1: that branch is null, the other one is the value */
    const struct avro_node *node;
};

struct avro_steps {
    struct avro_step *items;
    size_t count;
};

struct avro_plan {
    struct arena arena;
    struct avro_steps envelope, source, transaction;
    struct avro_steps columns; /* role unused; same order as table->fields */
};

/* See codec_ops.schema_texts. */
bool avro_schema_texts(const struct table_schema *schema, char **ret_key_json, char **ret_value_json,
                       struct err *err) MUST_CHECK;
/* A shape_parse_fn; the plan is a struct avro_plan. */
bool avro_shape_parse(const char *topic, const char *schema_json, struct shape *ret,
                      struct err *err) MUST_CHECK;
void avro_plan_free(void *plan);
/* Any record's schema as nodes, for those that walk it themselves. */
struct avro_record;
bool avro_record_parse(const char *schema_json, struct avro_record **ret, struct err *err) MUST_CHECK;
const struct avro_node *avro_record_root(const struct avro_record *rec);
void avro_record_free(struct avro_record *rec); /* NULL allowed */
/* Name of the row's n-th field, as the schema has it. */
const char *avro_plan_column(const struct avro_plan *plan, size_t index);

#endif
