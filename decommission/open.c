/* Owns both connections of decommission's commands, and the questions that all of them ask. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "kept.h"
#include "maria/conn.h"
#include "pg/url.h"

static const char session_sql[] =
    "SET lock_timeout = '10s'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;"
    " SET default_transaction_read_only = off; SET search_path = ''";

bool decom_open_pg(struct decom *d, const char *key, struct pg_conn **ret, struct err *err)
{
    char name[80];
    (void)snprintf(name, sizeof name, "crossfade decommission %s", d->pipeline);
    const struct pg_options options = {.application_name = name};
    return (pg_open(config_text(d->cfg, key), &options, ret, err) && pg_exec(*ret, session_sql, err)) ||
           err_wrap(err, "%s", key);
}

static bool open_source(struct decom *d, struct err *err)
{
    if (maria_is_url(config_text(d->cfg, "source.url")))
        return err_set(
            err, ERR_CONFIG,
            "source.url names MariaDB: decommission looks after an old database that is PostgreSQL; "
            "what MariaDB would need (a message for clients, per database) it does not have");
    return decom_open_pg(d, "source.url", &d->source, err);
}

static bool find_home_mariadb(struct decom *d, const char *url, struct err *err)
{
    struct maria_url parts;
    if (!maria_url_parse(url, &parts, err))
        return false;
    (void)snprintf(d->home, sizeof d->home, "MariaDB at host=%s port=%u dbname=%s",
                   parts.host[0] != '\0' ? parts.host : "localhost", parts.port, maria_database(d->maria));
    maria_url_release(&parts);
    return true;
}

/* What clients may be told of the target: no user, no password, no options. */
static bool find_home(struct decom *d, struct err *err)
{
    const char *said = config_text(d->cfg, "decommission.new_home"), *url = config_text(d->cfg, "target.url");
    char *host CLEANUP(free_ptr) = NULL;
    char *port CLEANUP(free_ptr) = NULL;
    if (said == NULL && d->maria != NULL)
        return find_home_mariadb(d, url, err);
    if (d->maria == NULL &&
        (!pg_url_value(url, "host", &host, err) || !pg_url_value(url, "port", &port, err)))
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
              open_source(d, err) && kept_open(d, err) && find_home(d, err) &&
              pg_url_value(url, "host", &d->source_host, err) &&
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
    maria_close(d->maria);
    free(d->source_user);
    free(d->source_host);
    free(d->source_port);
    *d = (struct decom){0};
}

static bool take_cutover(void *ctx, const char *const *cells, struct err *err)
{
    struct decom_cutover *c = ctx;
    (void)err;
    (void)snprintf(c->at, sizeof c->at, "%s", cells[0]);
    (void)snprintf(c->until, sizeof c->until, "%s", cells[1]);
    c->over = cells[2] != NULL && (cells[2][0] == 't' || cells[2][0] == '1');
    return true;
}

bool decom_cutover(struct decom *d, struct decom_cutover *ret, struct err *err)
{
    bool there = false;
    char seconds[32];
    (void)snprintf(seconds, sizeof seconds, "%lld", (long long)config_int(d->cfg, "cutover.rollback_window"));
    const char *params[] = {d->pipeline, seconds};
    *ret = (struct decom_cutover){0};
    return (kept_there(d, "cutover", &there, err) &&
            (!there || kept_ask(d, KEPT_CUT_OVER, 2, params, take_cutover, ret, err))) ||
           err_wrap(err, "when the pipeline was cut over");
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
