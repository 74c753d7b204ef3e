/*
 * The readers of record values, Avro and JSON. Input: one line with the schema's JSON text, then the value's bytes. What is
 * accepted is written again under its own schema texts and must come back the same.
 */
#ifndef FUZZ_RECORD_H
#define FUZZ_RECORD_H

#include "fuzz.h"

/* format: "avro" or "json" */
void fuzz_record(const char *format, const uint8_t *bytes, size_t len);

#endif
