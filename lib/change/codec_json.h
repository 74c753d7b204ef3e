/* Private to lib/change: the two halves of the JSON codec meet in the ops table of codec_json.c. */
#ifndef CHANGE_CODEC_JSON_H
#define CHANGE_CODEC_JSON_H

#include "change/codec.h"

struct shape;
struct raw_envelope;

bool json_decode_value(struct decoder *dec, const char *topic, uint32_t schema_id, const void *value,
                       size_t len, struct arena *arena, struct change *ret, struct err *err) MUST_CHECK;

/* One envelope, bare or beside its schema, before any judgement. */
bool json_decode_raw(const struct shape *shape, const void *value, size_t len, struct arena *arena,
                     struct raw_envelope *ret, struct err *err) MUST_CHECK;

#endif
