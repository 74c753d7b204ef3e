/* PostgreSQL 17 and later, by a superuser: an event trigger at login raises. Clients read the message itself, and the superuser's way in stays open. */
#include <stdio.h>

#include "tombstone_sql.h"

static bool possible(struct decom *d, bool *ret, char why[200], struct err *err)
{
    bool super = false;
    if (!tombstone_is_superuser(d, &super, err))
        return false;
    bool new_enough = pg_server_version(d->source) >= 170000;
    (void)snprintf(why, 200, "%s",
                   !new_enough ? "it takes PostgreSQL 17"
                               : "it takes a superuser in source.url (event triggers are theirs)");
    *ret = super && new_enough;
    return true;
}

/* The list of names is fixed when it is raised; superusers pass whenever they came. Without the schema's SELECT rights: only catalogs are read. */
static bool raise_login(struct tombstone *t, struct strbuf *sql, struct err *err)
{
    struct strbuf body = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&body, "BEGIN IF (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = "
                       "session_user) OR session_user = ANY (string_to_array(");
    pg_quote_literal(&body, t->passes);
    strbuf_adds(&body, ", E'\\n')) THEN RETURN; END IF; RAISE EXCEPTION USING ERRCODE = "
                       "'object_not_in_prerequisite_state', MESSAGE = ");
    pg_quote_literal(&body, t->message);
    strbuf_adds(&body, ", HINT = 'Connect there.'; END");
    strbuf_adds(sql,
                "CREATE SCHEMA IF NOT EXISTS crossfade;\nCREATE OR REPLACE FUNCTION crossfade.refuse_login() "
                "RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog AS ");
    pg_quote_literal(sql, body.data);
    strbuf_adds(sql, ";\nDROP EVENT TRIGGER IF EXISTS crossfade_tombstone;\nCREATE EVENT TRIGGER "
                     "crossfade_tombstone ON login EXECUTE FUNCTION crossfade.refuse_login();\n"
                     "ALTER EVENT TRIGGER crossfade_tombstone ENABLE ALWAYS;\n");
    tombstone_add_comment(sql, t);
    bool ok = strbuf_ok(&body, "function", err);
    strbuf_release(&body);
    return ok;
}

static bool lower_login(struct tombstone *t, struct strbuf *sql, struct err *err)
{
    strbuf_adds(sql, "DROP EVENT TRIGGER IF EXISTS crossfade_tombstone;\nDROP FUNCTION IF EXISTS "
                     "crossfade.refuse_login();\n");
    return tombstone_add_old_comment(sql, t, err);
}

static void seen(const struct tombstone *t, char *out, size_t size)
{
    (void)snprintf(out, size, "FATAL: %s (SQLSTATE 55000, HINT: Connect there.)", t->message);
}

const struct tombstone_method tombstone_login = {.name = "login",
                                                 .possible = possible,
                                                 .save_sql = SAVED_COMMENT_ALONE,
                                                 .raise = raise_login,
                                                 .lower = lower_login,
                                                 .seen = seen};
