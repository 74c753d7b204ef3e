/* What the files of the PostgreSQL loader share: loader.c (life, claim, chunks), loader_look.c (does a table fit, what is
 * there). */
#ifndef TARGET_POSTGRES_LOADER_H
#define TARGET_POSTGRES_LOADER_H

#include "core/strbuf.h"
#include "pg/conn.h"
#include "target/loader.h"

struct loader {
    struct pg_conn *conn;
    char *pipeline, *shard, *owner;
    char attempt[24], begin_lsn[LSN_TEXT_MAX];
    bool truncate_nonempty;
    bool triggers_fire;
    struct strbuf out; /* COPY data that has not been sent */
};

bool pgl_query_bool(struct loader *ld, const char *sql, int count, const char *const *params, bool *ret,
                    struct err *err) MUST_CHECK;

#endif
