/* Wraps libcurl: one GET or POST to a role's own address. No proxy, no redirect, no other protocol, bounded size and
 * time. */
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>

#include "control/curl_once.h"
#include "control/http.h"
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

static void set_options(CURL *curl, const char *url, long timeout_ms, struct strbuf *body)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
}

static bool request(bool post, const char *listen, const char *path, int timeout_ms, char **ret_body,
                    int *ret_status, struct err *err)
{
    curl_init_once();
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for an HTTP request");
    char *url = xasprintf("http://%s%s", listen, path);
    struct strbuf body = STRBUF_INIT(BODY_BYTES_MAX);
    set_options(curl, url, timeout_ms, &body);
    if (post) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 0L);
    }
    CURLcode rc = curl_easy_perform(curl);
    long status = 0;
    bool good = rc == CURLE_OK && curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK;
    if (body.failed)
        err_set(err, ERR_PROTOCOL, "%s: the answer is larger than 4 MiB", url);
    else if (!good)
        err_set(err, ERR_CONNECT, "%s: %s", url, curl_easy_strerror(rc));
    else {
        *ret_status = (int)status;
        *ret_body = strbuf_detach(&body);
    }
    strbuf_release(&body);
    curl_easy_cleanup(curl);
    free(url);
    return good;
}

bool http_get(const char *listen, const char *path, int timeout_ms, char **ret_body, int *ret_status,
              struct err *err)
{
    return request(false, listen, path, timeout_ms, ret_body, ret_status, err);
}

bool http_post(const char *listen, const char *path, int timeout_ms, char **ret_body, int *ret_status,
               struct err *err)
{
    return request(true, listen, path, timeout_ms, ret_body, ret_status, err);
}
