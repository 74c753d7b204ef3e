/* Owns: the checks in front of the desk. See http_server_command.h. */
#include "control/http_server_command.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "control/http_guard.h"
#include "control/http_server_tls.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/strbuf.h"
#include "core/utf8.h"

#define PREFIX        "/control/"
#define READ_PER_S    100
#define READ_BURST    400
#define ORDER_PER_S   2
#define ORDER_BURST   20
#define WRONG_PER_S   0.2
#define WRONG_BURST   10
#define BEARER        "Bearer "
#define URL_SHOWN_MAX 200

struct http_commands {
    const struct http_settings *settings;
    const char *host;
    bool loopback, tls;
    struct desk *desk;
    pthread_mutex_t lock; /* guards tokens */
    struct http_tokens *tokens;
    struct http_pace reads, orders, wrong;
};

enum credentials { CREDENTIALS_NONE = 0, CREDENTIALS_WRONG, CREDENTIALS_GOOD };

bool http_commands_tokens(struct http_commands *c, struct err *err)
{
    struct http_tokens *fresh = NULL;
    if (c->settings->token_file == NULL)
        return true;
    if (!http_tokens_read(c->settings->token_file, &fresh, err))
        return false;
    pthread_mutex_lock(&c->lock);
    http_tokens_free(c->tokens);
    c->tokens = fresh;
    pthread_mutex_unlock(&c->lock);
    return true;
}

bool http_commands_new(const struct http_settings *settings, const char *host, struct desk *desk,
                       struct http_commands **ret, struct err *err)
{
    struct http_commands *c = xcalloc(1, sizeof *c);
    *c = (struct http_commands){.settings = settings,
                                .host = host,
                                .loopback = http_host_is_loopback(host),
                                .tls = settings->tls_cert != NULL,
                                .desk = desk,
                                .reads = {.per_s = READ_PER_S, .burst = READ_BURST},
                                .orders = {.per_s = ORDER_PER_S, .burst = ORDER_BURST},
                                .wrong = {.per_s = WRONG_PER_S, .burst = WRONG_BURST}};
    if (pthread_mutex_init(&c->lock, NULL) != 0)
        BUG("pthread_mutex_init failed");
    if (!http_commands_tokens(c, err)) {
        http_commands_free(c);
        return false;
    }
    *ret = c;
    return true;
}

void http_commands_free(struct http_commands *c)
{
    if (c == NULL)
        return;
    http_tokens_free(c->tokens);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* --- requests --- */

struct http_request *http_request_new(struct http_commands *c, struct MHD_Connection *conn)
{
    struct http_request *request = xcalloc(1, sizeof *request);
    request->commands = c;
    request->conn = conn;
    return request;
}

void http_request_free(struct http_request *request)
{
    if (request != NULL)
        free(request->text);
    free(request);
}

void http_request_body(struct http_request *request, const char *bytes, size_t len)
{
    size_t room = request->len < HTTP_BODY_MAX ? HTTP_BODY_MAX - request->len : 0;
    memcpy(request->body + HTTP_BODY_MAX - room, bytes, MIN_OF(len, room));
    request->len = MIN_OF(request->len + len, (size_t)HTTP_BODY_MAX + 1);
}

/* --- who --- */

static void peer_ip(struct MHD_Connection *conn, unsigned char ret[16], unsigned *ret_port)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    memset(ret, 0, 16);
    *ret_port = 0;
    if (info == NULL || info->client_addr == NULL)
        return;
    if (info->client_addr->sa_family == AF_INET) {
        const struct sockaddr_in *ip4 = (const void *)info->client_addr;
        memcpy(ret, mapped, sizeof mapped);
        memcpy(ret + sizeof mapped, &ip4->sin_addr, 4);
        *ret_port = ntohs(ip4->sin_port);
    } else if (info->client_addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *ip6 = (const void *)info->client_addr;
        memcpy(ret, &ip6->sin6_addr, 16);
        *ret_port = ntohs(ip6->sin6_port);
    }
}

