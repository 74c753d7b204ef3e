/* The Kafka journal's writer: opening, which takes over from every earlier writer of the pipeline. See journal_kafka.h,
 * journal_kafka_stamp.h. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "journal_kafka_writer.h"

#define MESSAGE_TIMEOUT_MS "300000"

/*
 * An idempotent producer of librdkafka sends nothing more to a partition while any of its records is on the way (2.0 to 2.12 compare
 * its limit of 5 requests with the count of records: rd_kafka_toppar_producer_serve in rdkafka_broker.c), and its thread spins
 * meanwhile. So what is sent at once should be large. Our own topics take such batches; a broker counts them compressed. Topics that
 * others made may not: then batches are as small as every topic takes by default, in this process from then on.
 */
#define BATCH_BYTES       "4000000"
#define SMALL_BATCH_BYTES "1000000"
/* What ends a wait for more is the flush that ends a unit, not this. */
#define LINGER_MS "100"

static atomic_bool small_batches;

bool kafka_writer_smaller_batches(const struct kafka_writer *w, const char *topic, struct err *err)
{
    atomic_store(&small_batches, true);
    return err_set(
        err, ERR_CONNECT,
        "kafka journal %s: topic=%s takes no batches of " BATCH_BYTES
        " bytes (max.message.bytes): the producer is opened anew, with batches of " SMALL_BATCH_BYTES,
        w->client.brokers, topic);
}

static atomic_uint_fast64_t
    looked_again; /* topic and limit, as they were known when limits were last read again */

/* FNV-1a. */
static uint64_t limit_mark(const char *topic, size_t limit)
{
    uint64_t hash = 14695981039346656037U;
    for (const char *p = topic; *p != '\0'; p++)
        hash = (hash ^ (unsigned char)*p) * 1099511628211U;
    return hash ^ (uint64_t)limit;
}

bool kafka_writer_limit_lowered(const struct kafka_writer *w, const char *topic, size_t known, size_t bytes,
                                struct err *err)
{
    uint64_t mark = limit_mark(topic, known);
    if (bytes > known || atomic_exchange(&looked_again, mark) == mark)
        return false;
    err_set(err, ERR_CONNECT,
            "kafka journal %s: topic=%s takes less than it did (max.message.bytes was lowered): the producer "
            "is opened anew "
            "and reads the topic's limits again",
            w->client.brokers, topic);
    return true;
}

bool kafka_writer_outlived(const struct kafka_writer *w, struct err *err)
{
    int64_t open_ms = (clock_mono_us() - w->txn_begun_us) / 1000;
    if (err->code != ERR_FENCED || w->idempotent || !w->in_txn || open_ms < w->txn_timeout_ms)
        return false;
    return err_set(
        err, ERR_FENCED,
        "kafka journal %s: the broker ended this transaction: it was open for %lld ms, "
        "transaction.timeout.ms is %lld (or the process stood still for that long). Nothing is lost: "
        "start again; if a unit needs that long, raise transaction.timeout.ms in journal.kafka, and "
        "transaction.max.timeout.ms at the broker if it is lower. (Was it another capture of this "
        "pipeline that took over? Then stop one of the two.)",
        w->client.brokers, (long long)open_ms, (long long)w->txn_timeout_ms);
}

void kafka_writer_explain(struct kafka_writer *w, struct err *err)
{
    bool sealed = false;
    struct err ignored = ERR_INIT; /* then it is opened anew: that is always right */
    if (w->misplaced.stream == NULL ||
        !kafka_is_sealed(&w->config, &w->misplaced, w->stamp_writer, &sealed, &ignored))
        return;
    w->misplaced.stream = NULL;
    if (sealed) {
        err_clear(&w->report_err);
        err_set(&w->report_err, ERR_FENCED,
                "kafka journal %s: another capture of this pipeline has taken over: stop one of the two. "
                "Nothing that this one has written since counts, and nothing is lost",
                w->client.brokers);
    }
    *err = w->report_err;
}

