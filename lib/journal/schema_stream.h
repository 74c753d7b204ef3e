/*
 * The built-in schema store: stream <prefix>.schemas of the journal itself, so no extra server is needed.
 * Record: key = id as 4 bytes big-endian, value = JSON {"id", "subject", "version", "format", "schema"}
 * (schema as a string). A schema is appended in the same unit as, and before, the first record that uses it.
 */
#ifndef JOURNAL_SCHEMA_STREAM_H
#define JOURNAL_SCHEMA_STREAM_H

#include "change/codec.h"
#include "journal/journal.h"

struct schema_stream;

/* Reads all schemas that are there (through a reader of its own, closed again). The writer's side opens its
 * journal_writer first: only then is settled what an earlier one left. Texts of *config are copied. */
bool schema_stream_open(const struct journal_config *config, struct schema_stream **ret,
                        struct err *err) MUST_CHECK;
/* Writer side: id of this text under this subject ("<topic>-key", "<topic>-value"); appended to jw if it is
 * new. Forget-safe: if the unit is not committed the caller closes everything and opens anew. @thread: jw's
 */
bool schema_stream_register(struct schema_stream *ss, struct journal_writer *jw, const char *subject,
                            const char *format, const char *schema_json, uint32_t *ret_id,
                            struct err *err) MUST_CHECK;
/* Reader side: a source for decoders that reads on in the stream when an id is unknown. */
struct schema_source schema_stream_source(struct schema_stream *ss);
void schema_stream_close(struct schema_stream *ss);

#endif
