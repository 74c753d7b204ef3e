/* The source as a server: logical decoding, privileges of our role, room for slots and walsenders, our slot.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/alloc.h"
#include "fleet.h"
#include "maria/url.h"

#define SIDE "source"

/* capture's slot and walsender, and a comparison's */
#define SLOTS_WANTED 2

static void check_settings(struct check *ck, const struct pg_result *res)
{
    const char *wal_level = pg_cell(res, 0, 0), *keep = pg_cell(res, 0, 1);
    if (strcmp(wal_level, "logical") == 0)
        check_add(ck, SIDE, "wal_level", CHECK_OK, NULL, "logical");
    else
        check_add(ck, SIDE, "wal_level", CHECK_FAIL,
                  "set wal_level = logical in postgresql.conf and restart the server", "%s", wal_level);
    if (strcmp(keep, "-1") != 0)
        check_add(ck, SIDE, "max_slot_wal_keep_size", CHECK_WARN,
                  "the server may invalidate the slot when capture is away for long: see that this is enough",
                  "%s", keep);
}

/* One of replication slots or walsenders: `own` of them are this pipeline's already. */
static void check_room(struct check *ck, const char *name, int64_t max, int64_t used, int64_t own)
{
    int64_t free_count = max - used + own;
    if (free_count < 1)
        check_add_hint(ck, SIDE, name, CHECK_FAIL,
                       xasprintf("raise %s and restart the server, or drop unused ones", name),
                       "%" PRId64 " of %" PRId64 " are in use: none is free for capture", used, max);
    else if (free_count < SLOTS_WANTED)
        check_add_hint(ck, SIDE, name, CHECK_WARN,
                       xasprintf("raise %s: a comparison needs one more than capture", name),
                       "%" PRId64 " of %" PRId64 " are in use", used, max);
    else
        check_add(ck, SIDE, name, CHECK_OK, NULL, "%" PRId64 " of %" PRId64 " are in use", used, max);
}

static void check_connections(struct check *ck, int64_t max, int64_t used)
{
    int64_t wanted = config_int(ck->cfg, "capture.snapshot_workers") + 4;
    if (max - used < wanted)
        check_add(ck, SIDE, "max_connections", CHECK_WARN,
                  "raise max_connections or lower capture.snapshot_workers",
                  "%" PRId64 " of %" PRId64 " are in use; capture takes up to %" PRId64, used, max, wanted);
    else
        check_add(ck, SIDE, "max_connections", CHECK_OK, NULL, "%" PRId64 " of %" PRId64 " are in use", used,
                  max);
}

static bool check_server_settings(struct check *ck, struct err *err)
{
    static const char sql[] =
        "SELECT current_setting('wal_level'), current_setting('max_slot_wal_keep_size'),"
        " current_setting('max_replication_slots')::bigint, (SELECT count(*) FROM pg_replication_slots),"
        " (SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1),"
        " current_setting('max_wal_senders')::bigint,"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'),"
        " (SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active),"
        " current_setting('max_connections')::bigint - "
        "current_setting('superuser_reserved_connections')::bigint,"
        " (SELECT sum(numbackends) FROM pg_stat_database)::bigint";
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {ck->slot};
    if (!pg_query(ck->source, sql, 1, params, &res, err))
        return false;
    check_settings(ck, res);
    check_room(ck, "max_replication_slots", pg_cell_int64(res, 0, 2), pg_cell_int64(res, 0, 3),
               pg_cell_int64(res, 0, 4));
    check_room(ck, "max_wal_senders", pg_cell_int64(res, 0, 5), pg_cell_int64(res, 0, 6),
               pg_cell_int64(res, 0, 7));
    check_connections(ck, pg_cell_int64(res, 0, 8), pg_cell_int64(res, 0, 9));
    return true;
}

/* The one sure way to know: pg_hba.conf has lines of its own for replication. */
static void check_replication(struct check *ck)
{
    struct pg_options options = {
        .application_name = "crossfade check", .connect_timeout_s = 10, .replication = true};
    struct pg_conn *conn = NULL;
    struct err why = ERR_INIT;
    if (pg_open(config_text(ck->cfg, "source.url"), &options, &conn, &why))
        check_add(ck, SIDE, "replication", CHECK_OK, NULL, "a replication connection is accepted");
    else
        check_add_hint(ck, SIDE, "replication", CHECK_FAIL,
                       xasprintf("ALTER ROLE \"%s\" REPLICATION, and allow the connection in pg_hba.conf",
                                 pg_user(ck->source)),
                       "%s", why.text);
    pg_close(conn);
}

