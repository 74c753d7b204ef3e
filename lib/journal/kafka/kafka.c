/* librdkafka's handle: configuration, its callbacks, and its errors in our terms. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "journal/kafka/kafka.h"

const struct journal_impl journal_impl_kafka = {.scheme = "kafka",
                                                .writer = &kafka_writer_ops,
                                                .reader = &kafka_reader_ops,
                                                .identity = kafka_identity,
                                                .parts = kafka_parts,
                                                .remove_part = kafka_remove_part};

/* --- errors --- */

static enum err_code code_of(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return ERR_AUTH;
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
        return ERR_FENCED;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
        return ERR_DATA;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        return ERR_GAP;
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
        return ERR_CONFIG;
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
        return ERR_UNSUPPORTED;
    default: /* the cluster cannot do it now: opened anew, it may */
        return ERR_CONNECT;
    }
}

static const char *hint_of(enum err_code code)
{
    switch ((int)code) {
    case ERR_AUTH:
        return "; check login and certificates (journal.kafka: security.protocol, sasl.*, ssl.*) and the "
               "login's rights on the topics and the transactional id";
    case ERR_FENCED:
        return "; another capture of this pipeline has taken over: stop one of the two";
    case ERR_DATA:
        return "; raise max.message.bytes of the topic and message.max.bytes in journal.kafka, or set "
               "journal.large_records to claim (and start again, if the topic's limit was lowered)";
    case ERR_GAP:
        return "; the journal no longer holds what the reader needs: make a new snapshot, and raise the "
               "topic's "
               "retention (journal.keep)";
    case ERR_CONFIG:
        return "; correct the journal options, or the broker's limits";
    case ERR_CONNECT:
        return "; is the broker up and reachable?";
    default:
        return "";
    }
}

bool kafka_error(const struct kafka_client *client, rd_kafka_resp_err_t code, const char *what,
                 const char *text, struct err *err)
{
    char reason[300];
    rd_kafka_resp_err_t fatal = client->rk != NULL ? rd_kafka_fatal_error(client->rk, reason, sizeof reason)
                                                   : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR) { /* the cause of whatever was seen first */
        code = fatal;
        text = reason;
    }
    enum err_code mapped = code_of(code);
    if (mapped == ERR_CONNECT && client->auth_failed)
        mapped = ERR_AUTH;
    if (text == NULL || text[0] == '\0')
        text = rd_kafka_err2str(code);
    bool last = client->last_error[0] != '\0' && strcmp(client->last_error, text) != 0 &&
                (mapped == ERR_CONNECT || mapped == ERR_AUTH);
    return err_set(err, mapped, "kafka journal %s: %s: %s%s%s%s%s", client->brokers, what, text,
                   last ? " (" : "", last ? client->last_error : "", last ? ")" : "", hint_of(mapped));
}

bool kafka_fail(struct kafka_client *client, rd_kafka_resp_err_t code, const char *what, const char *text,
                struct err *err)
{
    kafka_client_poll(client);
    return kafka_error(client, code, what, text, err);
}

bool kafka_leader_awaited(rd_kafka_resp_err_t code, int64_t until_us)
{
    if ((code != RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION &&
         code != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE && code != RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH &&
         code != RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH &&
         code != RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE) || /* KIP-207: it does not know its end yet */
        clock_mono_us() >= until_us)
        return false;
    (void)usleep(50000);
    return true;
}

bool kafka_stalled(struct kafka_client *client, const char *what, int waited_ms, struct err *err)
{
    char text[80];
    (void)snprintf(text, sizeof text, "no answer for %d s", waited_ms / 1000);
    return kafka_fail(client, RD_KAFKA_RESP_ERR__TIMED_OUT, what, text, err);
}

/* --- waiting --- */

void kafka_client_waits(struct kafka_client *client, int64_t since_us, const char *what, const char *reason)
{
    if (clock_mono_us() - since_us < (int64_t)KAFKA_TELL_MS * 1000)
        return;
    if (client->told &&
        (reason == NULL || strncmp(reason, client->told_reason, sizeof client->told_reason - 1) == 0))
        return;
    kafka_client_poll(client);
    client->told = true;
    (void)snprintf(client->told_reason, sizeof client->told_reason, "%s", reason != NULL ? reason : "");
    if (reason == NULL)
        reason = client->last_error[0] != '\0' ? client->last_error : "nothing comes back";
    log_event(LOG_LEVEL_WARN, "kafka_no_answer", "brokers=%s waits_for=\"%s\" reason=\"%s\"", client->brokers,
              what, reason);
    char text[600];
    (void)snprintf(text, sizeof text, "kafka journal %.200s: no answer, still trying: %s: %s",
                   client->brokers, what, reason);
    if (client->on_trouble != NULL)
        client->on_trouble(client->trouble_ctx, text);
}

