/*
 * Where schemas get their ids, and where they are found by id. Two implementations, chosen by the journal's
 * configuration: the built-in stream <prefix>.schemas (default, no extra server), and a Confluent-compatible
 * registry over HTTP (journal.registry). Capture, apply and the commands do not see which.
 *
 * The ids of the two have nothing to do with each other, so a journal keeps to the one that it began with: the
 * stream's first record tells which (schema_home.h), and the other one is refused (ERR_CONFIG).
 */
#ifndef JOURNAL_SCHEMA_STORE_H
#define JOURNAL_SCHEMA_STORE_H

#include "change/codec.h"
#include "journal/journal.h"

struct schema_store;

struct schema_store_ops {
    const char *name; /* "stream", "registry" */
    bool shared;      /* others give ids there, too */
    bool (*open)(const struct journal_config *config, struct schema_store **ret, struct err *err);
    bool (*put)(struct schema_store *store, struct journal_writer *jw, const char *subject,
                const char *format, const char *schema_json, uint32_t *ret_id, struct err *err);
    bool (*lookup)(struct schema_store *store, uint32_t id, const char **ret_json, struct err *err);
    void (*close)(struct schema_store *store);
};

/* Every implementation's struct begins with its ops. */
struct schema_store {
    const struct schema_store_ops *ops;
};

/* Texts of *config are copied. The writer's side opens its journal_writer first: only then is settled what an
 * earlier one left. ERR_CONFIG if the journal keeps its schemas elsewhere. */
bool schema_store_open(const struct journal_config *config, struct schema_store **ret,
                       struct err *err) MUST_CHECK;
/* Writer side: id of this text under this subject ("<topic>-key", "<topic>-value"). What the store itself has
 * to write goes into jw's unit. Forget-safe: if the unit is not committed the caller closes everything and
 * opens anew. ERR_SCHEMA: the store refuses the schema; ERR_CONNECT: it is away. @thread: jw's */
bool schema_store_register(struct schema_store *store, struct journal_writer *jw, const char *subject,
                           const char *format, const char *schema_json, uint32_t *ret_id,
                           struct err *err) MUST_CHECK;
/* Reader side: a source for decoders. An id that was seen is never asked for again; an unknown one is looked
 * for (ERR_PROTOCOL if it does not exist, ERR_CONNECT if the store is away). @thread any */
struct schema_source schema_store_source(struct schema_store *store);
void schema_store_close(struct schema_store *store); /* NULL allowed */

/* The id that a record names in its header (HEADER_SCHEMA_ID); 0 = none. */
uint32_t schema_store_id_of(const struct journal_record *rec);

#endif
