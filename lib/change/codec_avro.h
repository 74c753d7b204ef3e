/* Private to lib/change: the two halves of the Avro codec meet in the ops table of codec_avro.c. */
#ifndef CHANGE_CODEC_AVRO_H
#define CHANGE_CODEC_AVRO_H

#include "change/codec.h"

struct shape;
struct raw_envelope;

/* Confluent framing: a zero byte and the schema id, big-endian. */
#define AVRO_FRAME_BYTES 5

bool avro_decode_value(struct decoder *dec, const char *topic, uint32_t schema_id, const void *value,
                       size_t len, struct arena *arena, struct change *ret, struct err *err) MUST_CHECK;

/* One envelope behind its frame, before any judgement. */
bool avro_decode_raw(const struct shape *shape, const void *body, size_t len, struct arena *arena,
                     struct raw_envelope *ret, struct err *err) MUST_CHECK;

#endif
