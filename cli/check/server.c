/* Checks that a server of either side must pass. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/alloc.h"

#define OLDEST_VERSION 140000
#define TESTED_BELOW   190000

static void check_version(struct check *ck, const char *side, int version)
{
    if (version < OLDEST_VERSION)
        check_add(ck, side, "version", CHECK_FAIL,
                  "PostgreSQL 14 is the oldest that works: upgrade the server", "PostgreSQL %d.%d",
                  version / 10000, version % 10000);
    else if (version >= TESTED_BELOW)
        check_add(ck, side, "version", CHECK_WARN, "versions 14 to 18 are known to work: rehearse first",
                  "PostgreSQL %d.%d", version / 10000, version % 10000);
    else
        check_add(ck, side, "version", CHECK_OK, NULL, "PostgreSQL %d.%d", version / 10000, version % 10000);
}

static void check_session(struct check *ck, const char *side, const struct pg_result *res)
{
    const char *encoding = pg_cell(res, 0, 2);
    check_add(ck, side, "reachable", CHECK_OK, NULL, "database %s as user %s", pg_cell(res, 0, 0),
              pg_cell(res, 0, 1));
    if (strcmp(encoding, "UTF8") == 0)
        check_add(ck, side, "encoding", CHECK_OK, NULL, "%s", encoding);
    else
        check_add(ck, side, "encoding", CHECK_FAIL,
                  "only databases in UTF8 are supported: dump and restore into one", "%s", encoding);
    if (pg_cell_bool(res, 0, 3))
        check_add(ck, side, "primary", CHECK_FAIL,
                  "connect to the primary: a standby takes no publication and no rows",
                  "the server is a standby");
}

bool check_server(struct check *ck, const char *side, const char *url_key, struct pg_conn **ret,
                  struct err *err)
{
    struct pg_options options = {.application_name = "crossfade check", .connect_timeout_s = 10};
    struct err why = ERR_INIT;
    struct pg_conn *conn = NULL;
    PG_RESULT_AUTO res = NULL;
    if (!pg_open(config_text(ck->cfg, url_key), &options, &conn, &why)) {
        const char *grant = strstr(why.text, "GRANT CONNECT");
        check_add_hint(ck, side, "reachable", CHECK_FAIL,
                       grant != NULL
                           ? xstrdup(grant)
                           : xasprintf("check %s, pg_hba.conf and the password (PGPASSFILE)", url_key),
                       "%s", why.text);
        return true;
    }
    check_version(ck, side, pg_server_version(conn));
    if (!pg_query(conn,
                  "SELECT current_database(), current_user, current_setting('server_encoding'), "
                  "pg_is_in_recovery()",
                  0, NULL, &res, err)) {
        pg_close(conn);
        return false;
    }
    check_session(ck, side, res);
    *ret = conn;
    return true;
}
