/* Wraps libcurl: one GET or POST to a role's own address. No proxy, no redirect, no other protocol, bounded size and
 * time. */
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/curl_once.h"
#include "control/http.h"
#include "control/http_guard.h"
#include "core/alloc.h"
#include "core/strbuf.h"

#define BODY_BYTES_MAX ((size_t)4 << 20)

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        BUG("curl_global_init failed");
}

void curl_init_once(void)
{
    pthread_once(&curl_once, init_curl);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct strbuf *body = ctx;
    strbuf_add(body, bytes, size * count);
    return body->failed ? 0 : size * count;
}

/* "0.0.0.0:7301" is where somebody listens, not where to call. malloc'd. */
static char *url_of(const struct http_access *access, const char *listen, const char *path)
{
    const char *scheme = access != NULL && access->tls ? "https" : "http";
    if (strncmp(listen, "0.0.0.0:", 8) == 0)
        return xasprintf("%s://127.0.0.1:%s%s", scheme, listen + 8, path);
    if (strncmp(listen, "[::]:", 5) == 0)
        return xasprintf("%s://[::1]:%s%s", scheme, listen + 5, path);
    return xasprintf("%s://%s%s", scheme, listen, path);
}

static void set_access(CURL *curl, const struct http_access *access)
{
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, access != NULL && access->tls ? "https" : "http");
    if (access == NULL || !access->tls)
        return;
    if (access->ca != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, access->ca);
    if (access->cert != NULL)
        curl_easy_setopt(curl, CURLOPT_SSLCERT, access->cert);
    if (access->key != NULL)
        curl_easy_setopt(curl, CURLOPT_SSLKEY, access->key);
}

static void set_options(CURL *curl, const char *url, long timeout_ms, struct strbuf *body)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
}

/* Adds to the list, which is freed by the caller in any case. */
static bool add_header(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);
    if (longer != NULL)
        *list = longer;
    return longer != NULL;
}

static bool goes_out(const char *listen)
{
    char host[256];
    const char *colon = strrchr(listen, ':');
    size_t len = colon != NULL ? (size_t)(colon - listen) : strlen(listen);
    bool bracketed = len >= 2 && listen[0] == '[' && listen[len - 1] == ']';
    (void)snprintf(host, sizeof host, "%.*s", (int)(len - 2 * bracketed), listen + bracketed);
    return !http_host_is_loopback(host) && strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0;
}

/* needed: a request that cannot do without. To look it is shown only where that takes one: whoever holds the address while its role is away would
 * learn it. */
static bool add_token(const struct http_access *access, const char *listen, bool needed,
                      struct curl_slist **list, struct err *err)
{
    char *token = NULL;
    struct err cannot = ERR_INIT;
    if (access == NULL || access->token_file == NULL || (!needed && !access->reads_need_token))
        return true;
    bool clear = !access->tls && goes_out(listen);
    if (clear && needed)
        return err_set(err, ERR_CONFIG,
                       "%s: the token would go over the network unencrypted: set control.tls_cert", listen);
    if (clear || !http_token_first(access->token_file, &token, needed ? err : &cannot))
        return !needed;
    char *line = xasprintf("Authorization: Bearer %s", token);
    bool ok = add_header(list, line) || err_set(err, ERR_NO_MEMORY, "no memory for an HTTP request");
    free(line);
    free(token);
    return ok;
}

static bool set_headers(CURL *curl, const struct http_access *access, const char *listen, const char *json,
                        struct curl_slist **list, struct err *err)
{
    if (json != NULL) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, json);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(json));
        if (!add_header(list, "Content-Type: application/json"))
            return err_set(err, ERR_NO_MEMORY, "no memory for an HTTP request");
    }
    if (!add_token(access, listen, json != NULL, list, err))
        return false;
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *list);
    return true;
}

/* An order that has gone out and was not answered: nobody knows here. */
static bool no_answer(CURL *curl, CURLcode rc, const char *url, bool order, struct err *err)
{
    curl_off_t sent_us = 0;
    bool sent =
        order && curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &sent_us) == CURLE_OK && sent_us > 0;
    return err_set(err, ERR_CONNECT, "%s: %s%s", url, curl_easy_strerror(rc),
                   sent ? ". It was asked for, and may be done all the same, now or later: the role's log "
                          "and crossfade status say"
                        : "");
}

static bool perform(CURL *curl, const char *url, bool order, struct strbuf *body, char **ret_body,
                    int *ret_status, struct err *err)
{
    CURLcode rc = curl_easy_perform(curl);
    long status = 0;
    if (body->failed)
        return err_set(err, ERR_PROTOCOL, "%s: the answer is larger than 4 MiB", url);
    if (rc != CURLE_OK || curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
        return no_answer(curl, rc, url, order, err);
    *ret_status = (int)status;
    *ret_body = strbuf_detach(body);
    return true;
}

/* json NULL: GET. */
static bool request(const struct http_access *access, const char *listen, const char *path, const char *json,
                    int timeout_ms, char **ret_body, int *ret_status, struct err *err)
{
    curl_init_once();
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for an HTTP request");
    char *url = url_of(access, listen, path);
    struct strbuf body = STRBUF_INIT(BODY_BYTES_MAX);
    struct curl_slist *headers = NULL;
    set_options(curl, url, timeout_ms, &body);
    set_access(curl, access);
    bool good = set_headers(curl, access, listen, json, &headers, err) &&
                perform(curl, url, json != NULL, &body, ret_body, ret_status, err);
    strbuf_release(&body);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(url);
    return good;
}

bool http_get(const struct http_access *access, const char *listen, const char *path, int timeout_ms,
              char **ret_body, int *ret_status, struct err *err)
{
    return request(access, listen, path, NULL, timeout_ms, ret_body, ret_status, err);
}

bool http_post(const struct http_access *access, const char *listen, const char *path, const char *json,
               int timeout_ms, char **ret_body, int *ret_status, struct err *err)
{
    return request(access, listen, path, json, timeout_ms, ret_body, ret_status, err);
}
