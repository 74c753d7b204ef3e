/* Any version, by the database's owner: the right to connect is taken from everybody but those that pass. What clients read does not name the new home; the
 * database's comment does. */
#include <stdio.h>

#include "tombstone_sql.h"

static bool possible(struct decom *d, bool *ret, char why[200], struct err *err)
{
    (void)snprintf(why, 200, "it takes the owner of the database in source.url");
    return pg_query_bool(d->source,
                         "SELECT pg_catalog.pg_has_role(datdba, 'USAGE') FROM pg_catalog.pg_database WHERE "
                         "datname = pg_catalog.current_database()",
                         0, NULL, ret, err);
}

#define ME                                                                                                   \
    "(SELECT d.oid, d.datname, d.datdba, coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba)) AS acl "   \
    "FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) me"
#define CONNECT                                                                                              \
    " CROSS JOIN LATERAL pg_catalog.aclexplode(me.acl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = "        \
    "a.grantee WHERE a.privilege_type = 'CONNECT'"

/* Who may connect, and how. */
static const char save_sql[] =
    "SELECT pg_catalog.jsonb_build_object('comment', " SAVED_COMMENT
    ", 'role', $1::text, 'allowed', $2::text, 'connect', (SELECT "
    "coalesce(jsonb_agg(pg_catalog.jsonb_build_object("
    "'role', coalesce(r.rolname, ''), 'option', a.is_grantable)), '[]') FROM " ME CONNECT "))::text";

/* First those that pass get the right for themselves, then all others lose it. */
static const char raise_sql[] =
    "SELECT pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), "
    "r.rolname) FROM pg_catalog.pg_roles r WHERE r.rolcanlogin AND NOT r.rolsuper AND " PASSES
    " UNION ALL SELECT * FROM (SELECT pg_catalog.format('REVOKE CONNECT ON DATABASE %I FROM %s CASCADE', "
    "me.datname, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(r.rolname) END)"
    " FROM " ME CONNECT " AND NOT coalesce(" PASSES
    ", false) AND pg_catalog.concat($3::text, $4::text) IS NOT NULL ORDER BY 1) gone";

static const char lower_sql[] =
    "SELECT pg_catalog.format('REVOKE CONNECT ON DATABASE %I FROM %s CASCADE', me.datname, CASE WHEN "
    "a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(r.rolname) END) FROM " ME CONNECT
    " UNION ALL SELECT pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %s%s', "
    "pg_catalog.current_database(), CASE WHEN s.role = '' THEN 'PUBLIC' ELSE pg_catalog.quote_ident(s.role) "
    "END,"
    " CASE WHEN s.option THEN ' WITH GRANT OPTION' ELSE '' END) FROM pg_catalog.jsonb_to_recordset($4::jsonb "
    "-> 'connect') s (role text, option bool)"
    " WHERE (s.role = '' OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = s.role)) AND "
    "pg_catalog.concat($1::text, $2::text, $3::text) IS NOT NULL";

static bool raise_connect(struct tombstone *t, struct strbuf *sql, struct err *err)
{
    tombstone_add_comment(sql, t);
    return tombstone_add_from(sql, t, raise_sql, err);
}

static bool lower_connect(struct tombstone *t, struct strbuf *sql, struct err *err)
{
    return tombstone_add_from(sql, t, lower_sql, err) && tombstone_add_old_comment(sql, t, err);
}

static void seen(const struct tombstone *t, char *out, size_t size)
{
    (void)snprintf(out, size,
                   "FATAL: permission denied for database \"%s\", DETAIL: User does not have CONNECT "
                   "privilege. The new home is in the database's comment alone (\\l+): %s",
                   pg_database(t->d->source), t->message);
}

const struct tombstone_method tombstone_connect = {.name = "connect",
                                                   .possible = possible,
                                                   .save_sql = save_sql,
                                                   .raise = raise_connect,
                                                   .lower = lower_connect,
                                                   .seen = seen};
