/*
 * Owns: scratch databases on PostgreSQL. One is made as its neighbour was (encoding, locale) from template0, so that nothing of a local template is in
 * it. A session with an advisory lock inside of it says that its rehearsal lives.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "pg/origin.h"
#include "pg/url.h"
#include "rehearsal.h"

#define LOCK_KEY       "1667654504"
#define SLOTS_NEEDED   3 /* capture's, one of a comparison, and a spare one */
#define EXISTS_ALREADY "42P04"

static bool connect_admin(struct scratch *s, struct err *err)
{
    const struct pg_options options = {.application_name = "crossfade rehearsal"};
    pg_close(s->admin);
    s->admin = NULL;
    return (s->scratch_url != NULL || pg_url_with_database(s->url, s->name, &s->scratch_url, err)) &&
           pg_open(s->url, &options, &s->admin, err);
}

static const char rights_sql[] =
    "SELECT r.rolsuper OR r.rolcreatedb, r.rolsuper OR r.rolreplication, r.rolname,"
    " (SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'max_replication_slots')"
    " - (SELECT count(*) FROM pg_catalog.pg_replication_slots)"
    " FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

static bool may_be_made(struct rehearsal *r, int side, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(r->sides[side].admin, rights_sql, 0, NULL, &res, err))
        return false;
    const char *role = pg_cell(res, 0, 2);
    if (!pg_cell_bool(res, 0, 0))
        return err_set(err, ERR_REFUSED,
                       "role %s may not make databases. Hint: ALTER ROLE … CREATEDB, or give --%s.url of a "
                       "role that may, in a configuration of its own",
                       role, scratch_side_names[side]);
    if (!pg_cell_bool(res, 0, 1))
        return err_set(err, ERR_REFUSED, "role %s may not replicate. Hint: ALTER ROLE … REPLICATION", role);
    if (pg_cell_int64(res, 0, 3) < SLOTS_NEEDED)
        return err_set(err, ERR_REFUSED,
                       "%" PRId64 " replication slots are free, %d are needed. Hint: raise "
                       "max_replication_slots, or rehearse where more are free",
                       pg_cell_int64(res, 0, 3), SLOTS_NEEDED);
    return true;
}

/* What locale a database has is in columns of other names from version to version. */
static const char create_sql[] =
    "SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L', $1::text,"
    " pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype)"
    " || CASE j.row->>'datlocprovider' WHEN 'i' THEN ' LOCALE_PROVIDER icu ICU_LOCALE ' || quote_literal(l.l)"
    " WHEN 'b' THEN ' LOCALE_PROVIDER builtin BUILTIN_LOCALE ' || quote_literal(l.l) ELSE '' END"
    " FROM pg_catalog.pg_database d, LATERAL (SELECT to_jsonb(d) AS row) j,"
    " LATERAL (SELECT coalesce(j.row->>'datlocale', j.row->>'daticulocale', '') AS l) l"
    " WHERE d.datname = current_database()";

static bool lock_inside(struct scratch *s, struct err *err)
{
    const struct pg_options options = {.application_name = "crossfade rehearsal"};
    char *lacks CLEANUP(free_ptr) = NULL;
    struct err why = ERR_INIT;
    if (!pg_open(s->scratch_url, &options, &s->inside, err) ||
        !pg_exec(s->inside,
                 "SET timezone = 'UTC'; SET statement_timeout = 0; SET idle_session_timeout = 0; SELECT "
                 "pg_catalog.pg_advisory_lock(" LOCK_KEY ", 1)",
                 err) ||
        !pg_origin_lacks(s->inside, &lacks, err))
        return false;
    if (*lacks != '\0')
        return err_set(err, ERR_REFUSED,
                       "role %s may not use replication origins in a new database (%s): rehearse with a role "
                       "that may, as a superuser does",
                       pg_user(s->inside), lacks);
    if (!pg_exec(s->inside, "SET session_replication_role = replica; RESET session_replication_role", &why))
        return err_set(err, ERR_REFUSED, "role %s may not set session_replication_role: %s",
                       pg_user(s->inside), why.text);
    return true;
}

