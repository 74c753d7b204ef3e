/* Owns the looks at both sides: who is connected, and what depends on the old one. A look is a row: what it needs, and one query of the columns
 * name, address, application, state, at, detail, blocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "kept.h"

#define NONE "NULL::text, NULL::text, NULL::text, NULL::text"

struct look {
    const char *kind;
    bool source;
    const char *needs; /* a relation that has to be there and readable; NULL = nothing */
    int params;        /* $1 pipeline, $2 the source's host, $3 its port, $4 its database */
    const char *sql;
};

/* What only looks after the database, and can as well do so no more. */
#define MAINTENANCE                                                                                          \
    "a.application_name IN ('pg_dump', 'pg_dumpall', 'vacuumdb', 'reindexdb', 'clusterdb', 'pg_amcheck')"

#define LAST_ACTIVE ISO_TIME("greatest(a.query_start, a.state_change)")

static const struct look looks[] = {
    {"session", true, NULL, 0,
     "SELECT a.usename, coalesce(host(a.client_addr), 'local'), a.application_name, a.state, " LAST_ACTIVE
     ", 'pid ' || a.pid || CASE WHEN " MAINTENANCE " THEN ', maintenance' ELSE '' END"
     " || CASE WHEN a.state IS NULL THEN '; more may be read by members of pg_read_all_stats' ELSE '' END,"
     " NOT coalesce(" MAINTENANCE ", false) FROM pg_catalog.pg_stat_activity a"
     " WHERE " FOREIGN_SESSIONS " ORDER BY a.usename, a.pid LIMIT 1000"},
    {"our_session", true, NULL, 0,
     "SELECT a.usename, coalesce(host(a.client_addr), 'local'), a.application_name, a.state, NULL::text, "
     "'pid ' || a.pid, false"
     " FROM pg_catalog.pg_stat_activity a WHERE a.datname = pg_catalog.current_database() AND "
     "a.application_name LIKE 'crossfade %'"
     " AND a.pid <> pg_catalog.pg_backend_pid() ORDER BY a.pid LIMIT 100"},
    {"slot", true, NULL, 0,
     "SELECT s.slot_name, NULL::text, s.plugin, CASE WHEN s.active THEN 'active' ELSE 'inactive' END, "
     "NULL::text,"
     " CASE WHEN s.slot_name ~ '^crossfade_' THEN 'ours: crossfade cleanup removes it' WHEN s.slot_type = "
     "'physical' THEN 'physical: a standby or an archiver follows the server'"
     " ELSE 'somebody follows the changes of this database' END, s.slot_name !~ '^crossfade_' AND "
     "(s.slot_type = 'logical' OR s.active)"
     " FROM pg_catalog.pg_replication_slots s WHERE s.database = pg_catalog.current_database() OR "
     "s.slot_type = 'physical' ORDER BY 1"},
    {"walsender", true, NULL, 0,
     "SELECT r.usename, coalesce(host(r.client_addr), 'local'), r.application_name, r.state, NULL::text, "
     "'pid ' || r.pid || ': a standby, a subscription or a backup', true"
     " FROM pg_catalog.pg_stat_replication r WHERE coalesce(r.application_name, '') NOT LIKE 'crossfade %' "
     "ORDER BY r.pid"},
    {"publication", true, NULL, 0,
     "SELECT p.pubname, " NONE ", 'others may subscribe to it', false FROM pg_catalog.pg_publication p WHERE "
     "p.pubname !~ '^crossfade_' ORDER BY 1"},
    {"subscription", true, NULL, 0,
     "SELECT s.subname, " NONE ", 'this database receives changes of another one: they do not reach the new "
     "side', s.subenabled FROM pg_catalog.pg_subscription s"
     " WHERE s.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = "
     "pg_catalog.current_database()) ORDER BY 1"},
    {"prepared_transaction", true, NULL, 0,
     "SELECT x.gid, " NONE ", 'of role ' || x.owner, true FROM pg_catalog.pg_prepared_xacts x WHERE "
     "x.database = pg_catalog.current_database() ORDER BY 1"},
    {"cron_job", true, "cron.job", 0,
     "SELECT coalesce(j.jobname, j.jobid::text), " NONE
     ", j.schedule || ' as ' || j.username, j.active FROM cron.job j"
     " WHERE j.database = pg_catalog.current_database() ORDER BY j.jobid"},
    {"foreign_server", true, NULL, 0,
     "SELECT s.srvname, " NONE ", 'reads from elsewhere (' || w.fdwname || '), ' || (SELECT count(*) FROM "
     "pg_catalog.pg_user_mappings u "
     "WHERE u.srvid = s.oid) || ' user mappings', false"
     " FROM pg_catalog.pg_foreign_server s JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw "
     "ORDER BY 1"},
    {"extension", true, NULL, 0,
     "SELECT e.extname, " NONE
     ", 'connects to other databases from here', false FROM pg_catalog.pg_extension e WHERE e.extname IN "
     "('dblink', 'postgres_fdw') ORDER BY 1"},
    /* The new side: what it would miss. */
    {"foreign_server", false, NULL, 4,
     "SELECT s.srvname, o.host, NULL::text, NULL::text, NULL::text, CASE WHEN o.here THEN 'points at the old "
     "database' ELSE 'points at host ' || coalesce(o.host, '(none)') || ', database '"
     " || coalesce(o.db, '(none)') || ': is that the old one?' END || ', ' || (SELECT count(*) FROM "
     "pg_catalog.pg_user_mappings u WHERE u.srvid = s.oid) || ' user mappings, '"
     " || (SELECT count(*) FROM pg_catalog.pg_foreign_table f WHERE f.ftserver = s.oid) || ' tables', o.here "
     "FROM pg_catalog.pg_foreign_server s CROSS JOIN LATERAL"
     " (SELECT x.host, x.db, coalesce(x.host, '') = $2 AND coalesce(x.port, '5432') = $3 AND coalesce(x.db, "
     "'') = $4 AND $1 <> '' AS here FROM (SELECT"
     " max(v.option_value) FILTER (WHERE v.option_name IN ('host', 'hostaddr')) AS host, max(v.option_value) "
     "FILTER (WHERE v.option_name = 'port') AS port,"
     " max(v.option_value) FILTER (WHERE v.option_name = 'dbname') AS db FROM "
     "pg_catalog.pg_options_to_table(s.srvoptions) v) x) o ORDER BY 1"},
    {"subscription", false, NULL, 0,
     "SELECT s.subname, " NONE
     ", 'receives changes: from the old database?', s.subenabled FROM pg_catalog.pg_subscription s"
     " WHERE s.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = "
     "pg_catalog.current_database()) ORDER BY 1"},
    {"routine", false, NULL, 0,
     "SELECT p.oid::regprocedure::text, " NONE
     ", 'its text mentions dblink: does it lead to the old database?', false FROM pg_catalog.pg_proc p"
     " WHERE p.prosrc ~* 'dblink' AND p.prolang NOT IN (SELECT l.oid FROM pg_catalog.pg_language l WHERE "
     "l.lanname IN ('c', 'internal'))"
     " AND p.pronamespace <> 'pg_catalog'::regnamespace ORDER BY 1 LIMIT 200"},
    {"view", false, NULL, 0,
     "SELECT c.oid::regclass::text, " NONE
     ", 'its text mentions dblink: does it lead to the old database?', false FROM pg_catalog.pg_class c"
     " WHERE c.relkind IN ('v', 'm') AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, "
     "'information_schema'::regnamespace) AND pg_catalog.pg_get_viewdef(c.oid) ~* 'dblink' ORDER BY 1 LIMIT "
     "200"},
};

