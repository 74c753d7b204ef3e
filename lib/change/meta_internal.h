/* Private to lib/change: records as trees (jansson) by a schema of Kafka Connect's, in Avro. For what is rare. */
#ifndef CHANGE_META_INTERNAL_H
#define CHANGE_META_INTERNAL_H

#include <jansson.h>

#include "core/err.h"
#include "core/strbuf.h"

/* The Avro schema of a Connect schema, as Debezium's Avro converters register it. New reference. */
json_t *meta_avro_schema(const json_t *connect);
/* A text. New reference. */
json_t *meta_base64(const void *bytes, size_t len);
/* Appends the body of a value (bytes as base64 texts). A value that does not fit its schema is a bug. */
void meta_avro_write(const json_t *connect, const json_t *value, struct strbuf *out);
/* Reads a body to its end. NULL with *ret_why set. New reference. */
json_t *meta_avro_read(const json_t *connect, const void *bytes, size_t len, const char **ret_why);

#endif