static bool from_this_machine(struct MHD_Connection *conn)
{
    struct in6_addr ip;
    unsigned port = 0;
    peer_ip(conn, ip.s6_addr, &port);
    return IN6_IS_ADDR_LOOPBACK(&ip) || (IN6_IS_ADDR_V4MAPPED(&ip) && ip.s6_addr[12] == 127);
}

static void tell_from(struct MHD_Connection *conn, char *out, size_t size)
{
    struct in6_addr ip;
    unsigned port = 0;
    char text[INET6_ADDRSTRLEN] = "?";
    peer_ip(conn, ip.s6_addr, &port);
    if (IN6_IS_ADDR_V4MAPPED(&ip))
        (void)inet_ntop(AF_INET, ip.s6_addr + 12, text, sizeof text);
    else
        (void)inet_ntop(AF_INET6, &ip, text, sizeof text);
    (void)snprintf(out, size, "[%s]:%u", text, port);
}

bool http_commands_pace(struct http_commands *c, struct MHD_Connection *conn)
{
    unsigned char ip[16];
    unsigned port = 0;
    peer_ip(conn, ip, &port);
    return http_pace_take(&c->reads, ip, clock_mono_us());
}

static bool take(struct http_pace *pace, struct MHD_Connection *conn)
{
    unsigned char ip[16];
    unsigned port = 0;
    peer_ip(conn, ip, &port);
    return http_pace_take(pace, ip, clock_mono_us());
}

static const char *header(struct MHD_Connection *conn, const char *name)
{
    return MHD_lookup_connection_value(conn, MHD_HEADER_KIND, name);
}

static enum credentials by_token(struct http_commands *c, const char *given, char *who, size_t size)
{
    const char *token = strncasecmp(given, BEARER, strlen(BEARER)) == 0 ? given + strlen(BEARER) : "";
    pthread_mutex_lock(&c->lock);
    const char *name = c->tokens != NULL ? http_tokens_find(c->tokens, token) : NULL;
    if (name != NULL)
        (void)snprintf(who, size, "token %s", name);
    pthread_mutex_unlock(&c->lock);
    return name != NULL ? CREDENTIALS_GOOD : CREDENTIALS_WRONG;
}

/* A token that is given counts, right or wrong, also beside a certificate. */
static enum credentials credentials_of(struct http_commands *c, struct MHD_Connection *conn, char *who,
                                       size_t size)
{
    char subject[DESK_WHO_MAX - sizeof "certificate "];
    const char *given = header(conn, MHD_HTTP_HEADER_AUTHORIZATION);
    if (given != NULL)
        return by_token(c, given, who, size);
    if (c->settings->client_ca == NULL || !http_tls_peer(conn, subject, sizeof subject))
        return CREDENTIALS_NONE;
    utf8_make_valid(subject);
    (void)snprintf(who, size, "certificate %s", subject);
    return CREDENTIALS_GOOD;
}

/* 401, or 429 for an address that guesses; a wrong token is told in the log. */
static unsigned deny(struct http_commands *c, struct MHD_Connection *conn, enum credentials found,
                     const char *url)
{
    char from[DESK_FROM_MAX];
    struct strbuf path = STRBUF_INIT(URL_SHOWN_MAX);
    if (found != CREDENTIALS_WRONG)
        return MHD_HTTP_UNAUTHORIZED;
    if (!take(&c->wrong, conn))
        return MHD_HTTP_TOO_MANY_REQUESTS;
    tell_from(conn, from, sizeof from);
    for (const char *p = url; *p != '\0' && !path.failed; p++) /* anybody's text */
        strbuf_addc(&path, (unsigned char)*p > ' ' && (unsigned char)*p < 0x7f && *p != '"' ? *p : '?');
    log_event(LOG_LEVEL_WARN, "control_denied", "from=%s path=%s text=\"the token is wrong\"", from,
              path.data);
    strbuf_release(&path);
    return MHD_HTTP_UNAUTHORIZED;
}

