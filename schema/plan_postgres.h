/* What is made on a PostgreSQL target, out of pg_dump's entries. Private to this module. */
#ifndef SCHEMA_PLAN_POSTGRES_H
#define SCHEMA_PLAN_POSTGRES_H

#include "dump.h"
#include "plan.h"

struct postgres_request {
    struct pg_conn *source; /* in the transaction that the model was read in */
    struct pg_conn *target; /* NULL = could not be asked */
    const struct dump *dump;
    const char *const *exclude; /* patterns "kind name" */
    size_t exclude_count;
    bool indexes_later;
    bool keys_later; /* … and the load makes primary keys (capture.snapshot_path: direct) */
};

bool plan_postgres(struct schema_plan *plan, const struct postgres_request *req, struct err *err) MUST_CHECK;

/* Pure parts. */
/* Takes ALTER … OWNER TO of roles that are not there out of `sql`, and GRANT and REVOKE of such roles. known: sorted names. */
bool plan_drop_roles(const char *sql, const char *const *known, size_t known_count, struct strbuf *out);
/* Among the sorted names, or PUBLIC. */
bool roles_has(const char *const *known, size_t count, const char *name);
int roles_compare(const void *a, const void *b); /* for qsort() of names */
/* The identifier at p, unquoted; what follows it in *ret_end. malloc'd. */
char *roles_identifier(const char *p, const char **ret_end);
/* When an entry is made. */
enum step_phase plan_phase(const struct dump_entry *e, bool indexes_later);

#endif
