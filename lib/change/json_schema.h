/* Private to lib/change: Connect schema JSON (what JsonConverter puts beside a payload), made and read. */
#ifndef CHANGE_JSON_SCHEMA_H
#define CHANGE_JSON_SCHEMA_H

#include "change/shape.h"

/* What stands around the schema of a record that carries it. */
#define JSON_SCHEMA_HEAD  "{\"schema\":"
#define JSON_PAYLOAD_HEAD ",\"payload\":"

struct json_column {
    char *name; /* member name on the wire */
    size_t name_len;
};

struct json_plan {
    struct json_column *columns; /* same order as table->fields */
    size_t count;
};

/* See codec_ops.schema_texts. */
bool json_schema_texts(const struct table_schema *schema, char **ret_key_json, char **ret_value_json,
                       struct err *err) MUST_CHECK;
/* A shape_parse_fn; the plan is a struct json_plan. */
bool json_shape_parse(const char *topic, const char *schema_json, struct shape *ret,
                      struct err *err) MUST_CHECK;
void json_plan_free(void *plan);

#endif