static bool make(struct scratch *s, const char *pipeline, struct err *err)
{
    char *sql CLEANUP(free_ptr) = NULL;
    const char *params[] = {s->name};
    struct strbuf comment = STRBUF_INIT(4096);
    if (!pg_query_text(s->admin, create_sql, 1, params, &sql, err))
        return false;
    s->made = true; /* also if its answer is lost */
    if (!pg_exec(s->admin, sql, err)) {
        s->made = strcmp(err->sqlstate, EXISTS_ALREADY) != 0;
        return false;
    }
    strbuf_adds(&comment, "COMMENT ON DATABASE ");
    pg_quote_ident(&comment, s->name);
    strbuf_addf(&comment,
                " IS 'scratch copy of a rehearsal of crossfade pipeline %s; goes away with the next one'",
                pipeline);
    bool ok =
        strbuf_ok(&comment, "comment", err) && lock_inside(s, err) && pg_exec(s->admin, comment.data, err);
    strbuf_release(&comment);
    return ok;
}

/* `schema create` makes it all. */
static bool complete(struct scratch *s UNUSED, struct err *err UNUSED)
{
    return true;
}

/* --- away --- */

/* A role that may not drop origins has none to drop, and is not to be refused for that. */
static bool drop_origins(struct pg_conn *admin, const char *name, struct err *err)
{
    PG_RESULT_AUTO origins = NULL;
    const char *params[] = {name};
    if (!pg_query(admin,
                  "SELECT o.roname FROM pg_catalog.pg_replication_origin o, pg_catalog.pg_database d"
                  " WHERE d.datname = $1 AND starts_with(o.roname, '" PG_ORIGIN_PREFIX "cfr_')"
                  " AND split_part(o.roname, ':', 3) = d.oid::text",
                  1, params, &origins, err))
        return false;
    for (int i = 0; i < pg_rows(origins); i++) {
        PG_RESULT_AUTO res = NULL;
        const char *origin[] = {pg_cell(origins, i, 0)};
        if (!pg_query(admin, "SELECT pg_catalog.pg_replication_origin_drop($1)", 1, origin, &res, err))
            return false;
    }
    return true;
}

/* $1: the database. Sessions of its slots and origins first, for neither can be dropped while it is used. */
static bool drop_parts(struct pg_conn *admin, const char *name, bool *ret_gone, struct err *err)
{
    static const char *const statements[] = {
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
        " WHERE datname = $1 AND pg_catalog.pg_has_role(usesysid, 'USAGE')",
        "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots"
        " WHERE database = $1 AND NOT active"};
    const char *params[] = {name};
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        PG_RESULT_AUTO res = NULL;
        if (!pg_query(admin, statements[i], 1, params, &res, err))
            return false;
    }
    return drop_origins(admin, name, err) &&
           pg_query_bool(
               admin, "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE database = $1)",
               1, params, ret_gone, err);
}

static bool drop_database(struct pg_conn *admin, const char *name, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(1024);
    strbuf_adds(&sql, "DROP DATABASE IF EXISTS ");
    pg_quote_ident(&sql, name);
    strbuf_adds(&sql, " WITH (FORCE)");
    bool ok = pg_exec(admin, sql.data, err);
    strbuf_release(&sql);
    return ok;
}

static bool drop(struct scratch *s, const char *name, bool keep, bool *ret_gone, struct err *err)
{
    return (s->admin != NULL || connect_admin(s, err)) && drop_parts(s->admin, name, ret_gone, err) &&
           (!*ret_gone || keep || drop_database(s->admin, name, err));
}

static bool leftovers(struct scratch *s, const char *begin, json_t *names, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {begin};
    if (!pg_query(s->admin,
                  "SELECT datname FROM pg_catalog.pg_database d WHERE starts_with(datname, $1)"
                  " AND pg_catalog.pg_has_role(d.datdba, 'USAGE') AND NOT EXISTS (SELECT FROM "
                  "pg_catalog.pg_locks"
                  " WHERE locktype = 'advisory' AND database = d.oid AND classid = " LOCK_KEY
                  " AND objid = 1 AND granted) ORDER BY 1",
                  1, params, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++)
        json_array_append_new(names, json_string(pg_cell(res, i, 0)));
    return true;
}

static void leave(struct scratch *s)
{
    pg_close(s->inside);
    s->inside = NULL;
}

static void close_admin(struct scratch *s)
{
    pg_close(s->admin);
    s->admin = NULL;
}

const struct scratch_server scratch_postgres = {.connect = connect_admin,
                                                .may_be_made = may_be_made,
                                                .make = make,
                                                .complete = complete,
                                                .drop = drop,
                                                .leftovers = leftovers,
                                                .leave = leave,
                                                .close = close_admin};
