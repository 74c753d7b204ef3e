/* The value of an entry of PgBouncer's [databases]: "host=db1 port=5432 password='it''s'". Pure. @thread any */
#ifndef CUTOVER_POOLERS_CONNSTR_H
#define CUTOVER_POOLERS_CONNSTR_H

#include <stddef.h>

#include "core/err.h"
#include "core/strbuf.h"

/* Where an entry leads. malloc'd texts; NULL = the entry does not say (PgBouncer: a Unix socket, 5432, the entry's own name). */
struct connstr {
    char *host, *port, *dbname;
    char *user, *password; /* of an entry that forces them */
    char *pool_mode;
};

/* value: len bytes. ERR_CONFIG says what does not read, without showing any of it: it may hold a password. */
bool connstr_read(const char *value, size_t len, struct connstr *ret, struct err *err) MUST_CHECK;
void connstr_release(struct connstr *c);
/* The same value with this host, port and dbname; all else stays, byte by byte. */
bool connstr_redirect(const char *value, size_t len, const struct connstr *to, struct strbuf *out,
                      struct err *err) MUST_CHECK;
/* Whether an entry of this name (its default dbname) leads there. */
bool connstr_leads_to(const struct connstr *c, const char *name, const struct connstr *to);

#endif
