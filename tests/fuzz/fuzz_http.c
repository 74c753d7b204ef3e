/*
 * What a role answers to HTTP, from method, path, headers and body on: whatever comes, a command is carried out only for a POST of JSON with a
 * right token, from this machine, by no browser, under a name of ours; and who must show a token reads nothing without one. An input that
 * begins with '#' is a file of tokens instead. libmicrohttpd, which reads the bytes of the network, is left out: what it would tell the server's
 * own handler is told here.
 *
 * Input: a byte of flags, two of the address, then text: "METHOD path", a line for each header, an empty line, the body.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/desk.h"
#include "control/http.h"
#include "control/http_guard.h"
#include "core/alloc.h"
#include "core/log.h"
#include "fuzz.h"

#define HEADERS_MAX 40
#define TOKENS      "ops 0123456789abcdef\nnight fedcba9876543210fedcba\n"

enum flag { READ_NEEDS_AUTH = 1, ELSEWHERE = 2, IPV6 = 4, IN_PIECES = 8 };

/* What libmicrohttpd keeps of a request. */
struct MHD_Connection {
    const char *method, *url, *tables;
    struct {
        const char *name, *value;
    } headers[HEADERS_MAX];
    size_t header_count;
    union MHD_ConnectionInfo address, fd, mark;
    struct sockaddr_storage ip;
    void *socket_ctx;
    unsigned answers, status;
    bool suspended;
};

/* A server as it has asked libmicrohttpd to be called. */
struct MHD_Daemon {
    MHD_AccessHandlerCallback handler;
    void *handler_ctx;
    MHD_NotifyConnectionCallback on_connection;
    void *connection_ctx;
    MHD_RequestCompletedCallback on_completed;
    void *completed_ctx;
};

static sem_t resumed;
static struct {
    bool seen, noted;
    struct desk_order order;
} done;
static struct http_server *servers[2]; /* the second wants a token for reading */
static struct MHD_Daemon *daemons[2];
static size_t daemon_count;

/* --- in libmicrohttpd's place --- */

struct MHD_Daemon *MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback apc,
                                    void *apc_ctx, MHD_AccessHandlerCallback handler, void *ctx, ...)
{
    struct MHD_Daemon *d = xcalloc(1, sizeof *d);
    va_list ap;
    (void)flags, (void)port, (void)apc, (void)apc_ctx;
    d->handler = handler;
    d->handler_ctx = ctx;
    va_start(ap, ctx);
    for (int option; (option = va_arg(ap, int)) != MHD_OPTION_END;) {
        if (option == MHD_OPTION_NOTIFY_CONNECTION) {
            d->on_connection = va_arg(ap, MHD_NotifyConnectionCallback);
            d->connection_ctx = va_arg(ap, void *);
        } else if (option == MHD_OPTION_NOTIFY_COMPLETED) {
            d->on_completed = va_arg(ap, MHD_RequestCompletedCallback);
            d->completed_ctx = va_arg(ap, void *);
        } else if (option == MHD_OPTION_CONNECTION_MEMORY_LIMIT) {
            (void)va_arg(ap, size_t);
        } else if (option == MHD_OPTION_ARRAY) {
            (void)va_arg(ap, void *);
        } else {
            (void)va_arg(ap, unsigned);
        }
    }
    va_end(ap);
    return daemons[daemon_count++] = d;
}

const char *MHD_lookup_connection_value(struct MHD_Connection *conn, enum MHD_ValueKind kind, const char *key)
{
    if (kind == MHD_GET_ARGUMENT_KIND)
        return strcmp(key, "tables") == 0 ? conn->tables : NULL;
    for (size_t i = 0; i < conn->header_count; i++) {
        if (strcasecmp(conn->headers[i].name, key) == 0)
            return conn->headers[i].value;
    }
    return NULL;
}

const union MHD_ConnectionInfo *MHD_get_connection_info(struct MHD_Connection *conn,
                                                        enum MHD_ConnectionInfoType what, ...)
{
    conn->mark.socket_context = conn->socket_ctx;
    return what == MHD_CONNECTION_INFO_CLIENT_ADDRESS   ? &conn->address
           : what == MHD_CONNECTION_INFO_CONNECTION_FD  ? &conn->fd
           : what == MHD_CONNECTION_INFO_SOCKET_CONTEXT ? &conn->mark
                                                        : NULL;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *conn, unsigned status,
                                   struct MHD_Response *response)
{
    FUZZ_REQUIRE(response != NULL && !conn->suspended, "status %u", status);
    conn->answers++;
    conn->status = status;
    return MHD_YES;
}

