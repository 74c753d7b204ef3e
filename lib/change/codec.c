/* Owns: the choice of a codec by name. See codec.h. */
#include "change/codec.h"

#include <string.h>

#include "change/shape.h"

const struct codec_ops *codec_by_name(const char *name)
{
    static const struct codec_ops *const all[] = {&codec_avro_ops, &codec_json_ops};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    }
    return NULL;
}

const struct codec_ops *codec_with_schemas(const struct codec_ops *codec)
{
    return codec == &codec_json_ops ? &codec_json_schemas_ops : codec;
}
