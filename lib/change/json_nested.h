/* Private to lib/change: values of columns as JSON, written and read: scalars, and nested ones
 * (change/nested.h) in the form that Kafka Connect's JsonConverter gives them. */
#ifndef CHANGE_JSON_NESTED_H
#define CHANGE_JSON_NESTED_H

#include "change/json_read.h"
#include "change/nested.h"

/* A value that is not null. Bytes that are no body of this field fail the buffer. */
void json_put_nested(struct strbuf *out, const struct field *f, const struct datum *d);
/* What comes next, which is not null; the body goes into the reader's arena. */
void json_take_nested(struct json_reader *jr, const struct field *f, struct datum *ret);

static inline int64_t json_take_ranged(struct json_reader *jr, int64_t least, int64_t most)
{
    int64_t v = json_take_int(jr);
    if (v < least || v > most)
        json_fail(jr, "integer is out of its type's range");
    return v;
}

/* Here, since it runs for each value. */
static inline void json_take_scalar(struct json_reader *jr, enum phys phys, struct datum *d)
{
    size_t len = 0;
    d->state = DATUM_VALUE;
    switch (phys) {
    case PHYS_BOOL:
        d->i = json_take_bool(jr);
        return;
    case PHYS_INT16:
        d->i = json_take_ranged(jr, INT16_MIN, INT16_MAX);
        return;
    case PHYS_INT32:
        d->i = json_take_ranged(jr, INT32_MIN, INT32_MAX);
        return;
    case PHYS_INT64:
        d->i = json_take_int(jr);
        return;
    case PHYS_FLOAT32:
    case PHYS_FLOAT64:
        d->f = json_take_float(jr, phys == PHYS_FLOAT32);
        return;
    case PHYS_STRING:
        json_take_string(jr, &d->s.p, &len);
        break;
    case PHYS_BYTES:
        json_take_base64(jr, &d->s.p, &len);
        break;
    default:
        json_fail(jr, "column without a type");
        return;
    }
    d->s.len = (uint32_t)len;
    if (len > UINT32_MAX)
        json_fail(jr, "value is longer than 4 GiB");
}

#endif
