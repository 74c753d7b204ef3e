/* The implementations of schema_store.h; nobody outside of this module sees them. */
#ifndef JOURNAL_SCHEMA_STORES_H
#define JOURNAL_SCHEMA_STORES_H

#include "journal/schema_store.h"

/* Stream <prefix>.schemas of the journal itself. Record: key = id as 4 bytes big-endian, value = JSON {"id",
 * "subject", "version", "format", "schema"} (schema as a string). A schema is appended in the same unit as,
 * and before, the first record that uses it. Ids count up from 1. Records
 * with key "shape" are not schemas: they are passed over. */
extern const struct schema_store_ops schema_store_stream;
/* A Confluent-compatible registry at config->registry; Avro only. */
extern const struct schema_store_ops schema_store_registry;

#endif
