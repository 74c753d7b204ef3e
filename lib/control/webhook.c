/* Wraps libcurl for webhooks. See webhook.h. */
#include "control/webhook.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/curl_once.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/sign.h"

#define SIGNATURE_NAME "X-Crossfade-Signature-256: sha256="
#define TIMESTAMP_NAME "X-Crossfade-Timestamp: "

/* What comes back is of no interest; taking it lets the peer end its answer. */
static size_t drop_body(char *bytes, size_t size, size_t count, void *ctx)
{
    (void)bytes;
    (void)ctx;
    return size * count;
}

/* Adds to the list, which is freed by the caller in any case. */
static bool add_header(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);
    if (longer != NULL)
        *list = longer;
    return longer != NULL;
}

static bool headers_of(const char *secret, const char *json, struct curl_slist **ret)
{
    char mac[SIGN_HEX_SIZE], line[sizeof SIGNATURE_NAME + SIGN_HEX_SIZE];
    if (!add_header(ret, "Content-Type: application/json") ||
        !add_header(ret, "User-Agent: crossfade/" CF_VERSION))
        return false;
    if (secret == NULL)
        return true;
    char *signed_text = xasprintf("%lld.%s", (long long)(clock_wall_us() / 1000000), json);
    bool ok = sign_hmac_sha256(secret, signed_text, strlen(signed_text), mac);
    (void)snprintf(line, sizeof line, TIMESTAMP_NAME "%.*s", (int)strcspn(signed_text, "."), signed_text);
    free(signed_text);
    if (!ok || !add_header(ret, line))
        return false;
    (void)snprintf(line, sizeof line, SIGNATURE_NAME "%s", mac);
    return add_header(ret, line);
}

static void set_options(CURL *curl, const struct webhook *to, const char *json, long timeout_ms,
                        struct curl_slist *headers)
{
    curl_easy_setopt(curl, CURLOPT_URL, to->url);
    if (to->ca != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, to->ca);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, json);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(json));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_body);
}

/* The host of a URL: the rest may be secret. malloc'd. */
static char *host_of(const char *url)
{
    CURLU *parts = curl_url();
    char *host = NULL, *copy = NULL;
    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK)
        copy = xstrdup(host);
    curl_free(host);
    curl_url_cleanup(parts);
    return copy != NULL ? copy : xstrdup("?");
}

static bool judge(CURL *curl, CURLcode rc, const char *host, struct err *err)
{
    long status = 0;
    if (rc != CURLE_OK)
        return err_set(
            err, rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL ? ERR_CONFIG : ERR_CONNECT,
            "webhook at %s: %s%s", host, curl_easy_strerror(rc),
            rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE
                ? "; alerts.webhook_ca names the authorities, if they are not the system's"
                : "");
    if (curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status >= 200 && status < 300)
        return true;
    return err_set(err, status >= 500 || status == 429 || status == 408 ? ERR_CONNECT : ERR_PROTOCOL,
                   "webhook at %s: it answers with status %ld", host, status);
}

bool webhook_post(const struct webhook *to, const char *json, int timeout_ms, struct err *err)
{
    curl_init_once();
    struct curl_slist *headers = NULL;
    CURL *curl = curl_easy_init();
    char *host = host_of(to->url);
    bool good = curl != NULL && headers_of(to->secret, json, &headers);
    if (!good) {
        err_set(err, ERR_NO_MEMORY, "no memory for a webhook");
    } else {
        set_options(curl, to, json, timeout_ms, headers);
        good = judge(curl, curl_easy_perform(curl), host, err);
    }
    free(host);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return good;
}
