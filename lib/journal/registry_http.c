/* Wraps libcurl for the schema registry. See registry_http.h. */
#include "registry_http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/alloc.h"

#define CONNECT_TIMEOUT_MS 5000L
#define TIMEOUT_MS         10000L
#define CONTENT_TYPE       "application/vnd.schemaregistry.v1+json"

struct registry_http {
    const struct registry_address *address;
    char *ca_file;
    CURL *curl;
    struct curl_slist *headers;
    char error[CURL_ERROR_SIZE];
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        BUG("curl_global_init failed");
}

static size_t take_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct strbuf *body = ctx;
    strbuf_add(body, bytes, size * count);
    return body->failed ? 0 : size * count;
}

static void set_options(struct registry_http *http)
{
    CURL *curl = http->curl;
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->error);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, http->headers);
    if (http->ca_file != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, http->ca_file);
    if (http->address->user != NULL || http->address->password != NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, http->address->user != NULL ? http->address->user : "");
        curl_easy_setopt(curl, CURLOPT_PASSWORD,
                         http->address->password != NULL ? http->address->password : "");
    }
}

bool registry_http_open(const struct registry_address *address, const char *ca_file,
                        struct registry_http **ret, struct err *err)
{
    pthread_once(&curl_once, init_curl);
    struct registry_http *http = xcalloc(1, sizeof *http);
    http->address = address;
    http->ca_file = ca_file != NULL ? xstrdup(ca_file) : NULL;
    http->curl = curl_easy_init();
    http->headers = curl_slist_append(NULL, "Accept: " CONTENT_TYPE ", application/json");
    if (http->headers != NULL && curl_slist_append(http->headers, "Content-Type: " CONTENT_TYPE) == NULL) {
        curl_slist_free_all(http->headers);
        http->headers = NULL;
    }
    if (http->curl == NULL || http->headers == NULL) {
        registry_http_close(http);
        return err_set(err, ERR_NO_MEMORY, "no memory for HTTP requests");
    }
    set_options(http);
    *ret = http;
    return true;
}

void registry_http_close(struct registry_http *http)
{
    if (http == NULL)
        return;
    curl_easy_cleanup(http->curl);
    curl_slist_free_all(http->headers);
    free(http->ca_file);
    free(http);
}

/* What has no answer: whether a person has to look, or waiting helps. */
static bool no_answer(const struct registry_http *http, CURLcode rc, const struct strbuf *answer,
                      struct err *err)
{
    const char *base = http->address->base;
    const char *why = http->error[0] != '\0' ? http->error : curl_easy_strerror(rc);
    if (answer->failed)
        return err_set(err, ERR_PROTOCOL, "schema registry %s: its answer is larger than %zu MiB", base,
                       REGISTRY_ANSWER_BYTES_MAX >> 20);
    switch (rc) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return err_set(
            err, ERR_CONFIG,
            "schema registry %s: its certificate is not trusted: %s (journal.registry_ca names the "
            "file with the CA's certificate)",
            base, why);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return err_set(err, ERR_CONFIG, "journal.registry: %s: %s", base, why);
    case CURLE_WEIRD_SERVER_REPLY:
        return err_set(err, ERR_PROTOCOL, "schema registry %s: what answers there speaks no HTTP: %s", base,
                       why);
    default:
        return err_set(err, ERR_CONNECT, "schema registry %s is away: %s", base, why);
    }
}

bool registry_http_call(struct registry_http *http, const char *path, const char *body, int *ret_status,
                        struct strbuf *answer, struct err *err)
{
    char *url CLEANUP(free_ptr) = xasprintf("%s%s", http->address->base, path);
    strbuf_clear(answer);
    http->error[0] = '\0';
    curl_easy_setopt(http->curl, CURLOPT_URL, url);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, answer);
    if (body != NULL) {
        curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, body);
    } else {
        curl_easy_setopt(http->curl, CURLOPT_HTTPGET, 1L);
    }
    CURLcode rc = curl_easy_perform(http->curl);
    long status = 0;
    if (rc != CURLE_OK)
        return no_answer(http, rc, answer, err);
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    *ret_status = (int)status;
    return true;
}
