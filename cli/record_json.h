/* One journal record as one line of JSON, whatever its format: {stream, partition, offset, timestamp, key,
 * value, headers}. Values of Avro records are decoded through the built-in schema stream. */
#ifndef CLI_RECORD_JSON_H
#define CLI_RECORD_JSON_H

#include "core/strbuf.h"
#include "journal/journal.h"

struct record_printer;

struct record_printer *record_printer_new(const struct journal_config *config);
void record_printer_free(struct record_printer *printer); /* NULL allowed */
/* Appends the line, newline included. A value that does not decode is an error: it names the record. */
bool record_print(struct record_printer *printer, const struct journal_record *rec, struct strbuf *out,
                  struct err *err) MUST_CHECK;

#endif
