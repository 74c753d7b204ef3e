/*
 * Rows that were asked for by their keys (a repair by comparison): the SQL that reads them, and that finds keys without a row.
 * No I/O but for the names of types. Names in the request are published ones (source.filters may rename).
 */
#ifndef CAPTURE_COPY_KEYS_H
#define CAPTURE_COPY_KEYS_H

#include "capture/capture_internal.h"

/* The request's table among those that are loaded; NULL = it is not there. */
const struct source_table *cap_keys_table(const struct cap_session *s, const struct copy_request *req);
/* The columns are those of the table's key, each once, and none is masked. */
bool cap_keys_fit(const struct cap_session *s, const struct source_table *t, const struct copy_keys *keys);
/* The condition on p that a request's rows fulfil, by its keys (which fit) or as it stands; NULL = all rows, or no request. malloc'd. */
char *cap_copy_where(const struct cap_session *s, const struct copy_request *req);
/* SELECT of the keys that have no row in `storage` which is published, as rows of the table's columns: null but for the key.
 * as_text: of each column, whether it is wanted as text. `conn` is asked for the types' names. */
bool cap_keys_gone(const struct cap_session *s, const struct source_table *t, const struct copy_keys *keys,
                   struct pg_conn *conn, const char *storage, const bool *as_text, struct strbuf *sql,
                   struct err *err) MUST_CHECK;

#endif
