/* The function of the source that every trigger of the freeze calls: whom it refuses, and until when. Private to this module. @thread owner */
#ifndef CUTOVER_REFUSE_H
#define CUTOVER_REFUSE_H

#include "cutover_internal.h"

/* All tables that hold published rows, or through which such rows are written: the published ones, every level of partitions below,
 * and all that they inherit from. Columns nspname, relname, oid. publication: an SQL expression. */
#define FROZEN_TABLES(publication)                                                                           \
    "WITH RECURSIVE published AS (SELECT pc.oid FROM pg_catalog.pg_publication_tables p"                     \
    "  JOIN pg_catalog.pg_namespace pn ON pn.nspname = p.schemaname"                                         \
    "  JOIN pg_catalog.pg_class pc ON pc.relnamespace = pn.oid AND pc.relname = p.tablename"                 \
    "  WHERE p.pubname = " publication " AND p.schemaname <> 'crossfade'),"                                  \
    " held (oid) AS (SELECT oid FROM published UNION SELECT t.relid::oid FROM published"                     \
    "  CROSS JOIN LATERAL pg_catalog.pg_partition_tree(published.oid) t"                                     \
    "  UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN held ON i.inhrelid = held.oid)"           \
    " SELECT n.nspname, c.relname, c.oid FROM held JOIN pg_catalog.pg_class c ON c.oid = held.oid"           \
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"                                              \
    " WHERE c.relkind IN ('r', 'p') ORDER BY 1, 2"

/* Adds its quoted name: each pipeline has its own, or the next one's cutover would open what this one's has closed. */
void refuse_add_name(struct strbuf *out, const char *pipeline);
/* Where triggers stand that call it: nspname, relname. conn: on the side that it closes; pipeline: whose it is. *ret: by pg_result_free(). */
bool refuse_triggers(struct pg_conn *conn, const char *pipeline, struct pg_result **ret,
                     struct err *err) MUST_CHECK;
/* Has it let everything pass, on any session, also within a transaction: the caller has seen to it that this side is to serve. */
bool refuse_pass_on(struct pg_conn *conn, const char *pipeline, struct err *err) MUST_CHECK;
/* Lets everything pass, as long as the decision is open (else ERR_FENCED). */
bool refuse_nobody(struct cutover *co, struct err *err) MUST_CHECK;
/* Raises until the pause budget ends, by the source's own clock; from then on only if the decision is switched. ERR_FENCED: it is not
 * open any more. */
bool refuse_for_now(struct cutover *co, struct err *err) MUST_CHECK;
/* Raises without end. Within the transaction that decides. */
bool refuse_for_good(struct cutover *co, struct err *err) MUST_CHECK;
/* Lets everything pass again. ERR_FENCED: the decision is not aborted, or not this cutover's. */
bool refuse_no_more(struct cutover *co, struct err *err) MUST_CHECK;

#endif
