/*
 * Where a journal keeps its schemas, as its stream <prefix>.schemas tells by its first record: a schema (ids
 * of the built-in stream), or a note that they are in a registry. Without this a record whose id came from
 * the one could be read with whatever the other has under that number.
 *
 * The note: key = 4 zero bytes (no schema has id 0), value = {"id": 0, "registry": URL}. The URL (never with
 * credentials) is for people: a registry may move.
 */
#ifndef JOURNAL_SCHEMA_HOME_H
#define JOURNAL_SCHEMA_HOME_H

#include <jansson.h>

#include "journal/journal.h"

enum schema_home {
    SCHEMA_HOME_UNKNOWN = 0, /* nothing stands there yet */
    SCHEMA_HOME_STREAM,
    SCHEMA_HOME_REGISTRY,
};

/* Key of records that are no schemas, but shapes of tables (capture/ddl/shapes.h). */
#define SCHEMA_SHAPE_KEY "shape"
bool schema_record_is_shape(const struct journal_record *rec);

/* Looks, through a reader of its own. */
bool schema_home_read(const struct journal_config *config, enum schema_home *ret, struct err *err) MUST_CHECK;
/* The note's URL if this record of the stream is the note, else NULL. Belongs to root. */
const char *schema_home_note(const json_t *root);
/* Appends the note to jw's unit. `url` as it may be shown. */
bool schema_home_write(struct journal_writer *jw, const char *topic_prefix, const char *url,
                       struct err *err) MUST_CHECK;

#endif
