/* What the files of the PostgreSQL loader share: loader.c (life, claim, chunks), loader_tables.c (a table's beginning and
 * end), loader_look.c (does a table fit, what is there). */
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
    bool saved;        /* loader_letters.c: there is a savepoint in the transaction at hand */
    struct strbuf out; /* COPY data that has not been sent */
};

/* loader_look.c */
bool pgl_look(struct loader *base, const struct loader_table *const *tables, size_t count,
              struct loader_seen *ret, struct err *err) MUST_CHECK;
/* Tables as parameters: three arrays. Released either way. */
struct pgl_names {
    struct strbuf schemas, names, oids;
};
bool pgl_names(const struct loader_table *const *tables, size_t count, struct pgl_names *ret,
               struct err *err) MUST_CHECK;
void pgl_names_release(struct pgl_names *names);

/* loader_tables.c */
bool pgl_begin_tables(struct loader *base, const struct loader_table *const *tables, size_t count,
                      struct err *err) MUST_CHECK;
bool pgl_end_tables(struct loader *base, const struct loader_table *const *tables, size_t count,
                    struct err *err) MUST_CHECK;

/* Of the transaction at hand: whose table it is. */
bool pgl_shard_of(struct pg_loader *ld, const struct loader_table *t, char ret[32],
                  struct err *err) MUST_CHECK;

/* loader_letters.c */
bool pgl_save(struct loader *base, struct err *err) MUST_CHECK;
bool pgl_restore(struct loader *base, struct err *err) MUST_CHECK;
bool pgl_hold(struct loader *base, const struct loader_letter *letter, struct err *err) MUST_CHECK;

/* loader.c: begins a transaction that holds the claim. */
bool pgl_begin_claimed(struct pg_loader *ld, struct err *err) MUST_CHECK;
bool pgl_query_bool(struct pg_loader *ld, const char *sql, int count, const char *const *params, bool *ret,
                    struct err *err) MUST_CHECK;

#endif
