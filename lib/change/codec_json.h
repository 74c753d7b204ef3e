/* Private to lib/change: the two halves of the JSON codec meet in the ops table of codec_json.c. */
#ifndef CHANGE_CODEC_JSON_H
#define CHANGE_CODEC_JSON_H

#include "change/codec.h"

bool json_decode_value(struct decoder *dec, const char *topic, uint32_t schema_id, const void *value,
                       size_t len, struct arena *arena, struct change *ret, struct err *err) MUST_CHECK;

#endif
