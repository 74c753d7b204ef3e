/* Private to lib/change: pieces of JSON text, appended to a strbuf. Floats as Kafka Connect's JsonConverter
 * has them. */
#ifndef CHANGE_JSON_WRITE_H
#define CHANGE_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "change/datum.h"
#include "core/strbuf.h"

/* Quoted and escaped. Text must be valid UTF-8. */
void json_put_string(struct strbuf *out, const char *text, size_t len);
void json_put_int(struct strbuf *out, int64_t v);
/* Shortest text that reads back to the same number; NaN and infinities as the strings "NaN", "Infinity",
 * "-Infinity". single: the value is a float. */
void json_put_float(struct strbuf *out, double v, bool single);
/* Quoted base64 with padding. */
void json_put_base64(struct strbuf *out, const void *bytes, size_t len);
/* A value that is there; not a nested one (json_nested.h). Here, since it runs for each value. */
static inline void json_put_scalar(struct strbuf *out, enum phys phys, const struct datum *d)
{
    switch (phys) {
    case PHYS_BOOL:
        strbuf_adds(out, d->i != 0 ? "true" : "false");
        return;
    case PHYS_INT16:
    case PHYS_INT32:
    case PHYS_INT64:
        json_put_int(out, d->i);
        return;
    case PHYS_FLOAT32:
    case PHYS_FLOAT64:
        json_put_float(out, d->f, phys == PHYS_FLOAT32);
        return;
    case PHYS_STRING:
        json_put_string(out, d->s.p, d->s.len);
        return;
    case PHYS_BYTES:
        json_put_base64(out, d->s.p, d->s.len);
        return;
    default:
        BUG("physical type %d", (int)phys);
    }
}

#endif
