/*
 * How large a record may be: by the topic (max.message.bytes counts a batch as it arrives, compressed; how well a row
 * compresses is not known before, so it counts as it is), by the producer (message.max.bytes), and by what its queue
 * holds at all (queue.buffering.max.kbytes: a record beyond it would wait for room for ever).
 *
 * Layout of a batch and its records: Kafka's record format 2 (kafka.apache.org/documentation/#recordbatch).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "journal/kafka/kafka.h"

#define BATCH_HEAD_BYTES 61

/* Of a zigzag varint. */
static size_t varint_size(size_t value)
{
    size_t bytes = 1;
    for (uint64_t zigzag = (uint64_t)value << 1; zigzag >= 0x80; zigzag >>= 7)
        bytes++;
    return bytes;
}

static size_t field_size(size_t len)
{
    return varint_size(len) + len;
}

size_t kafka_batch_size(const struct journal_record *rec)
{
    size_t body = 3; /* attributes, and the differences of time and offset to the batch's, which are 0 */
    body += rec->key != NULL ? field_size(rec->key_len) : 1;
    body += rec->value != NULL ? field_size(rec->value_len) : 1;
    body += varint_size(rec->header_count);
    for (size_t i = 0; i < rec->header_count; i++)
        body += field_size(strlen(rec->headers[i].name)) + field_size(rec->headers[i].value_len);
    return BATCH_HEAD_BYTES + field_size(body);
}

/* --- the producer's --- */

static size_t conf_number(const struct kafka_client *client, const char *name)
{
    char text[24];
    size_t size = sizeof text;
    if (rd_kafka_conf_get(rd_kafka_conf(client->rk), name, text, &size) != RD_KAFKA_CONF_OK)
        return SIZE_MAX;
    return strtoull(text, NULL, 10);
}

size_t kafka_producer_max(const struct kafka_client *client)
{
    size_t queue_kb = conf_number(client, "queue.buffering.max.kbytes");
    return MIN_OF(conf_number(client, "message.max.bytes"), MIN_OF(queue_kb, SIZE_MAX / 1024) * 1024);
}

bool kafka_queue_takes(const struct kafka_client *client, const char *topic, size_t producer_max,
                       const struct journal_record *rec, struct err *err)
{
    if (rec->key_len + rec->value_len <= producer_max)
        return true;
    return err_set(err, ERR_DATA,
                   "kafka journal %s: topic=%s: a record of %zu bytes, the producer takes %zu; raise "
                   "message.max.bytes and queue.buffering.max.kbytes in journal.kafka (and "
                   "max.message.bytes of the topic), or set journal.large_records to claim",
                   client->brokers, topic, rec->key_len + rec->value_len, producer_max);
}

size_t kafka_producer_batch(const struct kafka_client *client)
{
    return MIN_OF(conf_number(client, "batch.size"), conf_number(client, "message.max.bytes"));
}

/* --- the topics' --- */

size_t kafka_entries_message_max(const rd_kafka_ConfigResource_t *resource)
{
    size_t count = 0;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        if (value != NULL && strcmp(rd_kafka_ConfigEntry_name(entries[i]), "max.message.bytes") == 0)
            return strtoull(value, NULL, 10);
    }
    return SIZE_MAX;
}