#define LOOK_COLUMNS 7

struct looking {
    struct decom_report *report;
    const char *kind;
    bool source;
};

static char *text_of(const char *cell)
{
    return xstrdup(cell != NULL ? cell : "");
}

static bool add_entry(void *ctx, const char *const *cells, struct err *err)
{
    const struct looking *look = ctx;
    struct decom_report *r = look->report;
    (void)err;
    if (r->count == r->cap) {
        r->cap = r->cap != 0 ? 2 * r->cap : 64;
        r->entries = xrealloc(r->entries, r->cap * sizeof *r->entries);
    }
    r->entries[r->count++] =
        (struct decom_entry){.kind = look->kind,
                             .side = look->source ? "source" : "target",
                             .name = text_of(cells[0]),
                             .address = text_of(cells[1]),
                             .application = text_of(cells[2]),
                             .state = text_of(cells[3]),
                             .at = text_of(cells[4]),
                             .detail = text_of(cells[5]),
                             .blocks = cells[6] != NULL && (cells[6][0] == 't' || cells[6][0] == '1')};
    return true;
}

void decom_report_release(struct decom_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        struct decom_entry *e = &report->entries[i];
        char *texts[] = {e->name, e->address, e->application, e->state, e->at, e->detail};
        for (size_t k = 0; k < ARRAY_LEN(texts); k++)
            free(texts[k]);
    }
    free(report->entries);
    *report = (struct decom_report){0};
}