void MHD_suspend_connection(struct MHD_Connection *conn)
{
    conn->suspended = true;
}

void MHD_resume_connection(struct MHD_Connection *conn)
{
    conn->suspended = false;
    (void)sem_post(&resumed);
}

/* --- the role around it --- */

static bool note(void *ctx, const struct desk_order *order, struct err *err)
{
    (void)ctx, (void)err;
    done.seen = done.noted = true;
    done.order = *order;
    return true;
}

static bool reload(void *ctx, const struct desk_order *order, struct strbuf *said, struct err *err)
{
    strbuf_adds(said, "taken up");
    return note(ctx, order, err);
}

/* The path of a file in memory with this text. */
static int token_file(const char *text, size_t len, char out[40])
{
    int fd = memfd_create("tokens", 0);
    FUZZ_REQUIRE(fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, text, len) == (ssize_t)len,
                 "no file in memory");
    (void)snprintf(out, 40, "/proc/self/fd/%d", fd);
    return fd;
}

static void start(size_t i, const char *tokens)
{
    static const struct desk_hooks hooks = {.note = note, .reload = reload};
    struct http_settings settings = {.token_file = tokens, .read_needs_auth = i == 1};
    struct status_board *board = status_board_new();
    struct err err = ERR_INIT;
    struct role_status status = {.role = "apply", .phase = PHASE_STREAMING, .pipeline = "p\"\n<p>"};
    status_board_publish(board, &status);
    desk_can(status_board_desk(board),
             DESK_CAN(DESK_PAUSE) | DESK_CAN(DESK_RESUME) | DESK_CAN(DESK_THROTTLE) | DESK_CAN(DESK_DRAIN));
    desk_open(status_board_desk(board), &hooks);
    FUZZ_REQUIRE(http_server_start("127.0.0.1:0", &settings, board, &servers[i], &err), "%s", err.text);
}

static void start_once(void)
{
    static char path[40];
    if (servers[0] != NULL)
        return;
    log_init("fuzz", LOG_LEVEL_ERROR, false);
    FUZZ_REQUIRE(sem_init(&resumed, 0, 0) == 0, "no semaphore");
    (void)token_file(TOKENS, strlen(TOKENS), path);
    start(0, path);
    start(1, path);
}

/* --- a request --- */

static void set_address(struct MHD_Connection *conn, unsigned flags, const uint8_t host[2])
{
    struct sockaddr_in *ip4 = (struct sockaddr_in *)&conn->ip;
    struct sockaddr_in6 *ip6 = (struct sockaddr_in6 *)&conn->ip;
    uint32_t first = (flags & ELSEWHERE) != 0 ? 10 : 127;
    if ((flags & IPV6) != 0) {
        *ip6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons(1), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        if ((flags & ELSEWHERE) != 0)
            memcpy(&ip6->sin6_addr, host, 2);
    } else {
        *ip4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(1)};
        ip4->sin_addr.s_addr = htonl(first << 24 | (uint32_t)host[0] << 16 | (uint32_t)host[1] << 8 | 1);
    }
    conn->address.client_addr = (struct sockaddr *)&conn->ip;
    conn->fd.connect_fd = -1;
}

/* Up to the line's end, which is taken; NULL: there is no more. */
static char *next_line(char **rest)
{
    char *line = strsep(rest, "\n");
    if (line != NULL && *line != '\0' && line[strlen(line) - 1] == '\r')
        line[strlen(line) - 1] = '\0';
    return line;
}

static void read_url(struct MHD_Connection *conn, char *url)
{
    char *query = strchr(url, '?');
    if (query != NULL) {
        *query++ = '\0';
        conn->tables = strncmp(query, "tables=", 7) == 0 ? query + 7 : NULL;
    }
    (void)MHD_http_unescape(url);
    conn->url = url;
}

