/* Combines /status of capture and apply. */
#include "fleet.h"

#include <stdlib.h>
#include <string.h>

#include "control/access.h"
#include "terminal.h"

#define ANSWER_TIMEOUT_MS 3000

lsn_t fleet_lsn(const json_t *object, const char *key)
{
    lsn_t lsn = 0;
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL && lsn_parse(text, &lsn) ? lsn : 0;
}

double fleet_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : -1;
}

const char *fleet_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

bool fleet_bool(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

bool fleet_is_down(const json_t *role)
{
    return strcmp(fleet_text(role, "phase"), "down") == 0;
}

static json_t *down(const char *address, const char *why)
{
    return json_pack("{s:s, s:s, s:s%}", "phase", "down", "address", address, "error", why, strlen(why));
}

json_t *fleet_ask(const struct config *cfg, const char *role, const char *path)
{
    const char *address = config_text(cfg, strcmp(role, "capture") == 0 ? "capture.listen" : "apply.listen");
    char *body = NULL;
    int status = 0;
    struct err err = ERR_INIT;
    const struct http_access access = http_access_of(cfg);
    if (!http_get(&access, address, path, ANSWER_TIMEOUT_MS, &body, &status, &err)) {
        const char *at = strstr(err.text, path); /* the address stands beside it already */
        const char *why = at != NULL ? strstr(at, ": ") : NULL;
        return down(address, why != NULL ? why + 2 : err.text);
    }
    if (status == 401) {
        free(body);
        return down(address, "it wants a token or a certificate (control.token_file, control.client_cert)");
    }
    json_t *answer = status == 200 ? json_loads(body, 0, NULL) : NULL;
    free(body);
    if (!json_is_object(answer) || strcmp(fleet_text(answer, "role"), role) != 0) {
        json_decref(answer);
        return down(address, "something else answers there");
    }
    if (strcmp(fleet_text(answer, "pipeline"), config_text(cfg, "pipeline")) != 0) {
        json_decref(answer);
        return down(address, "a role of another pipeline answers there");
    }
    json_object_set_new(answer, "address", json_string(address));
    return answer;
}

/* The phase that matters most to whoever looks. */
static const char *combined_phase(const json_t *capture, const json_t *apply)
{
    static const char *const by_weight[] = {"down", "halted", "retrying", "stopping", "starting", "unknown"};
    const char *c = fleet_text(capture, "phase"), *a = fleet_text(apply, "phase");
    for (size_t i = 0; i < sizeof by_weight / sizeof by_weight[0]; i++) {
        if (strcmp(c, by_weight[i]) == 0 || strcmp(a, by_weight[i]) == 0)
            return by_weight[i];
    }
    if (strcmp(c, "snapshot") == 0 || !fleet_bool(apply, "complete"))
        return "snapshot";
    if (strcmp(c, "holding") == 0 || strcmp(a, "holding") == 0)
        return "holding";
    return "streaming";
}

static json_t *lsn_or_null(lsn_t lsn)
{
    char text[LSN_TEXT_MAX];
    return lsn != 0 ? json_string(lsn_format(lsn, text)) : json_null();
}

static json_t *copy_of(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return value != NULL ? json_incref(value) : json_null();
}

static json_t *bytes_between(lsn_t ahead, lsn_t behind)
{
    if (ahead == 0 || behind == 0)
        return json_null();
    return json_integer(ahead > behind ? (json_int_t)(ahead - behind) : 0);
}

/* End to end: the apply position is the oldest, but says nothing of commits that capture has not seen yet. */
static json_t *lag_seconds(const json_t *capture, const json_t *apply)
{
    double c = fleet_number(capture, "lag_seconds"), a = fleet_number(apply, "lag_seconds");
    if (c < 0 || a < 0)
        return json_null();
    return json_real(c > a ? c : a);
}

bool fleet_is_foreign(const struct config *cfg)
{
    return config_text(cfg, "source.debezium.brokers") != NULL;
}

json_t *fleet_status(const struct config *cfg)
{
    /* Downstream first: so no position is seen ahead of the one that it follows. */
    json_t *apply = fleet_ask(cfg, "apply", "/status");
    return fleet_combine(cfg, fleet_is_foreign(cfg) ? json_null() : fleet_ask(cfg, "capture", "/status"),
                         apply);
}

json_t *fleet_combine(const struct config *cfg, json_t *capture, json_t *apply)
{
    bool foreign = fleet_is_foreign(cfg);
    lsn_t source_lsn = fleet_lsn(capture, "source_lsn");
    lsn_t journaled_lsn = fleet_lsn(capture, "journaled_lsn");
    lsn_t applied_lsn = fleet_lsn(apply, "applied_lsn");
    if (journaled_lsn == 0)
        journaled_lsn = fleet_lsn(apply, "journaled_lsn");
    /* Capture hears of the source's end only now and then. */
    if (source_lsn != 0 && source_lsn < journaled_lsn)
        source_lsn = journaled_lsn;
    json_t *all = json_object();
    json_object_set_new(all, "pipeline", json_string(config_text(cfg, "pipeline")));
    json_object_set_new(all, "phase", json_string(combined_phase(capture, apply)));
    json_object_set_new(all, "source_lsn", lsn_or_null(source_lsn));
    json_object_set_new(all, "journaled_lsn", lsn_or_null(journaled_lsn));
    json_object_set_new(all, "applied_lsn", lsn_or_null(applied_lsn));
    json_object_set_new(all, "lag_bytes", bytes_between(source_lsn, applied_lsn));
    json_object_set_new(all, "lag_seconds",
                        foreign ? copy_of(apply, "lag_seconds") : lag_seconds(capture, apply));
    json_t *lag = json_object();
    json_object_set_new(lag, "capture_bytes", bytes_between(source_lsn, journaled_lsn));
    json_object_set_new(lag, "apply_bytes", bytes_between(journaled_lsn, applied_lsn));
    json_object_set_new(lag, "capture_seconds", copy_of(capture, "lag_seconds"));
    json_object_set_new(lag, "apply_seconds", copy_of(apply, "lag_seconds"));
    json_object_set_new(all, "lag", lag);
    json_object_set_new(all, "complete", json_boolean(fleet_bool(apply, "complete")));
    json_object_set_new(all, "snapshot", copy_of(foreign ? apply : capture, "snapshot"));
    if (foreign)
        json_object_set_new(all, "promise", copy_of(apply, "promise"));
    json_object_set_new(all, "capture", capture);
    json_object_set_new(all, "apply", apply);
    return all;
}

static json_t *plain_text(const char *text)
{
    struct strbuf out = STRBUF_INIT((size_t)64 << 10);
    terminal_add_plain(&out, text);
    json_t *plain = json_string(out.data);
    strbuf_release(&out);
    return plain != NULL ? plain : json_string("?");
}

/* Keys are ours. */
json_t *fleet_plain(const json_t *all)
{
    json_t *item, *copy;
    const char *key;
    size_t i;
    if (json_is_string(all))
        return plain_text(json_string_value(all));
    if (json_is_array(all)) {
        copy = json_array();
        json_array_foreach(all, i, item) json_array_append_new(copy, fleet_plain(item));
        return copy;
    }
    if (!json_is_object(all))
        return json_deep_copy(all);
    copy = json_object();
    json_object_foreach((json_t *)(uintptr_t)all, key, item)
        json_object_set_new(copy, key, fleet_plain(item));
    return copy;
}