const char *http_read_refused(struct http_commands *c, struct MHD_Connection *conn, const char *url,
                              unsigned *ret_status)
{
    char who[DESK_WHO_MAX];
    *ret_status = MHD_HTTP_FORBIDDEN;
    if (c->loopback && !http_host_is_ours(c->host, header(conn, MHD_HTTP_HEADER_HOST)))
        return "Host is not a name of this machine\n";
    enum credentials found =
        c->settings->read_needs_auth ? credentials_of(c, conn, who, sizeof who) : CREDENTIALS_GOOD;
    if (found == CREDENTIALS_GOOD)
        return NULL;
    *ret_status = deny(c, conn, found, url);
    return *ret_status == MHD_HTTP_TOO_MANY_REQUESTS
               ? "too many wrong tokens: wait\n"
               : "control.read: authenticated: a token or a certificate is needed\n";
}

/* --- answers --- */

static enum MHD_Result answer(struct MHD_Connection *conn, unsigned status, const char *text)
{
    json_t *json = json_pack("{s:b, s:s}", "ok", status == MHD_HTTP_OK, "text", text);
    char *body = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (body == NULL)
        return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(body);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_UNAUTHORIZED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                      "Bearer realm=\"crossfade\"");
    if (status == MHD_HTTP_TOO_MANY_REQUESTS)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    enum MHD_Result queued = MHD_queue_response(conn, status, response);
    MHD_destroy_response(response);
    return queued;
}

/* --- what --- */

static bool read_rate(const json_t *value, struct desk_order *order, const char **ret_why)
{
    bool number = json_is_integer(value) && json_integer_value(value) >= 0 &&
                  json_integer_value(value) <= DESK_RATE_MAX;
    if (order->verb != DESK_THROTTLE || (!number && !json_is_null(value)))
        return *ret_why = "rows_per_second belongs to throttle: a whole number up to 1000000000 (0: no "
                          "limit), or null: as "
                          "configured",
               false;
    order->rows_per_second = number ? json_integer_value(value) : DESK_AS_CONFIGURED;
    return true;
}

static bool read_reason(const json_t *value, struct desk_order *order, const char **ret_why)
{
    if (!json_is_string(value) || json_string_length(value) >= sizeof order->reason)
        return *ret_why = "reason: a text of less than 400 bytes is expected", false;
    (void)snprintf(order->reason, sizeof order->reason, "%s", json_string_value(value));
    return true;
}

static bool read_members(json_t *body, struct desk_order *order, const char **ret_why)
{
    const char *key;
    json_t *value;
    json_object_foreach(body, key, value)
    {
        if (strcmp(key, "rows_per_second") == 0 ? !read_rate(value, order, ret_why)
            : strcmp(key, "reason") == 0        ? !read_reason(value, order, ret_why)
                                                : true) {
            if (*ret_why == NULL)
                *ret_why = "only reason and rows_per_second are known";
            return false;
        }
    }
    if (order->verb == DESK_THROTTLE && json_object_get(body, "rows_per_second") == NULL)
        return *ret_why = "throttle: rows_per_second is missing (null: as configured)", false;
    return true;
}

/* An empty body is an empty object. */
static bool read_order(const struct http_request *request, struct desk_order *order, const char **ret_why)
{
    if (request->len == 0 && order->verb != DESK_THROTTLE)
        return true;
    json_t *body = json_loadb(request->body, request->len, JSON_REJECT_DUPLICATES, NULL);
    bool ok = json_is_object(body) && read_members(body, order, ret_why);
    if (!ok && *ret_why == NULL)
        *ret_why = "a JSON object is expected";
    json_decref(body);
    return ok;
}

static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    size_t len = sizeof json - 1;
    return type != NULL && strncasecmp(type, json, len) == 0 &&
           (type[len] == '\0' || type[len] == ';' || type[len] == ' ');
}

/* --- may they --- */