static bool is_there(struct pg_conn *conn, const char *relation, bool *ret, struct err *err)
{
    *ret = true;
    return relation == NULL || pg_query_bool(conn,
                                             "SELECT CASE WHEN pg_catalog.to_regclass($1) IS NOT NULL THEN "
                                             "pg_catalog.has_table_privilege($1, 'SELECT') ELSE false END",
                                             1, &relation, ret, err);
}

static bool look_at(struct decom *d, const struct look *look, struct decom_report *report, struct err *err)
{
    struct pg_conn *conn = look->source ? d->source : d->target;
    struct looking looking = {report, look->kind, look->source};
    PG_RESULT_AUTO res = NULL;
    bool there = false;
    const char *params[] = {d->pipeline, d->source_host != NULL ? d->source_host : "",
                            d->source_port != NULL ? d->source_port : "5432", pg_database(d->source)};
    if (conn == NULL) /* MariaDB: look_at_kept() */
        return true;
    if (!is_there(conn, look->needs, &there, err) ||
        (there && !pg_query(conn, look->sql, look->params, params, &res, err)))
        return err_wrap(err, "%s of the %s", look->kind, looking.source ? "source" : "target");
    for (int row = 0; there && row < pg_rows(res); row++) {
        const char *cells[LOOK_COLUMNS];
        for (int i = 0; i < LOOK_COLUMNS; i++)
            cells[i] = pg_cell(res, row, i);
        if (!add_entry(&looking, cells, err))
            return false;
    }
    return true;
}

/* Who has connected, as it was noted; on MariaDB also what leads elsewhere. */
static bool look_at_kept(struct decom *d, struct decom_report *report, struct err *err)
{
    char quiet[32];
    struct looking seen = {report, "seen", false}, abroad = {report, "foreign_table", false};
    bool noted = false, tombstone = false;
    (void)snprintf(quiet, sizeof quiet, "%lld", (long long)config_int(d->cfg, "decommission.quiet_s"));
    const char *params[] = {d->pipeline, quiet};
    bool found = d->maria != NULL ? kept_there(d, "connection_seen", &noted, err)
                                  : is_there(d->target, "crossfade.connection_seen", &noted, err);
    return (found && kept_there(d, "tombstone", &tombstone, err) &&
            (!noted || !tombstone || kept_ask(d, KEPT_SEEN, 2, params, add_entry, &seen, err)) &&
            (d->maria == NULL || kept_ask(d, KEPT_ABROAD, 0, NULL, add_entry, &abroad, err))) ||
           err_wrap(err, "what is known on the target");
}

bool decom_look(struct decom *d, struct decom_report *report, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
        if (!look_at(d, &looks[i], report, err))
            return false;
    }
    return look_at_kept(d, report, err);
}