void kafka_client_answered(struct kafka_client *client)
{
    if (!client->told)
        return;
    client->told = false;
    client->last_error[0] = '\0';
    log_event(LOG_LEVEL_INFO, "kafka_answers", "brokers=%s", client->brokers);
    if (client->on_trouble != NULL)
        client->on_trouble(client->trouble_ctx, NULL);
}

/* Asked in growing slices: an early look at what the broker threads met, and time enough for a slow one. */
bool kafka_metadata(struct kafka_client *client, rd_kafka_topic_t *topic, const char *what,
                    const struct rd_kafka_metadata **ret, struct err *err)
{
    int64_t begin_us = clock_mono_us();
    int slice_ms = KAFKA_TELL_MS, left_ms = KAFKA_REQUEST_MS;
    rd_kafka_resp_err_t code;
    for (;;) {
        code = rd_kafka_metadata(client->rk, topic == NULL, topic, ret, slice_ms);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            kafka_client_answered(client);
            return true;
        }
        kafka_client_poll(client);
        bool again = code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT;
        left_ms = KAFKA_REQUEST_MS - (int)((clock_mono_us() - begin_us) / 1000);
        if (!again || client->auth_failed || left_ms <= 0)
            return kafka_error(client, code, what, NULL, err);
        kafka_client_waits(client, begin_us, what, NULL);
        slice_ms = slice_ms * 2 < left_ms / 2 ? slice_ms * 2 : left_ms;
    }
}

/* --- callbacks: run inside rd_kafka_poll() and its like, on the owner's thread --- */

/* A login or certificate that was refused. A connection that broke while logging in comes with the same code
 * and means nothing more than that (librdkafka: SaslAuthenticate's and SaslHandshake's response handlers). */
static bool is_refusal(int code, const char *reason)
{
    static const char *const broke[] = {"transport failure", "disconnected", "timed out", "reset"};
    /* TLS 1.3: the broker's alert comes as the first answer, thus as a transport error. */
    if (code == RD_KAFKA_RESP_ERR__SSL || code == RD_KAFKA_RESP_ERR__TRANSPORT)
        return strcasestr(reason, "certificate") != NULL;
    for (size_t i = 0; i < ARRAY_LEN(broke); i++) {
        if (strcasestr(reason, broke[i]) != NULL)
            return false;
    }
    return code == RD_KAFKA_RESP_ERR__AUTHENTICATION;
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct kafka_client *client = opaque;
    bool refused = is_refusal(code, reason);
    bool says_more = code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || client->last_error[0] == '\0';
    if (refused || (says_more && !client->auth_failed))
        (void)snprintf(client->last_error, sizeof client->last_error, "%s", reason);
    client->auth_failed = client->auth_failed || refused;
    if ((code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR__TRANSPORT) &&
        client->down_since_us == 0)
        client->down_since_us = clock_mono_us();
}

/* On librdkafka's own threads. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    log_event(LOG_LEVEL_DEBUG, "kafka", "level=%d facility=%s text=\"%s\"", level, facility, text);
}

/* --- configuration --- */

/* What the journal's promises stand on is not for sale. */
static const char *const own_properties[] = {"bootstrap.servers",        "metadata.broker.list",
                                             "transactional.id",         "group.id",
                                             "enable.idempotence",       "acks",
                                             "isolation.level",          "enable.auto.commit",
                                             "enable.auto.offset.store", "auto.offset.reset",
                                             "request.required.acks",    "partitioner",
                                             "enable.partition.eof"};

static bool set_property(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
    char text[300];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return true;
    return err_set(err, ERR_CONFIG, "kafka journal: property %s (journal.kafka): %s", name, text);
}