/* False: no server would see it. *ret_body: what is behind the headers. */
static bool read_request(struct MHD_Connection *conn, char *text, char **ret_body)
{
    char *rest = text, *line = next_line(&rest);
    char *space = line != NULL ? strchr(line, ' ') : NULL;
    if (space == NULL || space[1] != '/')
        return false;
    *space = '\0';
    conn->method = line;
    read_url(conn, space + 1);
    while ((line = next_line(&rest)) != NULL && *line != '\0') {
        char *colon = strchr(line, ':');
        if (colon == NULL || conn->header_count == HEADERS_MAX)
            return false;
        *colon = '\0';
        conn->headers[conn->header_count].name = line;
        conn->headers[conn->header_count++].value = colon + 1 + strspn(colon + 1, " ");
    }
    *ret_body = rest != NULL ? rest : text + strlen(text);
    return true;
}

static void call(const struct MHD_Daemon *d, struct MHD_Connection *conn, const char *bytes, size_t len,
                 void **request)
{
    size_t left = len;
    FUZZ_REQUIRE(d->handler(d->handler_ctx, conn, conn->url, conn->method, "HTTP/1.1", bytes, &left,
                            request) == MHD_YES,
                 "%s", conn->url);
    FUZZ_REQUIRE(left == 0, "%zu of %zu bytes", left, len);
}

/* As libmicrohttpd calls: headers, pieces of the body, the end; once more when the desk has answered. */
static void run(const struct MHD_Daemon *d, struct MHD_Connection *conn, const char *body, size_t len,
                bool in_pieces)
{
    void *request = NULL;
    size_t piece = in_pieces ? MAX_OF(len / 3, (size_t)1) : MAX_OF(len, (size_t)1);
    d->on_connection(d->connection_ctx, conn, &conn->socket_ctx, MHD_CONNECTION_NOTIFY_STARTED);
    call(d, conn, NULL, 0, &request);
    for (size_t at = 0; at < len; at += piece)
        call(d, conn, body + at, MIN_OF(piece, len - at), &request);
    call(d, conn, NULL, 0, &request);
    if (conn->answers == 0) {
        while (sem_wait(&resumed) != 0)
            continue;
        call(d, conn, NULL, 0, &request);
    }
    d->on_completed(d->completed_ctx, conn, &request, MHD_REQUEST_TERMINATED_COMPLETED_OK);
    d->on_connection(d->connection_ctx, conn, &conn->socket_ctx, MHD_CONNECTION_NOTIFY_CLOSED);
}

/* --- what must hold --- */

static bool shows_token(struct MHD_Connection *conn, const char *name)
{
    const char *given = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "authorization");
    const char *token = strcmp(name, "night") == 0 ? "fedcba9876543210fedcba" : "0123456789abcdef";
    return given != NULL && strncasecmp(given, "bearer ", 7) == 0 && strcmp(given + 7, token) == 0;
}

/* No name that somebody's DNS could give: a number, or localhost. */
static bool names_us(struct MHD_Connection *conn)
{
    const char *host = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "host");
    if (host == NULL)
        return false;
    size_t len = strcspn(host, ":");
    return (len == 9 && strncasecmp(host, "localhost", 9) == 0) || strspn(host, "0123456789.") == len ||
           (host[0] == '[' && host[1 + strspn(host + 1, "0123456789abcdefABCDEF:.")] == ']') ||
           (host[0] == '[' && strncasecmp(host + 1, "localhost]", 10) == 0);
}

static void check_body(const char *body, size_t len)
{
    json_t *json = len > 0 ? json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL) : json_object();
    FUZZ_REQUIRE(len <= 4096 && json_is_object(json), "%zu bytes", len);
    const char *reason = json_string_value(json_object_get(json, "reason"));
    FUZZ_REQUIRE(strcmp(reason != NULL ? reason : "", done.order.reason) == 0, "%s", done.order.reason);
    json_t *rate = json_object_get(json, "rows_per_second");
    if (done.order.verb == DESK_THROTTLE)
        FUZZ_REQUIRE(done.order.rows_per_second ==
                         (json_is_null(rate) ? DESK_AS_CONFIGURED : json_integer_value(rate)),
                     "%lld", (long long)done.order.rows_per_second);
    json_decref(json);
}

