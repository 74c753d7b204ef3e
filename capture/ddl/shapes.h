/*
 * Which shape (columns, types, key) each table had last, as far as the journal knows, and which changes of it were accepted.
 * Kept in stream <prefix>.schemas as records with key "shape" beside the schemas, so that no topic more is needed:
 *
 *   {"table_shape": {"oid", "schema", "table", "columns": [{"name", "type", "modifier", "key", "added",
 *    "kind", "type_schema", "type_name", "base", "base_modifier"}]},
 *    "state": "current" | "halted" | "accepted", "change": text}
 *
 * current: written in the unit of the first record that has this shape. halted: capture has stopped before the first row of
 * this shape. accepted: by a person; it becomes current when the stream comes to it. {"table_shape": null, "state":
 * "forgotten"}: a copy begins anew. The last record of a table wins.
 *
 * In a journal that is written without transactions, "current" and "forgotten" may stand there although the unit that they belong to
 * never got its fence. {"table_shape": null, "state": "void", "from": offset} says that those of them from this offset up to this
 * record mean nothing; the next capture writes it (its last fence says where what is fenced ends).
 * @thread owner
 */
#ifndef CAPTURE_SHAPES_H
#define CAPTURE_SHAPES_H

#include "capture/capture_internal.h"
#include "pg/types/catalog.h"

struct cap_shape_column {
    char *name;
    uint32_t type_oid;
    int32_t typmod;
    /* Of a user's enum or domain: it may be dropped before its rows are read. NULL = any other. */
    struct pg_type *type;
    bool key;
    bool added; /* not there at first: stays optional, so that schemas evolve compatibly */
};

struct cap_shape {
    uint32_t oid;
    char *schema, *table;
    struct cap_shape_column *columns;
    size_t column_count;
    char *change; /* halted, accepted: what is different, for people; else NULL */
};

enum cap_shape_news {
    SHAPE_NEWS_UNKNOWN = 0,
    SHAPE_FIRST,    /* never seen */
    SHAPE_SAME,     /* as it was */
    SHAPE_ACCEPTED, /* changed, and somebody has agreed */
    SHAPE_CHANGED,
    SHAPE_TAKEN /* the name belonged to another table: what the target has under it are other rows */
};

struct cap_shapes;

struct cap_shapes *cap_shapes_new(void);
/* Reads them from the journal, through a reader of its own. fenced_next: as the last fence has it (schemas_next); UINT64_MAX: what
 * is behind it is not looked for. *ret_unfenced: some are there that no fence covers; they are not taken. NULL allowed. */
bool cap_shapes_read(const struct journal_config *journal, uint64_t fenced_next, struct cap_shapes **ret,
                     bool *ret_unfenced, struct err *err) MUST_CHECK;
void cap_shapes_free(struct cap_shapes *shapes); /* NULL allowed */

enum cap_shape_news cap_shapes_judge(const struct cap_shapes *shapes, const struct source_table *t);
/* The current shape of this table; NULL = none. */
const struct cap_shape *cap_shapes_current(const struct cap_shapes *shapes, uint32_t oid);
/* The current shape under this name; NULL = none. */
const struct cap_shape *cap_shapes_named(const struct cap_shapes *shapes, const char *schema,
                                         const char *table);
/* The column came later than the table. */
bool cap_shapes_is_added(const struct cap_shapes *shapes, const struct source_table *t, const char *column);
/* t is current from now on. Types are looked up in `types` (conn idle; both may be NULL). The record that says so, for the journal;
 * malloc'd. NULL with an err. */
char *cap_shapes_take(struct cap_shapes *shapes, const struct source_table *t, struct pg_type_catalog *types,
                      struct pg_conn *conn, struct err *err);
/* Tells `types` what the current shape knows of its columns' types. */
void cap_shapes_remember_types(const struct cap_shapes *shapes, uint32_t oid, struct pg_type_catalog *types);
/* Whether a shape with this news may not be published before somebody has agreed. */
bool cap_shape_needs_person(const struct cap_settings *settings, enum cap_shape_news news);
/* Remembers that t's shape stops this session. False with ERR_SCHEMA, which says what to do. */
bool cap_shape_refuse(struct cap_shapes *shapes, const struct source_table *t, enum cap_shape_news news,
                      const char *change, struct err *err);
bool cap_shapes_has_halted(const struct cap_shapes *shapes);
/* Writes what cap_shape_refuse() remembered, in a unit of its own; nothing if the journal says so already. No writer is open. */
bool cap_shapes_write_halt(const struct cap_shapes *shapes, const struct journal_config *journal,
                           struct err *err) MUST_CHECK;
/* Calls each() with every shape that waits for acceptance (the newest of each table). */
void cap_shapes_waiting(const struct cap_shapes *shapes,
                        void (*each)(void *ctx, const struct cap_shape *shape), void *ctx);
/* Appends "accepted" for this shape to the stream. */
bool cap_shape_append_accepted(struct journal_writer *jw, const char *topic_prefix,
                               const struct cap_shape *shape, struct err *err) MUST_CHECK;

/* The text of such a record goes into jw's unit. @thread: jw's */
bool cap_shape_append(struct journal_writer *jw, const char *topic_prefix, const char *text,
                      struct err *err) MUST_CHECK;
/* What is written when a copy begins anew. */
extern const char cap_shapes_forgotten[];

#endif