/* OpenSSL's own complaint names no file. */
static bool file_ok(const char *name, const char *path, struct err *err)
{
    size_t len = strlen(name);
    if (len < 9 || strcmp(name + len - 9, ".location") != 0 || path[0] != '/' || access(path, R_OK) == 0)
        return true;
    return err_set(err, ERR_CONFIG, "kafka journal: property %s (journal.kafka): %.300s: %s", name, path,
                   strerror(errno));
}

/* "name=value" */
static bool set_configured(rd_kafka_conf_t *conf, const char *pair, struct err *err)
{
    const char *equals = strchr(pair, '=');
    if (equals == NULL || equals == pair)
        return err_set(err, ERR_CONFIG, "kafka journal: a property in journal.kafka is not name=value");
    char *name CLEANUP(free_ptr) = xstrndup(pair, (size_t)(equals - pair));
    for (size_t i = 0; i < ARRAY_LEN(own_properties); i++) {
        if (strcmp(name, own_properties[i]) == 0)
            return err_set(err, ERR_CONFIG,
                           "kafka journal: property %s is set by crossfade; take it out of journal.kafka",
                           name);
    }
    return file_ok(name, equals + 1, err) && set_property(conf, name, equals + 1, err);
}

/* For a producer's limit the consumer wants a fetch as large; brokers send larger records all the same. */
static bool for_consumers(const char *pair)
{
    return strncmp(pair, "message.max.bytes=", 18) != 0;
}

static bool fill_conf(rd_kafka_conf_t *conf, const struct kafka_client *client, rd_kafka_type_t type,
                      const struct journal_config *config, const struct kafka_property *properties,
                      size_t count, struct err *err)
{
    static const struct kafka_property common[] = {
        {"socket.nagle.disable", "true"},  {"socket.keepalive.enable", "true"},
        {"reconnect.backoff.ms", "100"},   {"reconnect.backoff.max.ms", "2000"},
        {"log.connection.close", "false"}, {"topic.metadata.refresh.interval.ms", "60000"},
    };
    char *id CLEANUP(free_ptr) = xasprintf("crossfade-%s", config->pipeline);
    if (!set_property(conf, "bootstrap.servers", client->brokers, err) ||
        !set_property(conf, "client.id", id, err))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(common); i++) {
        if (!set_property(conf, common[i].name, common[i].value, err))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!set_property(conf, properties[i].name, properties[i].value, err))
            return false;
    }
    for (const char *const *p = config->kafka_properties; p != NULL && *p != NULL; p++) {
        if ((type == RD_KAFKA_PRODUCER || for_consumers(*p)) && !set_configured(conf, *p, err))
            return false;
    }
    return true;
}

/* "kafka://a:1,b:2/" → "a:1,b:2" */
static char *brokers_of(const char *url)
{
    const char *p = strchr(url, ':') + 1;
    p += strspn(p, "/");
    return xstrndup(p, strcspn(p, "/?"));
}

bool kafka_client_open(struct kafka_client *client, const struct journal_config *config, rd_kafka_type_t type,
                       const struct kafka_property *properties, size_t count,
                       void (*dr)(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque),
                       struct err *err)
{
    char text[300];
    *client = (struct kafka_client){.brokers = brokers_of(config->url),
                                    .pipeline = xstrdup(config->pipeline),
                                    .on_trouble = config->on_trouble,
                                    .trouble_ctx = config->trouble_ctx};
    if (client->brokers[0] == '\0')
        return err_set(err, ERR_CONFIG, "journal url \"%s\" names no broker: kafka://host:port,…",
                       config->url);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!fill_conf(conf, client, type, config, properties, count, err)) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    rd_kafka_conf_set_opaque(conf, client);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (dr != NULL)
        rd_kafka_conf_set_dr_msg_cb(conf, dr);
    client->rk = rd_kafka_new(type, conf, text, sizeof text);
    if (client->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return err_set(err, ERR_CONFIG, "kafka journal %s: %s; check journal.kafka", client->brokers, text);
    }
    return true;
}

void kafka_client_close(struct kafka_client *client)
{
    if (client->rk != NULL)
        rd_kafka_destroy(client->rk);
    if (client->told && client->on_trouble != NULL)
        client->on_trouble(client->trouble_ctx, NULL);
    free(client->brokers);
    free(client->pipeline);
    *client = (struct kafka_client){.rk = NULL};
}

void kafka_client_poll(struct kafka_client *client)
{
    if (client->rk != NULL)
        (void)rd_kafka_poll(client->rk, 0);
}