static bool check_create(struct check *ck, struct err *err)
{
    static const char sql[] =
        "SELECT has_database_privilege(current_database(), 'CREATE'),"
        " EXISTS (SELECT FROM pg_namespace WHERE nspname = 'crossfade'),"
        " coalesce((SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')"
        "            FROM pg_namespace WHERE nspname = 'crossfade'), true),"
        " (SELECT pg_has_role(pubowner, 'USAGE') OR puballtables FROM pg_publication WHERE pubname = $1)";
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {ck->slot};
    if (!pg_query(ck->source, sql, 1, params, &res, err))
        return false;
    bool create = pg_cell_bool(res, 0, 0), made = pg_cell_bool(res, 0, 1) && !pg_is_null(res, 0, 3);
    if (!pg_cell_bool(res, 0, 2))
        check_add_hint(ck, SIDE, "schema crossfade", CHECK_FAIL,
                       xasprintf("GRANT USAGE, CREATE ON SCHEMA crossfade TO \"%s\"", pg_user(ck->source)),
                       "the schema is there, but our role may not use it");
    if (!pg_is_null(res, 0, 3) && !pg_cell_bool(res, 0, 3))
        check_add_hint(
            ck, SIDE, "publication", CHECK_FAIL,
            xasprintf("ALTER PUBLICATION \"%s\" OWNER TO \"%s\", or drop it", ck->slot, pg_user(ck->source)),
            "publication %s belongs to another role", ck->slot);
    if (create || made)
        check_add(ck, SIDE, "create", CHECK_OK, NULL, "schema crossfade and the publication %s",
                  made ? "are there" : "can be made");
    else
        check_add_hint(ck, SIDE, "create", CHECK_FAIL,
                       xasprintf("GRANT CREATE ON DATABASE \"%s\" TO \"%s\"; or have both made beforehand "
                                 "(docs/PRIVILEGES.md)",
                                 pg_database(ck->source), pg_user(ck->source)),
                       "our role may not create a schema and a publication");
    return true;
}

/* True if the capture of this very configuration runs. */
static bool capture_answers(const struct check *ck)
{
    json_t *all = fleet_status(ck->cfg);
    bool up = !fleet_is_down(json_object_get(all, "capture"));
    json_decref(all);
    return up;
}

static bool check_slot(struct check *ck, struct err *err)
{
    struct source_slot slot;
    if (!source_slot_look(ck->source, ck->slot, &slot, err))
        return false;
    ck->slot_missing = !slot.exists;
    if (!slot.exists)
        check_add(ck, SIDE, "slot", CHECK_OK, NULL, "%s will be made", ck->slot);
    else if (!slot.logical_pgoutput)
        check_add(ck, SIDE, "slot", CHECK_FAIL, "drop it, or name this pipeline differently",
                  "%s belongs to another database or plugin", ck->slot);
    else if (slot.lost)
        check_add(ck, SIDE, "slot", CHECK_FAIL, "drop the slot and start a new copy with an empty journal",
                  "%s is lost: the server has removed WAL that it needs", ck->slot);
    else if (slot.active_pid != 0 && capture_answers(ck))
        check_add(ck, SIDE, "slot", CHECK_OK, NULL, "%s is in use: capture is running", ck->slot);
    else if (slot.active_pid != 0)
        check_add(
            ck, SIDE, "slot", CHECK_WARN,
            "a capture of this pipeline runs elsewhere, or has just died: another one would wait for it",
            "%s is in use by server process %" PRId64, ck->slot, slot.active_pid);
    else
        check_add(ck, SIDE, "slot", CHECK_OK, NULL, "%s is there, at " LSN_FMT, ck->slot,
                  LSN_ARGS(slot.confirmed_lsn));
    return true;
}

/* Other pipelines' slots that nobody reads keep WAL until the disk is full. */
static bool check_other_slots(struct check *ck, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {ck->slot};
    if (!pg_query(
            ck->source,
            "SELECT slot_name, active, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn))"
            " FROM pg_replication_slots WHERE slot_name LIKE 'crossfade\\_%' AND slot_name <> $1"
            " AND NOT temporary ORDER BY 1",
            1, params, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        bool active = pg_cell_bool(res, i, 1);
        check_add(ck, SIDE, "other slots", active ? CHECK_OK : CHECK_WARN,
                  active ? NULL : "if that pipeline is gone, drop its slot: it keeps WAL for ever",
                  "%s (%s) keeps %s of WAL", pg_cell(res, i, 0), active ? "active" : "nobody reads it",
                  pg_cell(res, i, 2));
    }
    return true;
}

bool check_source_lsn(struct check *ck, lsn_t *ret, struct err *err)
{
    char *text = NULL;
    lsn_t lsn = 0;
    if (!pg_query_text(ck->source, "SELECT pg_current_wal_flush_lsn()::text", 0, NULL, &text, err))
        return false;
    if (text != NULL && lsn_parse(text, &lsn))
        *ret = lsn;
    free(text);
    return true;
}

static bool is_standby(const struct check *ck)
{
    for (size_t i = 0; i < ck->count; i++) {
        if (strcmp(ck->results[i].side, SIDE) == 0 && strcmp(ck->results[i].name, "primary") == 0)
            return true;
    }
    return false;
}

bool check_source(struct check *ck, struct err *err)
{
    if (maria_is_url(config_text(ck->cfg, "source.url")))
        return check_source_mariadb(ck, err);
    if (!check_server(ck, SIDE, "source.url", &ck->source, err))
        return false;
    if (ck->source == NULL)
        return true;
    if (!check_server_settings(ck, err))
        return false;
    if (is_standby(ck))
        return true;
    check_replication(ck);
    return check_create(ck, err) && check_slot(ck, err) && check_other_slots(ck, err) &&
           pg_query_text(ck->source, "SELECT system_identifier::text FROM pg_control_system()", 0, NULL,
                         &ck->source_system_id, err);
}
