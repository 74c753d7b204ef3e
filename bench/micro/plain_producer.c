/* The yardstick of journal-snapshot-kafka: `plain_producer BROKERS TOPIC COUNT SIZE` sends so many records of that size, with the
 * settings that capture uses by default (idempotence, acks=all, lz4), and waits until all are acknowledged. */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long failed;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    (void)rk;
    (void)opaque;
    failed += msg->err != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) != RD_KAFKA_CONF_OK) {
        (void)fprintf(stderr, "%s\n", text);
        exit(2);
    }
}

/* Text that compresses about as rows do: a counter, then what is the same in all. */
static size_t fill(char *value, size_t size, long n)
{
    int len = snprintf(value, size, "%ld %ld", n, n / 100000);
    memset(value + len, ' ', size - (size_t)len);
    return size;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    long count = atol(argv[3]);
    size_t size = (size_t)atol(argv[4]);
    char *value = malloc(size + 64), text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[1]);
    set(conf, "enable.idempotence", "true");
    set(conf, "compression.type", "lz4");
    set(conf, "linger.ms", "5");
    set(conf, "queue.buffering.max.messages", "100000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (rk == NULL || value == NULL)
        return 2;
    for (long n = 0; n < count; n++) {
        size_t len = fill(value, size < 24 ? 24 : size, n);
        while (rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(argv[2]), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                 RD_KAFKA_V_KEY(&n, sizeof n), RD_KAFKA_V_VALUE(value, len),
                                 RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(rk, 10);
        if (n % 1000 == 0)
            rd_kafka_poll(rk, 0);
    }
    bool flushed = rd_kafka_flush(rk, 300000) == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_destroy(rk);
    free(value);
    return flushed && failed == 0 ? 0 : 1;
}
