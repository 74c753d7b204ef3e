/*
 * Wraps libmicrohttpd: three read-only pages, those of the status page (http_pages.h), and commands (http_server_command.c), on a socket that we bind ourselves (for a clear message when
 * that fails). Its one thread reads copies of the board. Requests are bounded in size, number and time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/http.h"
#include "control/http_guard.h"
#include "control/http_server_command.h"
#include "control/http_server_late.h"
#include "control/http_server_stream.h"
#include "control/http_server_tls.h"
#include "control/status_tables.h"
#include "core/alive.h"
#include "core/alloc.h"
#include "core/log.h"

#define REQUEST_BYTES_MAX ((size_t)16 << 10)
#define CONNECTIONS_MAX   32
#define CONNECTIONS_OF_ONE                                                                                   \
    24 /* of an address: the rest is left to others, such as who asks whether the role is alive */
#define IDLE_TIMEOUT_S 10
#define BACKLOG        64
#define LOOP_SILENT_US INT64_C(120000000) /* a loop that says nothing for so long hangs */
/* A request has to be there so long after its first byte, however slowly it comes. */
#define REQUEST_WITHIN_US INT64_C(15000000)
#define TLS_PRIORITIES    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct http_server {
    struct MHD_Daemon *daemon;
    struct status_board *board;
    char *host; /* that it was told to listen at */
    struct http_settings settings;
    struct http_tls tls;
    struct http_commands *commands;
    struct http_late *late;
    int port;
    struct http_streams *_Atomic streams; /* and pages of the status page; NULL: none are served */
};

