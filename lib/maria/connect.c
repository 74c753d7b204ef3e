/* Owns: opening a connection through libmariadb, with all that the URL says. See connect.h. */
#include "maria/connect.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alive.h"
#include "core/alloc.h"
#include "core/line_watch.h"
#include "core/log.h"
#include "maria/control_format.h"
#include "maria/url.h"

#define CONNECT_TIMEOUT_S 15

static void set_tls(MYSQL *my, const struct maria_url *url)
{
    my_bool on = 1, verify = url->tls_verify;
    if (!url->tls)
        return;
    (void)mysql_optionsv(my, MYSQL_OPT_SSL_ENFORCE, &on);
    (void)mysql_optionsv(my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
    if (url->ssl_ca != NULL)
        (void)mysql_optionsv(my, MYSQL_OPT_SSL_CA, url->ssl_ca);
    if (url->ssl_cert != NULL)
        (void)mysql_optionsv(my, MYSQL_OPT_SSL_CERT, url->ssl_cert);
    if (url->ssl_key != NULL)
        (void)mysql_optionsv(my, MYSQL_OPT_SSL_KEY, url->ssl_key);
}

static const char *password_of(const struct maria_url *url)
{
    const char *env = getenv("MARIADB_PWD");
    return url->password != NULL ? url->password : env != NULL ? env : getenv("MYSQL_PWD");
}

/* A host that is gone sends nothing, not even an end: asked from 30 s of silence on, and given up 30 s later. Where connections are looked at
 * (core/line_watch.h), that goes without TCP_USER_TIMEOUT, which also ends one whose server is slow to read. */
static void watch_peer(MYSQL *my)
{
    size_t least = line_watch_runs() ? 1 : 0;
    static const struct {
        int level, name, value;
    } options[] = {{SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, 30},
                   {IPPROTO_TCP, TCP_KEEPINTVL, 10},
                   {IPPROTO_TCP, TCP_KEEPCNT, 3},
                   {IPPROTO_TCP, TCP_USER_TIMEOUT, 60000}};
    for (size_t i = 0; i < ARRAY_LEN(options) - least;
         i++) /* a socket file takes none of the last four: it needs none */
        (void)setsockopt((int)mysql_get_socket(my), options[i].level, options[i].name, &options[i].value,
                         sizeof options[i].value);
}

/* Error 2026 is any failure of TLS, also a connection that broke meanwhile: this one stays until a person does something. */
static bool is_distrust(MYSQL *my)
{
    static const char *const signs[] = {"certificate", "erification", "not support", "alert", "No such file"};
    for (size_t i = 0; mysql_errno(my) == 2026 && i < ARRAY_LEN(signs); i++) {
        if (strstr(mysql_error(my), signs[i]) != NULL)
            return true;
    }
    return false;
}

static bool connect_to(MYSQL *my, const struct maria_login *login, const struct maria_url *url,
                       struct err *err)
{
    unsigned timeout = CONNECT_TIMEOUT_S, local = (login->flags & CLIENT_LOCAL_FILES) != 0;
    (void)mysql_optionsv(my, MYSQL_OPT_CONNECT_TIMEOUT, &timeout);
    (void)mysql_optionsv(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    (void)mysql_optionsv(my, MYSQL_OPT_LOCAL_INFILE, &local);
    (void)mysql_optionsv(my, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", login->program);
    if (login->max_packet_bytes > 0)
        (void)mysql_optionsv(my, MYSQL_OPT_MAX_ALLOWED_PACKET, &login->max_packet_bytes);
    if (login->read_timeout_s > 0)
        (void)mysql_optionsv(my, MYSQL_OPT_READ_TIMEOUT, &login->read_timeout_s);
    if (password_of(url) == NULL) /* ~/.my.cnf and the system's: [client] and [crossfade] */
        (void)mysql_optionsv(my, MYSQL_READ_DEFAULT_GROUP, "crossfade");
    set_tls(my, url);
    const char *host = url->host[0] != '\0' ? url->host : "localhost";
    alive_wait_begin();
    const MYSQL *connected = mysql_real_connect(my, host, url->user, password_of(url), url->database,
                                                url->port, url->socket, login->flags);
    alive_wait_end();
    if (connected != NULL) {
        my_bool again =
            0; /* an option file may ask for it: a new session would have neither settings nor locks */
        (void)mysql_optionsv(my, MYSQL_OPT_RECONNECT, &again);
        watch_peer(my);
        line_watch_add(my, (int)mysql_get_socket(my), host);
        /* A hook or an alert's command that outlives us must not hold the session, and with it our lock, open. The library does not see to it. */
        (void)fcntl(mysql_get_socket(my), F_SETFD, FD_CLOEXEC);
        return true;
    }
    char masked[300], what[340];
    (void)snprintf(what, sizeof what, "cannot connect to %s",
                   log_mask_url(login->url, masked, sizeof masked));
    maria_fail(mysql_errno(my), mysql_sqlstate(my), mysql_error(my), what, err);
    if (is_distrust(my) && err != NULL) {
        err->code = ERR_AUTH;
        return url->tls_by_default ? err_wrap(err, "a URL without ssl-mode asks a server on another machine "
                                                   "for TLS and a certificate that is "
                                                   "proven (add ssl-ca=FILE, or say another ssl-mode)")
                                   : false;
    }
    return false;
}

void maria_disconnect(MYSQL *my)
{
    if (my == NULL)
        return;
    line_watch_remove(my);
    mysql_close(my);
}

bool maria_connect(const struct maria_login *login, MYSQL **ret, char **ret_database, struct err *err)
{
    struct maria_url url;
    if (!maria_url_parse(login->url, &url, err))
        return false;
    MYSQL *my = mysql_init(NULL);
    bool ok = my != NULL
                  ? connect_to(my, login, &url, err) && maria_control_format_check(my, url.database, err)
                  : err_set(err, ERR_NO_MEMORY, "no memory for a connection");
    if (ok) {
        *ret = my;
        *ret_database = xstrdup(url.database);
    } else {
        maria_disconnect(my);
    }
    maria_url_release(&url);
    return ok;
}
