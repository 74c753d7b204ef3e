/*
 * Private to lib/change: what a schema text says of a column and of a table beyond its type, as Kafka Connect
 * parameters, and how a table_schema is made from them again. Names of the source column parameters are
 * Debezium's (column.propagate.source.type); those beginning with "crossfade." are ours, and consumers pass
 * over them.
 */
#ifndef CHANGE_CONNECT_H
#define CHANGE_CONNECT_H

#include <jansson.h>

#include "change/nested.h"
#include "change/table.h"
#include "core/attr.h"

#define PARAM_COLUMN_TYPE   "__debezium.source.column.type"
#define PARAM_COLUMN_LENGTH "__debezium.source.column.length"
#define PARAM_COLUMN_SCALE  "__debezium.source.column.scale"
#define PARAM_COLUMN_NAME   "__debezium.source.column.name"
#define PARAM_KEY           "crossfade.key"    /* on key columns: place in the key, from 1 */
#define PARAM_SCHEMA        "crossfade.schema" /* on the row: exact names */
#define PARAM_TABLE         "crossfade.table"
#define PARAM_SOURCE                                                                                         \
    "crossfade.source"                /* on the row: "mariadb" = types are that server's; else PostgreSQL's */
#define PARAM_TOPIC "crossfade.topic" /* on the row: of a table that shares this topic with others */

#define PARAM_TYPMOD   "crossfade.typmod"   /* on columns: struct field.source_typmod */
#define PARAM_ENCODING "crossfade.encoding" /* on columns: struct field.text_encoding */
#define PARAM_LOSSY    "crossfade.lossy"    /* on columns: "true" = values may not come back as they were */

#define SOURCE_MARIADB "mariadb"

#define SEMANTIC_BITS "io.debezium.data.Bits"
#define SEMANTIC_ENUM "io.debezium.data.Enum"

/* Columns that a schema text may have; PostgreSQL's own limit is 1600. */
#define COLUMNS_MAX 8192

/* What must hold before a schema text can be made: names are UTF-8, types known, key fields in range. */
bool connect_check(const struct table_schema *schema, struct err *err) MUST_CHECK;
/* New references. key_ordinal 0 = no key column. */
json_t *connect_column_parameters(const struct field *field, size_t key_ordinal);
json_t *connect_key_parameters(const struct field *field); /* of a column of the key struct; NULL = none */
/* Of an array's elements; NULL = none. */
json_t *connect_item_parameters(const struct field *field);
json_t *connect_table_parameters(const struct table_schema *schema);
/* Place of field `index` in the key, from 1; 0 = not in it. */
size_t connect_key_ordinal(const struct table_schema *schema, size_t index);

/* A table under construction. */
struct table_draft {
    struct field *fields;
    size_t *ordinals; /* per field: place in the key, from 1; 0 = none */
    size_t count;
};

bool table_draft_init(struct table_draft *draft, size_t count, struct err *err) MUST_CHECK;
void table_draft_release(struct table_draft *draft);
/* A column as a schema text has it. */
struct draft_column {
    const char *wire_name;
    enum phys phys, elem; /* elem: ARRAY only */
    bool elem_required;
    const char *semantic; /* ARRAY: of the elements */
    bool optional;
    const json_t *params;       /* NULL = none */
    const json_t *value_params; /* those of the value's meaning: the same, or those of an array's elements */
};
bool table_draft_add(struct table_draft *draft, const struct draft_column *column,
                     struct err *err) MUST_CHECK;
/* Takes the fields over. table_params may be NULL: names then come from the topic's last two parts. */
bool table_draft_finish(struct table_draft *draft, const char *topic, const char *name_space,
                        const json_t *table_params, struct table_schema **ret, struct err *err) MUST_CHECK;

/* Dumps compactly and drops the reference; malloc'd. */
char *connect_dump(json_t *owned);

#endif
