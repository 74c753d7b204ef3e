/* Owns both connections of decommission's commands, and the questions that all of them ask. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "decommission_internal.h"
#include "pg/control_tables.h"
#include "pg/url.h"
#include "sql/embedded.h"

static const char session_sql[] =
    "SET lock_timeout = '10s'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;"
    " SET default_transaction_read_only = off; SET search_path = ''";

static bool open_one(struct decom *d, const char *key, struct pg_conn **ret, struct err *err)
{
    char name[80];
    (void)snprintf(name, sizeof name, "crossfade decommission %s", d->pipeline);
    const struct pg_options options = {.application_name = name};
    return (pg_open(config_text(d->cfg, key), &options, ret, err) && pg_exec(*ret, session_sql, err)) ||
           err_wrap(err, "%s", key);
}

/* What clients may be told of the target: no user, no password, no options. */
static bool find_home(struct decom *d, struct err *err)
{
    const char *said = config_text(d->cfg, "decommission.new_home"), *url = config_text(d->cfg, "target.url");
    char *host CLEANUP(free_ptr) = NULL;
    char *port CLEANUP(free_ptr) = NULL;
    if (!pg_url_value(url, "host", &host, err) || !pg_url_value(url, "port", &port, err))
        return false;
    if (said != NULL)
        (void)snprintf(d->home, sizeof d->home, "%s", said);
    else
        (void)snprintf(d->home, sizeof d->home, "host=%s port=%s dbname=%s",
                       host != NULL ? host : "localhost", port != NULL ? port : "5432",
                       pg_database(d->target));
    return true;
}

bool decom_open(struct decom *d, const struct config *cfg, struct err *err)
{
    *d = (struct decom){.cfg = cfg, .pipeline = config_text(cfg, "pipeline")};
    const char *url = config_text(cfg, "source.url");
    bool ok = config_require(cfg, err, "pipeline", "source.url", "target.url", (char *)NULL) &&
              open_one(d, "target.url", &d->target, err) && open_one(d, "source.url", &d->source, err) &&
              find_home(d, err) && pg_url_value(url, "host", &d->source_host, err) &&
              pg_url_value(url, "port", &d->source_port, err);
    if (ok)
        d->source_user = xstrdup(pg_user(d->source));
    else
        decom_close(d);
    return ok;
}

void decom_close(struct decom *d)
{
    pg_close(d->source);
    pg_close(d->target);
    free(d->source_user);
    free(d->source_host);
    free(d->source_port);
    *d = (struct decom){0};
}

bool decom_tables(struct decom *d, struct err *err)
{
    return pg_control_tables_ensure(d->target, "crossfade.connection_seen crossfade.tombstone",
                                    embedded_sql_target_decommission_sql, "target", err);
}

bool decom_cutover(struct decom *d, char at[40], char until[40], bool *ret_over, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    bool there = false;
    char seconds[32];
    (void)snprintf(seconds, sizeof seconds, "%lld", (long long)config_int(d->cfg, "cutover.rollback_window"));
    const char *params[] = {d->pipeline, seconds};
    at[0] = until[0] = '\0';
    *ret_over = false;
    if (!pg_control_tables_look(d->target, "crossfade.cutover", &there, err))
        return false;
    if (there &&
        !pg_query(
            d->target,
            "SELECT " ISO_TIME("max(at)") ", " ISO_TIME(
                "max(at) + $2::bigint * interval '1 second'") ","
                                                              " max(at) + $2::bigint * interval '1 second' "
                                                              "<= pg_catalog.clock_timestamp()"
                                                              " FROM crossfade.cutover WHERE pipeline = $1 "
                                                              "AND state = 'done' HAVING count(*) > 0",
            2, params, &res, err))
        return err_wrap(err, "when the pipeline was cut over");
    if (!there || pg_rows(res) == 0)
        return true;
    (void)snprintf(at, 40, "%s", pg_cell(res, 0, 0));
    (void)snprintf(until, 40, "%s", pg_cell(res, 0, 1));
    *ret_over = pg_cell_bool(res, 0, 2);
    return true;
}

char *decom_allowed(const struct decom *d)
{
    struct strbuf sb = STRBUF_INIT(65536);
    size_t count = 0;
    const char *const *roles = config_list(d->cfg, "decommission.allow", &count);
    for (size_t i = 0; i < count; i++)
        strbuf_addf(&sb, "%s%s", i > 0 ? "\n" : "", roles[i]);
    return sb.len > 0 ? strbuf_detach(&sb) : xstrdup("");
}
