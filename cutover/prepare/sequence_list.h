/*
 * Sequences of the source that a cutover takes along, hundreds in one round trip: the pause is what clients wait for. Private to cutover.
 * @thread owner
 */
#ifndef CUTOVER_PREPARE_SEQUENCE_LIST_H
#define CUTOVER_PREPARE_SEQUENCE_LIST_H

#include "cutover/cutover_internal.h"

#define SEQUENCES_AT_ONCE 500

struct sequence {
    char *schema, *name;           /* on the source */
    char *about;                   /* JSON: what it is (schemas/sql/cutover_sequences.sql) */
    char *twin_schema, *twin_name; /* on the target; NULL until it was set */
    int64_t value; /* last_value of the source: what was handed out, caches of sessions included */
    bool called;
};

struct sequence_list {
    struct sequence *items;
    size_t count;
};

/* All of the source, without values. Released by the caller, also after a failure. */
bool sequence_list_read(struct cutover *co, struct sequence_list *ret, struct err *err) MUST_CHECK;
void sequence_list_release(struct sequence_list *list);
/* last_value and is_called of items[from … from + count) as they stand on one side (twin: their twins on the target) into the two arrays. */
bool sequence_values(struct pg_conn *conn, const struct sequence_list *list, size_t from, size_t count,
                     bool twin, int64_t *ret_values, bool *ret_called, struct err *err) MUST_CHECK;
/* What they are, as a JSON array. */
void sequence_abouts(const struct sequence_list *list, size_t from, size_t count, struct strbuf *out);

#endif
