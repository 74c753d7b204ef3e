/*
 * Private to lib/change: what both codecs keep. An encoder begins with `struct encoder`, a decoder is the
 * cache of shapes; a shape is one value schema as seen under one topic.
 */
#ifndef CHANGE_SHAPE_H
#define CHANGE_SHAPE_H

#include "change/codec.h"

extern const struct codec_ops codec_avro_ops;
extern const struct codec_ops codec_json_ops, codec_json_schemas_ops;

struct encoder {
    const struct table_schema *schema; /* the caller's, outlives the encoder */
};

struct shape {
    uint32_t id;
    struct table_schema *table;
    bool has_hints; /* the schema has the `crossfade` field: no guessing by the placeholder's text */
    void *plan;     /* the codec's own */
    char *server;   /* first source.name and source.db seen: they hardly ever change */
    char *database;
    struct shape *next; /* same id, other topic */
};

/* Makes a shape from a schema's text: fills table, has_hints, plan. */
typedef bool shape_parse_fn(const char *topic, const char *schema_json, struct shape *ret, struct err *err);

struct shape_slot;
struct decoder {
    struct schema_source schemas;
    shape_parse_fn *parse;
    void (*plan_free)(void *plan);
    struct shape *last;
    struct shape_slot *slots;
};

struct decoder *decoder_new(const struct schema_source *schemas, shape_parse_fn *parse,
                            void (*plan_free)(void *plan));
void decoder_free(struct decoder *dec); /* NULL allowed */
/* The shape of this schema id under this topic, looked up and parsed at first sight. */
bool decoder_shape(struct decoder *dec, const char *topic, uint32_t id, struct shape **ret,
                   struct err *err) MUST_CHECK;

#endif
