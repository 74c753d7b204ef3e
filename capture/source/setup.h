/* What capture needs on the source: control tables, publication, slot. Idempotent. @thread owner */
#ifndef CAPTURE_SETUP_H
#define CAPTURE_SETUP_H

#include "capture/capture_internal.h"

/* Checks server version and wal_level, creates the control tables, loads the tables that the filter chooses.
 */
bool cap_setup_source(struct cap_session *s, struct err *err) MUST_CHECK;
/* Makes the publication publish exactly s->tables and crossfade.marker (a new copy follows). */
bool cap_setup_publication(struct cap_session *s, struct err *err) MUST_CHECK;
/* The publication must be there (streaming goes on); warns of tables that the filter chooses and it lacks. */
bool cap_check_publication(struct cap_session *s, struct err *err) MUST_CHECK;
/* ERR_BUSY with the pid if somebody streams from it. */
bool cap_slot_free(struct cap_session *s, struct source_slot *ret, struct err *err) MUST_CHECK;
/* The table has what publishing its updates and deletes takes; no two of s->tables would share a topic. */
bool cap_check_table(const struct cap_session *s, const struct source_table *t, struct err *err) MUST_CHECK;
bool cap_check_topics(const struct cap_session *s, struct err *err) MUST_CHECK;
/* SQL: "ONLY "s"."t"". */
void cap_put_name(const struct source_table *t, struct strbuf *sql);
/* The same, and what of the table is published. */
bool cap_put_published(struct cap_session *s, const struct source_table *t, struct strbuf *sql,
                       struct err *err) MUST_CHECK;
void cap_tables_release(struct cap_tables *tables);

#endif