static enum MHD_Result answer(struct MHD_Connection *conn, unsigned status, const char *type, char *body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(body);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result queued = MHD_queue_response(conn, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result answer_health(struct MHD_Connection *conn, struct status_board *board)
{
    bool healthy = status_board_healthy(board);
    return answer(conn, healthy ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain; charset=utf-8",
                  xstrdup(healthy ? "ok\n" : "not healthy: see /status\n"));
}

/* /healthz: the role's loop goes round, so a new process would do no better. /readyz: it works, and nothing it needs is away. */
static enum MHD_Result answer_probe(struct MHD_Connection *conn, bool good)
{
    return answer(conn, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain; charset=utf-8",
                  xstrdup(good ? "ok\n" : "no\n"));
}

static enum MHD_Result answer_status(struct MHD_Connection *conn, struct status_board *board)
{
    const char *asked = MHD_lookup_connection_value(conn, MHD_GET_ARGUMENT_KIND, "tables");
    enum status_tables tables = asked == NULL                ? STATUS_TABLES_NOW
                                : strcmp(asked, "no") == 0   ? STATUS_TABLES_NONE
                                : strcmp(asked, "last") == 0 ? STATUS_TABLES_LAST
                                                             : STATUS_TABLES_NOW;
    return answer(conn, MHD_HTTP_OK, "application/json", status_board_json_with(board, tables));
}

static bool is_read(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static struct http_late_mark *mark_of(struct MHD_Connection *conn)
{
    return MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void on_connection(void *ctx, struct MHD_Connection *conn, void **socket_ctx,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *server = ctx;
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        *socket_ctx = http_late_enter(
            server->late, MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
    else
        http_late_leave(server->late, *socket_ctx);
}

static void on_completed(void *ctx, struct MHD_Connection *conn, void **request_ctx,
                         enum MHD_RequestTerminationCode how UNUSED)
{
    struct http_server *server = ctx;
    http_late_again(server->late, mark_of(conn));
    http_request_free(*request_ctx);
    *request_ctx = NULL;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *conn, const char *url, const char *method,
                                  const char *version UNUSED, const char *upload, size_t *upload_len,
                                  void **request_ctx)
{
    struct http_server *server = ctx;
    struct http_request *request = *request_ctx;
    enum MHD_Result queued = MHD_NO;
    unsigned refused = 0;
    const char *why = NULL;
    if (request == NULL) { /* headers only: wait for the rest, so that the answer is not lost in a reset */
        *request_ctx = http_request_new(server->commands, conn);
        return MHD_YES;
    }
    if (*upload_len > 0) {
        http_request_body(request, upload, *upload_len);
        *upload_len = 0;
        return MHD_YES;
    }
    http_late_whole(server->late, mark_of(conn));
    if (strcmp(url, "/health") == 0 && is_read(method))
        return answer_health(conn, server->board);
    if (strcmp(url, "/healthz") == 0 && is_read(method))
        return answer_probe(conn, alive_age_us() < LOOP_SILENT_US);
    if (strcmp(url, "/readyz") == 0 && is_read(method))
        return answer_probe(conn, status_board_ready(server->board) && status_board_healthy(server->board));
    if (!request->waits && !http_commands_pace(server->commands, conn))
        return answer(conn, MHD_HTTP_TOO_MANY_REQUESTS, "text/plain; charset=utf-8",
                      xstrdup("too many requests\n"));
    if (strcmp(method, MHD_HTTP_METHOD_POST) == 0 && http_command_take(request, url, &queued))
        return queued;
    if (!is_read(method) || strncmp(url, "/control/", strlen("/control/")) == 0)
        return answer(conn, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain; charset=utf-8",
                      xstrdup("GET and HEAD; POST is for /control/…\n"));
    why = http_read_refused(server->commands, conn, url, &refused);
    if (why != NULL)
        return answer(conn, refused, "text/plain; charset=utf-8", xstrdup(why));
    if (strcmp(url, "/status") == 0)
        return answer_status(conn, server->board);
    if (strcmp(url, "/metrics") == 0)
        return answer(conn, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                      status_board_metrics(server->board));
    if (http_streams_take(server->streams, conn, url, &queued))
        return queued;
    return answer(conn, MHD_HTTP_NOT_FOUND, "text/plain; charset=utf-8",
                  xstrdup("not found: /, /status, /metrics, /health, /healthz, /readyz\n"));
}

/* Divides "host:port" or "[v6]:port"; host may be empty-bracketed. malloc'd. */
static bool split_listen(const char *listen_text, char **ret_host, const char **ret_port, struct err *err)
{
    const char *colon = strrchr(listen_text, ':');
    if (colon == NULL || colon == listen_text || colon[1] == '\0')
        return err_set(err, ERR_CONFIG, "listen address %s: expected host:port, such as 127.0.0.1:7301",
                       listen_text);
    size_t len = (size_t)(colon - listen_text);
    bool bracketed = listen_text[0] == '[' && len >= 2 && listen_text[len - 1] == ']';
    *ret_host = bracketed ? xstrndup(listen_text + 1, len - 2) : xstrndup(listen_text, len);
    *ret_port = colon + 1;
    return true;
}

static bool bind_address(const struct addrinfo *ai, const char *listen_text, int *ret_fd, struct err *err)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set_errno(err, errno, "listen=%s: no socket", listen_text);
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        *ret_fd = fd;
        return true;
    }
    int bind_errno = errno;
    close(fd);
    if (bind_errno == EADDRINUSE)
        return err_set(
            err, ERR_BUSY,
            "listen=%s: the address is in use (is this role running already? else choose another port)",
            listen_text);
    return err_set_errno(err, bind_errno, "listen=%s: cannot be bound", listen_text);
}

static bool open_socket(const char *listen_text, char **ret_host, int *ret_fd, struct err *err)
{
    char *host = NULL;
    const char *port = NULL;
    if (!split_listen(listen_text, &host, &port, err))
        return false;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, port, &hints, &found);
    bool good = rc == 0 ? bind_address(found, listen_text, ret_fd, err)
                        : err_set(err, ERR_CONFIG, "listen=%s: %s", listen_text, gai_strerror(rc));
    if (rc == 0)
        freeaddrinfo(found);
    if (good)
        *ret_host = host;
    else
        free(host);
    return good;
}

static int port_of(int fd)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        return 0;
    if (addr.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&addr)->sin6_port);
    return ntohs(((struct sockaddr_in *)&addr)->sin_port);
}

/* What others on the network can reach: with TLS, or loudly. */
static bool check_exposure(const struct http_server *server, const char *listen_text, struct err *err)
{
    const struct http_settings *set = &server->settings;
    if (http_host_is_loopback(server->host) || (set->tls_cert != NULL && set->read_needs_auth))
        return true;
    if (set->refuse_exposed)
        return err_set(
            err, ERR_CONFIG,
            "listen=%s can be reached by others, and has no TLS and authentication: set control.tls_cert, "
            "control.tls_key and control.read: authenticated, listen at 127.0.0.1, or say control.exposed: "
            "warn",
            listen_text);
    log_event(LOG_LEVEL_WARN, "listens_openly",
              "listen=%s text=\"others can read status and metrics%s: keep it behind a firewall, or set "
              "%scontrol.read: "
              "authenticated\"",
              listen_text, set->tls_cert == NULL ? ", unencrypted" : "",
              set->tls_cert == NULL ? "control.tls_cert, control.tls_key and " : "");
    return true;
}

