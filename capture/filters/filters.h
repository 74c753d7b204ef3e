/*
 * What source.filters means for capture: which columns a table has for us, what its publication says, and that nothing slips through
 * when rules, tables or the publication change (a masked column's values are never in the journal).
 *
 * The publication's comment remembers what its tables were published with: their names, a digest of the rules, the server's form of row filter and
 * column list, and the columns whose values nobody may see, by number, since a column may get another name.
 * @thread: the connection's owner
 */
#ifndef CAPTURE_FILTERS_H
#define CAPTURE_FILTERS_H

#include "capture/capture_internal.h"
#include "capture/stream/relation.h"

/* Leaves out columns and sets the key. ERR_CONFIG when the rules would collapse rows or lose the key. Also for tables that are only
 * looked at (check). */
bool cap_filters_shape(const struct table_rules *rules, struct source_table *t, struct err *err) MUST_CHECK;
/* The topic: by rule, or as journal_topic() has it. malloc'd. */
char *cap_filters_topic(const struct table_rules *rules, const struct topic_routing *routing,
                        const char *prefix, const char *schema, const char *table, bool *ret_shared);

/* What can be refused beforehand. s->tables are loaded and shaped. begins: a copy does, so that all that rules name must be there (later
 * on, columns may have been dropped or renamed). */
bool cap_filters_check(struct cap_session *s, bool begins, struct err *err) MUST_CHECK;
/* What can be refused of one table. */
bool cap_filters_check_table(struct cap_session *s, const struct source_table *t, struct err *err) MUST_CHECK;
/* Behind the table's name in the publication. */
bool cap_filters_publish(struct cap_session *s, const struct source_table *t, struct strbuf *sql,
                         struct err *err) MUST_CHECK;
/* Writes the comment: after the publication was set, in the same transaction. */
bool cap_filters_remember(struct cap_session *s, struct pg_conn *conn, struct err *err) MUST_CHECK;
/* A published table whose rules or columns are not what it was published with. *ret_what: for a message, malloc'd; NULL = none.
 * ERR_SCHEMA: a column whose values nobody may see has another name now, and no rule for that. */
bool cap_filters_differ(struct cap_session *s, char **ret_what, struct err *err) MUST_CHECK;
/* The table was published with the rules that this capture has. ERR_CONFIG if not: it was added by somebody with others. */
bool cap_filters_same(const struct cap_session *s, struct pg_conn *conn, uint32_t oid, const char *schema,
                      const char *table, struct err *err) MUST_CHECK;
/* The same for one relation as it was announced, before its rows are read. now: the table as it is (no columns: gone). ERR_SCHEMA: it
 * has another name, or a column has, and rules that do not fit. */
bool cap_filters_guard(const struct cap_session *s, struct pg_conn *conn, const struct cap_relation *rel,
                       const struct source_table *now, struct err *err) MUST_CHECK;

/* A column whose values nobody may see has another name than when the table was published. */
bool cap_filters_renamed(const struct cap_session *s, struct pg_conn *conn, uint32_t oid, bool *ret_renamed,
                         struct err *err) MUST_CHECK;

/* ERR_SCHEMA: one such column of any table. Before a publication is judged, or made anew: both would go by the new names. */
bool cap_filters_check_renamed(struct cap_session *s, struct err *err) MUST_CHECK;

#endif
