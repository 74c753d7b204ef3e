/*
 * Wraps libmicrohttpd: three read-only pages, and two commands for callers on this machine, on a socket that we bind ourselves (for a clear message when
 * that fails). Its one thread reads copies of the board. Requests are bounded in size, number and time;
 * bodies are thrown away.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/http.h"
#include "core/alive.h"
#include "core/alloc.h"

#define REQUEST_BYTES_MAX ((size_t)16 << 10)
#define CONNECTIONS_MAX   32
#define IDLE_TIMEOUT_S    10
#define BACKLOG           64
#define LOOP_SILENT_US    INT64_C(120000000) /* a loop that says nothing for so long hangs */

struct http_server {
    struct MHD_Daemon *daemon;
    struct status_board *board;
    char *host; /* that it was told to listen at */
    int port;
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

static bool from_this_machine(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info == NULL)
        return false;
    const struct sockaddr *addr = info->client_addr;
    if (addr->sa_family == AF_INET) {
        uint32_t ip = ntohl(((const struct sockaddr_in *)(const void *)addr)->sin_addr.s_addr);
        return ip >> 24 == 127;
    }
    if (addr->sa_family != AF_INET6)
        return false;
    const struct in6_addr *ip6 = &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(ip6) || (IN6_IS_ADDR_V4MAPPED(ip6) && ip6->s6_addr[12] == 127);
}

/* Host: the address that we listen at, or a name that can only mean this machine. A page whose name somebody's DNS has made to
 * point here (rebinding) is of the same origin for its browser, but its name stays in Host. */
static bool host_is_ours(const struct http_server *server, const char *host)
{
    char name[256];
    struct in_addr ip4;
    if (host == NULL)
        return false;
    const char *end = host[0] == '[' ? strchr(host, ']') : host + strcspn(host, ":");
    const char *begin = host + (host[0] == '[');
    if (end == NULL || (size_t)(end - begin) >= sizeof name)
        return false;
    (void)snprintf(name, sizeof name, "%.*s", (int)(end - begin), begin);
    if (inet_pton(AF_INET, name, &ip4) == 1 && ntohl(ip4.s_addr) >> 24 == 127)
        return true;
    return strcasecmp(name, "localhost") == 0 || strcmp(name, "::1") == 0 ||
           strcasecmp(name, server->host) == 0;
}

/* From this machine, and not by a page in somebody's browser: those name their origin, and browsers say who asks. */
static bool may_command(const struct http_server *server, struct MHD_Connection *conn)
{
    return from_this_machine(conn) && MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Origin") == NULL &&
           MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Sec-Fetch-Site") == NULL &&
           host_is_ours(server, MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Host"));
}

static enum MHD_Result answer_command(const struct http_server *server, struct MHD_Connection *conn,
                                      bool pause)
{
    static const char type[] = "text/plain; charset=utf-8";
    if (!may_command(server, conn))
        return answer(conn, MHD_HTTP_FORBIDDEN, type,
                      xstrdup("only from this machine, by its name or address, and not from a browser\n"));
    if (!status_board_ask_pause(server->board, pause))
        return answer(conn, MHD_HTTP_NOT_FOUND, type, xstrdup("this role does not pause\n"));
    return answer(conn, MHD_HTTP_OK, type,
                  xstrdup(pause ? "pauses behind the fence at hand\n" : "goes on\n"));
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *conn, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_len,
                                  void **request_ctx)
{
    struct http_server *server = ctx;
    static int seen;
    if (*request_ctx ==
        NULL) { /* headers only: wait for the rest, so that the answer is not lost in a reset */
        *request_ctx = &seen;
        return MHD_YES;
    }
    if (*upload_len > 0) {
        *upload_len = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_POST) == 0 &&
        (strcmp(url, "/pause") == 0 || strcmp(url, "/resume") == 0))
        return answer_command(server, conn, strcmp(url, "/pause") == 0);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer(conn, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", xstrdup("only GET\n"));
    if (strcmp(url, "/status") == 0)
        return answer(conn, MHD_HTTP_OK, "application/json", status_board_json(server->board));
    if (strcmp(url, "/metrics") == 0)
        return answer(conn, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                      status_board_metrics(server->board));
    if (strcmp(url, "/health") == 0)
        return answer_health(conn, server->board);
    if (strcmp(url, "/healthz") == 0)
        return answer_probe(conn, alive_age_us() < LOOP_SILENT_US);
    if (strcmp(url, "/readyz") == 0)
        return answer_probe(conn, status_board_ready(server->board) && status_board_healthy(server->board));
    return answer(conn, MHD_HTTP_NOT_FOUND, "text/plain; charset=utf-8",
                  xstrdup("not found: /status, /metrics, /health, /healthz, /readyz\n"));
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

bool http_server_start(const char *listen_text, struct status_board *board, struct http_server **ret,
                       struct err *err)
{
    int fd = -1;
    char *host = NULL;
    if (!open_socket(listen_text, &host, &fd, err))
        return false;
    struct http_server *server = xcalloc(1, sizeof *server);
    server->host = host;
    server->board = board;
    server->port = port_of(fd);
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, REQUEST_BYTES_MAX, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_END);
    if (server->daemon == NULL) {
        close(fd);
        free(server->host);
        free(server);
        return err_set(err, ERR_IO, "listen=%s: the HTTP server did not start", listen_text);
    }
    *ret = server;
    return true;
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_server_stop(struct http_server *server)
{
    if (server == NULL)
        return;
    MHD_stop_daemon(server->daemon);
    free(server->host);
    free(server);
}
