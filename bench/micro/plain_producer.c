/* The yardstick of journal-snapshot-kafka: `plain_producer BROKERS TOPIC FILE` sends the records of a file with the settings that capture
 * uses by default (idempotence, acks=all, lz4, its batches and queue), waits until all are acknowledged, and prints the seconds from the first to that.
 * The file: for each record the lengths of key and value (4 bytes each, this machine's order), key, value. It is read before the time begins. */
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct lengths {
    uint32_t key, value;
};

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

static rd_kafka_t *connect_to(const char *brokers)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "enable.idempotence", "true");
    set(conf, "compression.type", "lz4");
    set(conf, "linger.ms", "5");
    set(conf, "batch.num.messages", "20000");
    set(conf, "queue.buffering.max.kbytes", "65536");
    set(conf, "queue.buffering.max.messages", "200000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (rk == NULL) {
        (void)fprintf(stderr, "%s\n", text);
        exit(2);
    }
    return rk;
}

/* The file, all of it in memory. */
static const char *load(const char *path, size_t *size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *at = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &st) == 0)
        at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (at == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    (void)close(fd);
    *size = (size_t)st.st_size;
    return at;
}

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* librdkafka copies the bytes, as it does for capture. */
static void send_record(rd_kafka_t *rk, const char *topic, struct lengths len, const char *record)
{
    while (rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                             RD_KAFKA_V_KEY((void *)(uintptr_t)record, len.key),
                             RD_KAFKA_V_VALUE((void *)(uintptr_t)(record + len.key), len.value),
                             RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(rk, 10);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    size_t size;
    const char *file = load(argv[3], &size);
    rd_kafka_t *rk = connect_to(argv[1]);
    double begin = now_s();
    long count = 0;
    for (size_t at = 0; at < size; count++) {
        struct lengths len;
        memcpy(&len, file + at, sizeof len);
        send_record(rk, argv[2], len, file + at + sizeof len);
        at += sizeof len + len.key + len.value;
        if (count % 1000 == 0)
            rd_kafka_poll(rk, 0);
    }
    bool flushed = rd_kafka_flush(rk, 300000) == RD_KAFKA_RESP_ERR_NO_ERROR;
    printf("%.3f\n", now_s() - begin);
    rd_kafka_destroy(rk);
    return flushed && failed == 0 ? 0 : 1;
}
