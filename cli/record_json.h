/* One journal record as one line of JSON, whatever its format: {stream, partition, offset, timestamp, key,
 * value, headers}. Values of Avro records are decoded through the built-in schema stream or
 * the registry. */
#ifndef CLI_RECORD_JSON_H
#define CLI_RECORD_JSON_H

#include "apply/foreign.h"
#include "core/strbuf.h"
#include "journal/journal.h"

struct record_printer;

struct record_printer *record_printer_new(const struct journal_config *config);
/* From now on records are those of Debezium's connectors; the settings must outlive the printer. */
void record_printer_foreign(struct record_printer *printer, const struct foreign_settings *set);
void record_printer_free(struct record_printer *printer); /* NULL allowed */
/* Key and value of the record as JSON texts; "null" where it has none. A value that does not decode is an error: it names
 * the record. Valid until the next call. */
struct record_texts {
    const char *key, *value;
};
bool record_texts(struct record_printer *printer, const struct journal_record *rec, struct record_texts *ret,
                  struct err *err) MUST_CHECK;
/* Appends the line of a record whose texts were just made, newline included: the record with its place, or the envelope
 * alone, as Debezium's JSON without schemas has it. */
bool record_write(struct record_printer *printer, const struct journal_record *rec,
                  const struct record_texts *texts, bool envelope_alone, struct strbuf *out,
                  struct err *err) MUST_CHECK;

#endif
