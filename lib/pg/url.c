/* Owns: taking a URL apart for other programs. See url.h. */
#include "pg/url.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/local_host.h"
#include "core/log.h"
#include "core/strbuf.h"

#define CONNINFO_BYTES_MAX 65536

void pg_conninfo_add(struct strbuf *out, const char *keyword, const char *value)
{
    strbuf_addf(out, "%s%s='", out->len > 0 ? " " : "", keyword);
    for (; *value != '\0'; value++) {
        if (*value == '\'' || *value == '\\')
            strbuf_addc(out, '\\');
        strbuf_addc(out, *value);
    }
    strbuf_addc(out, '\'');
}

static const char *said(const PQconninfoOption *options, const char *keyword, const char *variable)
{
    const char *value = NULL;
    for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
        if (strcmp(o->keyword, keyword) == 0)
            value = o->val;
    }
    if (value == NULL || *value == '\0')
        value = getenv(variable);
    return value != NULL && *value != '\0' ? value : NULL;
}

/* libpq's own default, "prefer", takes whoever answers, and goes on in clear text when TLS fails: it protects from nothing. */
const char *pg_url_sslmode(const char *url)
{
    bool pairs = strchr(url, '=') != NULL || strstr(url, "://") != NULL; /* else the name of a database */
    PQconninfoOption *options = pairs ? PQconninfoParse(url, NULL) : NULL;
    const char *mode = NULL;
    if ((!pairs || options != NULL) && said(options, "sslmode", "PGSSLMODE") == NULL &&
        said(options, "service", "PGSERVICE") == NULL) {
        const char *host = said(options, "host", "PGHOST");
        const char *address = said(options, "hostaddr", "PGHOSTADDR");
        if ((host != NULL && !hosts_are_local(host)) || (address != NULL && !hosts_are_local(address)))
            mode = "verify-full";
    }
    PQconninfoFree(options);
    return mode;
}

static bool take_options(const PQconninfoOption *options, struct strbuf *out, char **ret_password,
                         struct err *err)
{
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (o->val == NULL)
            continue;
        if (strcmp(o->keyword, "password") == 0) {
            free(*ret_password);
            *ret_password = xstrdup(o->val);
        } else if (strchr(o->dispchar, '*') != NULL) {
            return err_set(
                err, ERR_CONFIG,
                "%s in a URL cannot be handed on to pg_dump: use a key without one, or a service file",
                o->keyword);
        } else {
            pg_conninfo_add(out, o->keyword, o->val);
        }
    }
    return strbuf_ok(out, "the connection string", err);
}

/* The message of libpq may show the password. */
static PQconninfoOption *parse(const char *url, struct err *err)
{
    char masked[300], *text = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &text);
    if (text != NULL)
        PQfreemem(text);
    if (options == NULL)
        err_set(err, ERR_CONFIG, "cannot read the connection string %s",
                log_mask_url(url, masked, sizeof masked));
    return options;
}

bool pg_url_value(const char *url, const char *keyword, char **ret, struct err *err)
{
    PQconninfoOption *options = parse(url, err);
    if (options == NULL)
        return false;
    *ret = NULL;
    for (const PQconninfoOption *o = options; *ret == NULL && o->keyword != NULL; o++) {
        if (strcmp(o->keyword, keyword) == 0 && o->val != NULL && *o->val != '\0')
            *ret = xstrdup(o->val);
    }
    PQconninfoFree(options);
    return true;
}

bool pg_url_split(const char *url, char **ret_conninfo, char **ret_password, struct err *err)
{
    struct strbuf out = STRBUF_INIT(CONNINFO_BYTES_MAX);
    char *password = NULL;
    PQconninfoOption *options = parse(url, err);
    if (options == NULL)
        return false;
    const char *sslmode = pg_url_sslmode(url);
    if (sslmode != NULL)
        pg_conninfo_add(&out, "sslmode", sslmode);
    bool ok = take_options(options, &out, &password, err);
    PQconninfoFree(options);
    if (!ok) {
        free(password);
        strbuf_release(&out);
        return false;
    }
    *ret_conninfo = strbuf_detach(&out);
    *ret_password = password;
    return true;
}

static void add_percent(struct strbuf *out, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text != '\0'; text++) {
        if (strchr(plain, *text) != NULL)
            strbuf_addc(out, *text);
        else
            strbuf_addf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

bool pg_url_with_database(const char *url, const char *database, char **ret, struct err *err)
{
    struct strbuf out = STRBUF_INIT(CONNINFO_BYTES_MAX);
    PQconninfoOption *options = parse(url, err);
    if (options == NULL)
        return false;
    strbuf_adds(&out, "postgresql:///");
    add_percent(&out, database);
    char before = '?';
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (o->val == NULL || strcmp(o->keyword, "dbname") == 0)
            continue;
        strbuf_addf(&out, "%c%s=", before, o->keyword);
        add_percent(&out, o->val);
        before = '&';
    }
    PQconninfoFree(options);
    bool ok = strbuf_ok(&out, "the connection string", err);
    if (ok)
        *ret = strbuf_detach(&out);
    strbuf_release(&out);
    return ok;
}
