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
int64_t json_take_ranged(struct json_reader *jr, int64_t least, int64_t most);
void json_take_scalar(struct json_reader *jr, enum phys phys, struct datum *d);

#endif
