/* Before 17, by a superuser: session_preload_libraries of each application's role in this database names a library that is not there, and whose name is the
 * message. It is the one thing that a new session is told before it can do anything. Roles that come later pass, until it is put up once more. */
#include <stdio.h>

#include "tombstone_sql.h"

static bool possible(struct decom *d, bool *ret, char why[200], struct err *err)
{
    bool super = false, set = false;
    if (!tombstone_is_superuser(d, &super, err) ||
        !pg_query_bool(d->source,
                       "SELECT count(*) > 0 FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL "
                       "unnest(s.setconfig) c WHERE c LIKE 'session_preload_libraries=%'"
                       " AND s.setdatabase = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = "
                       "pg_catalog.current_database())",
                       0, NULL, &set, err))
        return false;
    (void)snprintf(why, 200, "%s",
                   !super ? "it takes a superuser in source.url (session_preload_libraries is theirs to set)"
                          : "the database, or roles in it, set session_preload_libraries already");
    *ret = super && !set;
    return true;
}

#define DATABASE "pg_catalog.current_database()"

/* Of each role, in this database alone: nothing is set for the database, so that nobody who passes can be locked out by a mistake in it. (An empty setting
 * would be no way to let somebody in: the server stores it as a library without a name.) */
static const char roles_sql[] =
    "SELECT pg_catalog.format('ALTER ROLE %I IN DATABASE %I SET session_preload_libraries = %L', "
    "r.rolname, " DATABASE ", $3::text) FROM pg_catalog.pg_roles r"
    " WHERE r.rolcanlogin AND NOT " PASSES " AND $4::text IS NOT NULL ORDER BY r.rolname";

static const char undo_sql[] =
    "SELECT pg_catalog.format('ALTER ROLE %I IN DATABASE %I RESET session_preload_libraries', "
    "r.rolname, " DATABASE ") FROM pg_catalog.pg_db_role_setting s"
    " JOIN pg_catalog.pg_roles r ON r.oid = s.setrole CROSS JOIN LATERAL unnest(s.setconfig) c WHERE c LIKE "
    "'session_preload_libraries=%' AND"
    " s.setdatabase = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = " DATABASE
    ") AND pg_catalog.concat($1::text, $2::text, $3::text, $4::text) IS NOT NULL ORDER BY 1";

static bool raise_preload(struct tombstone *t, struct strbuf *sql, struct err *err)
{
    tombstone_add_comment(sql, t);
    return tombstone_add_from(sql, t, roles_sql, err);
}

static bool lower_preload(struct tombstone *t, struct strbuf *sql, struct err *err)
{
    return tombstone_add_from(sql, t, undo_sql, err) && tombstone_add_old_comment(sql, t, err);
}

static void seen(const struct tombstone *t, char *out, size_t size)
{
    (void)snprintf(out, size, "FATAL: could not access file \"%s\": No such file or directory", t->message);
}

const struct tombstone_method tombstone_preload = {.name = "preload",
                                                   .possible = possible,
                                                   .save_sql = SAVED_COMMENT_ALONE,
                                                   .raise = raise_preload,
                                                   .lower = lower_preload,
                                                   .seen = seen};