static bool check_settings(const struct http_settings *set, struct err *err)
{
    if ((set->tls_cert == NULL) != (set->tls_key == NULL))
        return err_set(err, ERR_CONFIG,
                       "control.tls_cert and control.tls_key belong together: one of them is not set");
    if (set->client_ca != NULL && set->tls_cert == NULL)
        return err_set(err, ERR_CONFIG,
                       "control.client_ca: clients show certificates over TLS: set control.tls_cert, too");
    if (set->read_needs_auth && set->token_file == NULL && set->client_ca == NULL)
        return err_set(
            err, ERR_CONFIG,
            "control.read: authenticated: nobody could, without control.token_file or control.client_ca");
    return true;
}

/* Options that only count with TLS come last: the first MHD_OPTION_END ends them. */
static struct MHD_Daemon *start_daemon(struct http_server *server, int fd)
{
    const struct http_tls *tls = &server->tls;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem with_tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, tls->cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, tls->key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, TLS_PRIORITIES},
        {tls->client_ca != NULL ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0, tls->client_ca},
        {MHD_OPTION_END, 0, NULL}};
    if (tls->cert != NULL)
        flags |= MHD_USE_TLS;
    else
        with_tls[0] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, fd,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, REQUEST_BYTES_MAX,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                            MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_OF_ONE,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_NOTIFY_COMPLETED,
                            on_completed, server, MHD_OPTION_ARRAY, with_tls, MHD_OPTION_END);
}

static void release(struct http_server *server)
{
    http_late_end(server->late);
    http_commands_free(server->commands);
    http_tls_release(&server->tls);
    free(server->host);
    free(server);
}

static bool prepare(struct http_server *server, const char *listen_text, struct err *err)
{
    if (!check_settings(&server->settings, err) || !check_exposure(server, listen_text, err) ||
        (server->settings.tls_cert != NULL && !http_tls_read(&server->settings, &server->tls, err)) ||
        !http_commands_new(&server->settings, server->host, status_board_desk(server->board),
                           &server->commands, err))
        return false;
    server->late = http_late_start(server->settings.request_within_us > 0 ? server->settings.request_within_us
                                                                          : REQUEST_WITHIN_US);
    return true;
}

bool http_server_start(const char *listen_text, const struct http_settings *settings,
                       struct status_board *board, struct http_server **ret, struct err *err)
{
    int fd = -1;
    char *host = NULL;
    if (!open_socket(listen_text, &host, &fd, err))
        return false;
    struct http_server *server = xcalloc(1, sizeof *server);
    server->host = host;
    server->board = board;
    server->port = port_of(fd);
    if (settings != NULL)
        server->settings = *settings;
    bool ok = prepare(server, listen_text, err);
    if (ok) {
        server->daemon = start_daemon(server, fd);
        ok = server->daemon != NULL ||
             err_set(err, server->tls.cert != NULL ? ERR_CONFIG : ERR_IO,
                     "listen=%s: the HTTP server did not start%s", listen_text,
                     server->tls.cert != NULL ? ": do control.tls_cert and control.tls_key belong together?"
                                              : "");
    }
    if (!ok) {
        close(fd);
        release(server);
        return false;
    }
    *ret = server;
    return true;
}

bool http_server_reload(struct http_server *server, struct err *err)
{
    return http_commands_tokens(server->commands, err);
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_server_serve(struct http_server *server, const struct http_pages *pages)
{
    server->streams = http_streams_new(pages);
}

void http_server_wake(struct http_server *server)
{
    http_streams_wake(server->streams);
}

void http_server_stop(struct http_server *server)
{
    if (server == NULL)
        return;
    desk_close(status_board_desk(server->board)); /* those that wait for it get their answers */
    http_streams_end(server->streams);
    MHD_stop_daemon(server->daemon);
    http_streams_free(server->streams);
    release(server);
}
