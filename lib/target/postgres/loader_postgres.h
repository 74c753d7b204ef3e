/* What the files of the PostgreSQL loader share: loader.c (life, claim, chunks), loader_look.c (does a table fit, what is
 * there). */
#ifndef TARGET_POSTGRES_LOADER_H
#define TARGET_POSTGRES_LOADER_H

#include "core/strbuf.h"
#include "pg/conn.h"
#include "target/loader_impl.h"

struct pg_loader {
    struct loader base;
    struct pg_conn *conn;
    char attempt[24];
    char *search_path; /* of the session, where nothing else is wanted */
    unsigned shards;   /* of apply, as the transaction at hand has found them */
    bool triggers_fire;
    struct strbuf out; /* COPY data that has not been sent */
};

/* loader_look.c */
bool pgl_fits(struct loader *base, const struct loader_table *t, enum loader_form *ret,
              struct err *err) MUST_CHECK;
bool pgl_look(struct loader *base, const struct loader_table *t, struct loader_chunk **ret, size_t *ret_count,
              bool *ret_same, bool *ret_mixable, struct err *err) MUST_CHECK;

bool pgl_query_bool(struct pg_loader *ld, const char *sql, int count, const char *const *params, bool *ret,
                    struct err *err) MUST_CHECK;

#endif