/* Not by a page in somebody's browser: those name their origin, and browsers say who asks. */
static const char *place_refused(const struct http_commands *c, struct MHD_Connection *conn)
{
    if (header(conn, MHD_HTTP_HEADER_ORIGIN) != NULL || header(conn, "Sec-Fetch-Site") != NULL)
        return "not from a browser";
    if (!c->tls && !from_this_machine(conn))
        return "only from this machine, since there is no TLS (control.tls_cert)";
    if (!c->tls && !http_host_is_ours(c->host, header(conn, MHD_HTTP_HEADER_HOST)))
        return "Host is not a name of this machine";
    return NULL;
}

static enum MHD_Result refuse_who(struct http_commands *c, struct MHD_Connection *conn,
                                  enum credentials found, const char *url)
{
    pthread_mutex_lock(&c->lock);
    bool nobody = c->tokens == NULL && c->settings->client_ca == NULL;
    pthread_mutex_unlock(&c->lock);
    if (nobody)
        return answer(conn, MHD_HTTP_FORBIDDEN,
                      "read-only: commands need control.token_file or control.client_ca");
    unsigned status = deny(c, conn, found, url);
    return answer(conn, status,
                  status == MHD_HTTP_TOO_MANY_REQUESTS ? "too many wrong tokens: wait"
                  : found == CREDENTIALS_WRONG         ? "the token is wrong"
                                                       : "a token or a certificate is needed");
}

/* --- done --- */

static unsigned status_of(bool ok, const struct err *err)
{
    if (ok)
        return MHD_HTTP_OK;
    if (err->code == ERR_UNSUPPORTED)
        return MHD_HTTP_NOT_FOUND;
    return err->code == ERR_CONFIG || err->code == ERR_REFUSED ? MHD_HTTP_CONFLICT
                                                               : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static void on_done(void *ctx, bool ok, const struct err *err, const char *text)
{
    struct http_request *request = ctx;
    request->status = status_of(ok, err);
    request->text = xstrdup(text);
    MHD_resume_connection(request->conn);
}

static enum MHD_Result hand_over(struct http_request *request, const struct desk_order *order)
{
    request->waits = true;
    MHD_suspend_connection(request->conn);
    if (desk_submit(request->commands->desk, order, on_done, request))
        return MHD_YES;
    request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    request->text = xstrdup("too many commands wait already, or this role ends");
    MHD_resume_connection(request->conn);
    return MHD_YES;
}

static enum MHD_Result command(struct http_request *request, const char *url, enum desk_verb verb)
{
    struct http_commands *c = request->commands;
    struct MHD_Connection *conn = request->conn;
    struct desk_order order = {.verb = verb};
    const char *why = place_refused(c, conn);
    if (why != NULL)
        return answer(conn, MHD_HTTP_FORBIDDEN, why);
    enum credentials found = credentials_of(c, conn, order.who, sizeof order.who);
    if (found != CREDENTIALS_GOOD)
        return refuse_who(c, conn, found, url);
    if (!take(&c->orders, conn))
        return answer(conn, MHD_HTTP_TOO_MANY_REQUESTS, "too many commands: wait");
    if (!is_json(header(conn, MHD_HTTP_HEADER_CONTENT_TYPE)))
        return answer(conn, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Type: application/json is expected");
    if (request->len > HTTP_BODY_MAX)
        return answer(conn, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than 4096 bytes");
    if (!read_order(request, &order, &why))
        return answer(conn, MHD_HTTP_BAD_REQUEST, why);
    tell_from(conn, order.from, sizeof order.from);
    return hand_over(request, &order);
}

bool http_command_take(struct http_request *request, const char *url, enum MHD_Result *ret)
{
    if (strncmp(url, PREFIX, strlen(PREFIX)) != 0)
        return false;
    enum desk_verb verb = desk_verb_of(url + strlen(PREFIX));
    if (request->status != 0)
        *ret = answer(request->conn, request->status, request->text);
    else if (request->waits)
        *ret = MHD_YES;
    else if (verb == DESK_UNKNOWN)
        *ret = answer(request->conn, MHD_HTTP_NOT_FOUND, "there is no such command");
    else
        *ret = command(request, url, verb);
    return true;
}