bool kafka_writer_fail(struct kafka_writer *w, rd_kafka_error_t *error, const char *what, struct err *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    kafka_fail(&w->client, code, what, rd_kafka_error_string(error), err);
    rd_kafka_error_destroy(error);
    if (code == RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT)
        return err_set(
            err, ERR_CONFIG,
            "kafka journal %s: transaction.timeout.ms=%lld is more than the broker allows: raise "
            "transaction.max.timeout.ms there, or set a lower transaction.timeout.ms in journal.kafka",
            w->client.brokers, (long long)w->txn_timeout_ms);
    (void)kafka_writer_outlived(w, err);
    return false;
}

static bool init_transactions(struct kafka_writer *w, struct err *err)
{
    static const char what[] = "taking over as the pipeline's writer (init_transactions)";
    int64_t begin_us = clock_mono_us(), until_us = begin_us + (int64_t)KAFKA_STALL_MS * 1000;
    for (;;) { /* a call that timed out is gone on with by the next */
        rd_kafka_error_t *error = rd_kafka_init_transactions(w->client.rk, KAFKA_TELL_MS);
        if (error == NULL) {
            kafka_client_answered(&w->client);
            return true;
        }
        kafka_client_poll(&w->client);
        if (!rd_kafka_error_is_retriable(error) || clock_mono_us() >= until_us || w->client.auth_failed)
            return kafka_writer_fail(w, error, what, err);
        kafka_client_waits(&w->client, begin_us, what,
                           w->client.last_error[0] == '\0' ? rd_kafka_error_string(error) : NULL);
        rd_kafka_error_destroy(error);
    }
}

/* The reader's opening looks whether the fences there are this pipeline's. */
static bool check_owner(const struct journal_config *config, struct err *err)
{
    struct journal_reader *jr;
    if (!kafka_reader_ops.open(config, NULL, &jr, err))
        return false;
    jr->ops->close(jr);
    return true;
}

/* A property's configured value, NULL if there is none. */
static const char *configured(const struct journal_config *config, const char *name)
{
    size_t len = strlen(name);
    const char *value = NULL;
    for (const char *const *p = config->kafka_properties; p != NULL && *p != NULL; p++) {
        if (strncmp(*p, name, len) == 0 && (*p)[len] == '=')
            value = *p + len + 1;
    }
    return value;
}

static void read_txn_timeout(struct kafka_writer *w)
{
    char text[24];
    size_t size = sizeof text;
    if (rd_kafka_conf_get(rd_kafka_conf(w->client.rk), "transaction.timeout.ms", text, &size) ==
        RD_KAFKA_CONF_OK)
        w->txn_timeout_ms = atoll(text);
}

static bool open_transactional(struct kafka_writer *w, const struct journal_config *config, struct err *err)
{
    /* librdkafka wants a record's time to be no longer than its transaction's. */
    const char *timeout = configured(config, "transaction.timeout.ms");
    const char *message_timeout =
        timeout != NULL && atoll(timeout) < atoll(MESSAGE_TIMEOUT_MS) ? timeout : MESSAGE_TIMEOUT_MS;
    const struct kafka_property properties[] = {
        {"transactional.id", config->pipeline},
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {"transaction.timeout.ms", "600000"},
        {"message.timeout.ms", message_timeout},
        {"message.max.bytes", KAFKA_MESSAGE_MAX},
        {"linger.ms", LINGER_MS},
        {"compression.type", "lz4"},
        {"batch.size", w->large_batches ? BATCH_BYTES : SMALL_BATCH_BYTES},
        {"batch.num.messages", "100000"},
        {"queue.buffering.max.kbytes", "1048576"},
        {"queue.buffering.max.messages", "200000"},
    };
    if (!kafka_client_open(&w->client, config, RD_KAFKA_PRODUCER, properties, ARRAY_LEN(properties),
                           kafka_writer_on_report, err))
        return false;
    read_txn_timeout(w);
    w->record_max = kafka_producer_max(&w->client);
    return init_transactions(w, err);
}