static void check_order(struct MHD_Connection *conn, unsigned flags, const char *body, size_t len)
{
    const char *type = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "content-type");
    char path[40];
    (void)snprintf(path, sizeof path, "/control/%s", desk_verb_name(done.order.verb));
    FUZZ_REQUIRE(strcmp(conn->method, "POST") == 0 && strcmp(conn->url, path) == 0, "%s", conn->url);
    FUZZ_REQUIRE((flags & ELSEWHERE) == 0, "from elsewhere without TLS");
    FUZZ_REQUIRE(strncmp(done.order.who, "token ", 6) == 0 && shows_token(conn, done.order.who + 6), "%s",
                 done.order.who);
    FUZZ_REQUIRE(MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Origin") == NULL &&
                     MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Sec-Fetch-Site") == NULL,
                 "by a browser");
    FUZZ_REQUIRE(names_us(conn), "under another name");
    FUZZ_REQUIRE(type != NULL && strncasecmp(type, "application/json", 16) == 0, "no JSON");
    FUZZ_REQUIRE(conn->status == MHD_HTTP_OK, "status %u", conn->status);
    check_body(body, len);
}

static void check(struct MHD_Connection *conn, unsigned flags, const char *body, size_t len)
{
    bool probe = strncmp(conn->url, "/health", 7) == 0 || strcmp(conn->url, "/readyz") == 0;
    bool token = shows_token(conn, "ops") || shows_token(conn, "night");
    FUZZ_REQUIRE(conn->answers == 1 && conn->status >= 200 && conn->status <= 599, "%u answers, status %u",
                 conn->answers, conn->status);
    if (done.seen)
        check_order(conn, flags, body, len);
    else if (conn->status == MHD_HTTP_OK && !probe) {
        FUZZ_REQUIRE(strcmp(conn->method, "GET") == 0 || strcmp(conn->method, "HEAD") == 0, "%s",
                     conn->method);
        FUZZ_REQUIRE(names_us(conn), "read under another name");
        FUZZ_REQUIRE((flags & READ_NEEDS_AUTH) == 0 || token, "read without a token");
    }
}

/* --- a file of tokens --- */

/* Each line that is one is found by its token, under a name that fits, and nothing else is. */
static void read_tokens(const char *text, size_t len)
{
    char path[40];
    int fd = token_file(text, len, path);
    struct http_tokens *tokens = NULL;
    struct err err = ERR_INIT;
    char *first = NULL;
    if (http_tokens_read(path, &tokens, &err)) {
        FUZZ_REQUIRE(http_token_first(path, &first, &err), "%s", err.text);
        const char *name = http_tokens_find(tokens, first);
        FUZZ_REQUIRE(name != NULL && *name != '\0' && strlen(name) <= 64, "the first token");
        FUZZ_REQUIRE(strlen(first) >= HTTP_TOKEN_MIN && memmem(text, len, first, strlen(first)) != NULL, "%s",
                     first);
        first[strlen(first) - 1] ^= 1; /* mostly no token */
        FUZZ_REQUIRE(http_tokens_find(tokens, first) == NULL ||
                         memmem(text, len, first, strlen(first)) != NULL,
                     "%s", first);
        FUZZ_REQUIRE(http_tokens_find(tokens, "") == NULL, "an empty token");
    } else {
        FUZZ_REQUIRE(err.code == ERR_CONFIG, "%s", err.text);
    }
    free(first);
    http_tokens_free(tokens);
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    start_once();
    if (len > 0 && bytes[0] == '#')
        return read_tokens((const char *)bytes, len), 0;
    if (len < 4 || memchr(bytes + 3, '\0', len - 3) != NULL)
        return 0; /* libmicrohttpd refuses a zero byte in what comes before the body, and JSON does in it */
    struct MHD_Connection conn = {0};
    unsigned flags = bytes[0] & 15U;
    char *text = xstrndup((const char *)bytes + 3, len - 3), *body = NULL;
    set_address(&conn, flags, bytes + 1);
    memset(&done, 0, sizeof done);
    if (read_request(&conn, text, &body)) {
        size_t body_len = strlen(body);
        run(daemons[(flags & READ_NEEDS_AUTH) != 0], &conn, body, body_len, (flags & IN_PIECES) != 0);
        check(&conn, flags, body, body_len);
    }
    free(text);
    return 0;
}
