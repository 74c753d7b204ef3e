/*
 * Nested values of columns: arrays (one dimension), structs of a few fixed shapes, maps of text to text. In a
 * datum they are bytes (s.p, s.len): the value's Avro body, whatever the journal's format; so Avro passes
 * them through, and nothing is allocated per element.
 *
 * PHYS_ARRAY   blocks of elements of phys field->elem with the meaning of field->semantic; an element that
 *              may be null has a union branch in front (0 = null, 1)
 * PHYS_STRUCT  the members in order; the shape is named by field->semantic
 * PHYS_MAP     blocks of (text key, optional text value)
 */
#ifndef CHANGE_NESTED_H
#define CHANGE_NESTED_H

#include "change/table.h"
#include "core/arena.h"
#include "core/strbuf.h"

#define SEMANTIC_DECIMAL    "org.apache.kafka.connect.data.Decimal"
#define SEMANTIC_VARIABLE   "io.debezium.data.VariableScaleDecimal"
#define SEMANTIC_POINT      "io.debezium.data.geometry.Point"
#define SEMANTIC_GEOMETRY   "io.debezium.data.geometry.Geometry"
#define NESTED_MEMBERS_MAX  4
#define NESTED_STAND_IN_MAX 128

struct nested_member {
    const char *name;
    enum phys phys;
    bool optional;
};

struct nested_struct {
    const char *semantic;
    const char *doc;
    size_t count;
    struct nested_member members[NESTED_MEMBERS_MAX];
};

/* The struct's shape; NULL if there is none of this name. */
const struct nested_struct *nested_struct_find(const char *semantic);

/* --- making a body --- */

void nested_add_long(struct strbuf *out, int64_t v);
/* One value; with its branch if it may be null. A nested datum goes in as it is. */
void nested_add(struct strbuf *out, enum phys phys, bool optional, const struct datum *d);

/* --- reading one --- */

struct nested_reader {
    const unsigned char *p, *end;
    const char *failed; /* NULL, or what was wrong first */
    int64_t block;      /* elements left in the block at hand */
};

void nested_open(struct nested_reader *r, const void *body, size_t len);
/* The next element of an array; false at its end or after a failure. */
bool nested_next(struct nested_reader *r, const struct field *f, struct datum *ret);
/* The next entry of a map. */
bool nested_next_entry(struct nested_reader *r, struct datum *ret_key, struct datum *ret_value);
/* All members of a struct. */
void nested_members(struct nested_reader *r, const struct nested_struct *shape,
                    struct datum ret[NESTED_MEMBERS_MAX]);
/* Everything was read, and nothing is left. */
bool nested_at_end(const struct nested_reader *r);

/* True if the body is one of this field: texts are UTF-8, numbers in range, nothing left over. */
bool nested_valid(const struct field *f, const void *body, size_t len);

/* A map as the text of a JSON object, and back (into the arena; false: it is no object of texts and nulls). */
void nested_map_json(struct strbuf *out, const struct datum *map);
bool nested_map_from_json(const char *text, size_t len, struct arena *arena, struct datum *ret) MUST_CHECK;

/* --- what stands for a value that is not there --- */

/* What Debezium writes for a large value that the source did not send, for any kind of column; NULL where it
 * has nothing better (numbers, bit strings). Bodies are built in `room`. */
struct datum nested_stand_in(const struct field *f, char room[NESTED_STAND_IN_MAX]);
/* Is this nested value the one that stands for one that was not sent? */
bool nested_is_stand_in(const struct field *f, const struct datum *d);
/* "", 0, an empty array, a struct of zeros. */
struct datum nested_empty(const struct field *f);

#endif