/* Ends what a transactional writer of this pipeline left open, and fences it: until then its records would hold up all readers. */
static bool settle(const struct journal_config *config, struct err *err)
{
    struct kafka_writer w = {0};
    bool ok = open_transactional(&w, config, err);
    kafka_client_close(&w.client);
    return ok;
}

/* The pipeline waits for each acknowledgement, so there is nothing to linger for. */
static bool open_idempotent(struct kafka_writer *w, const struct journal_config *config, struct err *err)
{
    const struct kafka_property properties[] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {"message.timeout.ms", MESSAGE_TIMEOUT_MS},
        {"message.max.bytes", KAFKA_MESSAGE_MAX},
        {"linger.ms", "0"},
        {"compression.type", "lz4"},
        {"batch.size", w->large_batches ? BATCH_BYTES : SMALL_BATCH_BYTES},
        {"batch.num.messages", "100000"},
        {"queue.buffering.max.kbytes", "1048576"},
        {"queue.buffering.max.messages", "200000"},
    };
    if (!settle(config, err) || !kafka_client_open(&w->client, config, RD_KAFKA_PRODUCER, properties,
                                                   ARRAY_LEN(properties), kafka_writer_on_report, err))
        return false;
    w->record_max = kafka_producer_max(&w->client) - KAFKA_STAMP_BYTES;
    return true;
}

/* A stream that is not there yet has nothing to be sealed: its first record is meant for offset 0. */
static bool seal_stream(struct kafka_writer *w, const char *name, struct err *err)
{
    int id;
    struct journal_record nothing = {.partition = 0};
    return kafka_topics_find(&w->topics, name) == NULL ||
           (kafka_writer_ops.stream(&w->base, name, STREAM_FOREVER, &id, err) &&
            kafka_writer_ops.append(&w->base, id, &nothing, err));
}

/* Behind it, no record of an earlier writer counts that used no transactions. */
static bool seal(struct kafka_writer *w, struct err *err)
{
    bool needed = w->idempotent;
    char *fence CLEANUP(free_ptr) = journal_fence_stream(w->config.topic_prefix);
    char *schemas CLEANUP(free_ptr) = journal_schema_stream(w->config.topic_prefix);
    if (!needed && !kafka_tail_is_stamped(&w->config, &needed, err))
        return false;
    if (!needed)
        return true;
    w->sealing = true;
    bool ok = seal_stream(w, fence, err) && seal_stream(w, schemas, err) &&
              kafka_writer_wait_reports(w, err) && (!w->in_txn || kafka_writer_end_unit(w, err));
    w->sealing = false;
    return ok || err_wrap(err, "taking over as the pipeline's writer");
}

bool kafka_writer_open(const struct journal_config *config, struct journal_writer **ret, struct err *err)
{
    if (!check_owner(config, err))
        return false;
    struct kafka_writer *w = xcalloc(1, sizeof *w);
    w->base.ops = &kafka_writer_ops;
    w->names = name_map_new();
    w->config = *config;
    w->config.topic_prefix = xstrdup(config->topic_prefix);
    w->idempotent = config->idempotent;
    w->stamp_writer = kafka_stamp_writer();
    w->pause_us = KAFKA_PAUSE_US;
    w->base.id = w->idempotent ? w->stamp_writer : 0;
    w->large_batches = !atomic_load(&small_batches) && configured(config, "batch.size") == NULL;
    if (!(w->idempotent ? open_idempotent(w, config, err) : open_transactional(w, config, err)) ||
        !kafka_topics_load(&w->client, config->topic_prefix, &w->topics, err) || !seal(w, err)) {
        w->base.ops->close(&w->base);
        return false;
    }
    *ret = &w->base;
    return true;
}
