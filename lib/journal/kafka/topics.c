/* Topics: which there are, creating them with our configuration, and refusing existing ones that would lose
 * records. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change/meta.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "journal/kafka/kafka.h"

/* --- what there is --- */

enum stream_kind kafka_kind_of(const char *topic_prefix, const char *name)
{
    char *fence CLEANUP(free_ptr) = journal_fence_stream(topic_prefix);
    char *schemas CLEANUP(free_ptr) = journal_schema_stream(topic_prefix);
    return strcmp(name, fence) == 0 || strcmp(name, schemas) == 0 ? STREAM_FOREVER : STREAM_DATA;
}

static struct kafka_topic *add_topic(struct kafka_topics *topics, const char *name, int32_t partition_count)
{
    if (topics->count == topics->cap) {
        topics->cap = topics->cap != 0 ? topics->cap * 2 : 64;
        topics->all = xrealloc(topics->all, topics->cap * sizeof *topics->all);
    }
    name_map_put(topics->index, name, (int)topics->count);
    struct kafka_topic *topic = &topics->all[topics->count++];
    *topic = (struct kafka_topic){.name = xstrdup(name), .partition_count = partition_count};
    return topic;
}

bool kafka_topics_load(struct kafka_client *client, const char *prefix, struct kafka_topics *ret,
                       struct err *err)
{
    const struct rd_kafka_metadata *md;
    if (!kafka_metadata(client, NULL, "asking for the topics", &md, err))
        return false;
    size_t len = strlen(prefix);
    char *heartbeat CLEANUP(free_ptr) = meta_topic(META_HEARTBEAT, prefix);
    *ret = (struct kafka_topics){.index = name_map_new()};
    for (int i = 0; i < md->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *t = &md->topics[i];
        bool ours = strncmp(t->topic, prefix, len) == 0 && t->topic[len] == '.';
        if (t->partition_cnt > 0 && (ours || strcmp(t->topic, heartbeat) == 0))
            add_topic(ret, t->topic, t->partition_cnt);
    }
    rd_kafka_metadata_destroy(md);
    return true;
}

bool kafka_foreign_list(struct kafka_client *client, const char *const *patterns,
                        void (*each)(void *ctx, const struct journal_stream_info *info), void *ctx,
                        struct err *err)
{
    const struct rd_kafka_metadata *md;
    if (!kafka_metadata(client, NULL, "asking for the topics", &md, err))
        return false;
    for (int i = 0; i < md->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *t = &md->topics[i];
        struct journal_stream_info info = {.partition_count = t->partition_cnt, .kind = STREAM_DATA};
        if (t->partition_cnt == 0 || strlen(t->topic) >= sizeof info.name ||
            !journal_foreign_fits(patterns, t->topic))
            continue;
        (void)snprintf(info.name, sizeof info.name, "%s", t->topic);
        each(ctx, &info);
    }
    rd_kafka_metadata_destroy(md);
    return true;
}

void kafka_topics_release(struct kafka_topics *topics)
{
    for (size_t i = 0; i < topics->count; i++)
        free(topics->all[i].name);
    free(topics->all);
    name_map_free(topics->index);
}

struct kafka_topic *kafka_topics_find(struct kafka_topics *topics, const char *name)
{
    int at = name_map_get(topics->index, name);
    return at >= 0 ? &topics->all[at] : NULL;
}

bool kafka_topic_lookup(struct kafka_client *client, const char *name, int32_t *ret_partitions,
                        struct err *err)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(client->rk, name, NULL);
    bool ok = kafka_metadata(client, rkt, "asking for a topic", &md, err);
    rd_kafka_topic_destroy(rkt);
    if (!ok)
        return false;
    int32_t count = 0;
    if (md->topic_cnt == 1 && md->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
        count = md->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(md);
    *ret_partitions = count;
    return true;
}

/* --- admin requests --- */

static bool topic_fail(struct kafka_client *client, rd_kafka_resp_err_t code, const char *verb,
                       const char *name, const char *text, struct err *err)
{
    char what[300];
    (void)snprintf(what, sizeof what, "%s topic=%s", verb, name);
    return kafka_fail(client, code, what, text, err);
}

static rd_kafka_AdminOptions_t *admin_options(struct kafka_client *client, rd_kafka_admin_op_t op,
                                              int timeout_ms)
{
    char text[200];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client->rk, op);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof text);
    return options;
}

/* NULL: nothing came. */
static rd_kafka_event_t *admin_result(struct kafka_client *client, rd_kafka_queue_t *queue, int timeout_ms,
                                      const char *what)
{
    int64_t begin_us = clock_mono_us(), until_us = begin_us + (int64_t)(timeout_ms + 5000) * 1000;
    rd_kafka_event_t *event = NULL;
    while (event == NULL && clock_mono_us() < until_us) {
        event = rd_kafka_queue_poll(queue, 1000);
        if (event == NULL)
            kafka_client_waits(client, begin_us, what, NULL);
    }
    kafka_client_poll(client);
    return event;
}

/* --- creating --- */

#define TOPIC_ENTRIES 5

/* A new topic's own configuration. retention: room for a number. */
static void topic_entries(const struct journal_config *config, enum stream_kind kind, char retention[32],
                          struct kafka_property ret[TOPIC_ENTRIES])
{
    bool forever = kind == STREAM_FOREVER;
    (void)snprintf(retention, 32, "%lld", forever ? -1LL : (long long)config->retention_ms);
    ret[0] = (struct kafka_property){"cleanup.policy", "delete"};
    ret[1] = (struct kafka_property){"retention.ms", retention};
    ret[2] = (struct kafka_property){"retention.bytes", "-1"};
    ret[3] = (struct kafka_property){"max.message.bytes", KAFKA_MESSAGE_MAX};
    ret[4] = (struct kafka_property){"message.timestamp.type", forever ? "CreateTime" : "LogAppendTime"};
}

static rd_kafka_NewTopic_t *new_topic(const struct journal_config *config, const char *name,
                                      enum stream_kind kind, int32_t partitions, struct err *err)
{
    char text[300], retention[32];
    struct kafka_property entries[TOPIC_ENTRIES];
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(name, partitions, config->replication_factor, text, sizeof text);
    if (topic == NULL) {
        err_set(err, ERR_CONFIG, "kafka journal: topic=%s: %s", name, text);
        return NULL;
    }
    topic_entries(config, kind, retention, entries);
    for (size_t i = 0; i < TOPIC_ENTRIES; i++)
        (void)rd_kafka_NewTopic_set_config(topic, entries[i].name, entries[i].value);
    return topic;
}

/* *ret_ours: false if somebody else was faster. */
static bool create_result(struct kafka_client *client, const char *name, rd_kafka_event_t *event,
                          bool *ret_ours, struct err *err)
{
    if (event == NULL)
        return kafka_stalled(client, "creating a topic", KAFKA_REQUEST_MS, err);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return topic_fail(client, rd_kafka_event_error(event), "creating", name,
                          rd_kafka_event_error_string(event), err);
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    rd_kafka_resp_err_t code = count == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__FAIL;
    *ret_ours = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (*ret_ours || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return true;
    return topic_fail(client, code, "creating", name,
                      count == 1 ? rd_kafka_topic_result_error_string(results[0]) : NULL, err);
}

static bool create(struct kafka_client *client, const struct journal_config *config, const char *name,
                   enum stream_kind kind, int32_t partitions, bool *ret_ours, struct err *err)
{
    rd_kafka_NewTopic_t *topic = new_topic(config, name, kind, partitions, err);
    if (topic == NULL)
        return false;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
    rd_kafka_AdminOptions_t *options =
        admin_options(client, RD_KAFKA_ADMIN_OP_CREATETOPICS, KAFKA_REQUEST_MS);
    char text[200];
    (void)rd_kafka_AdminOptions_set_operation_timeout(options, KAFKA_REQUEST_MS, text, sizeof text);
    rd_kafka_CreateTopics(client->rk, &topic, 1, options, queue);
    rd_kafka_event_t *event = admin_result(client, queue, KAFKA_REQUEST_MS, "creating a topic");
    bool ok = create_result(client, name, event, ret_ours, err);
    if (ok)
        kafka_client_answered(client);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
    return ok;
}

/* --- checking what is there --- */

static bool entry_ok(const char *name, enum stream_kind kind, const char *key, const char *value,
                     struct err *err)
{
    if (strcmp(key, "cleanup.policy") == 0 && strstr(value, "compact") != NULL)
        return err_set(
            err, ERR_CONFIG,
            "kafka journal: topic=%s has cleanup.policy=%s: compaction drops records that a fence counts on; "
            "set cleanup.policy=delete (kafka-configs --alter), or use another journal.topic_prefix",
            name, value);
    bool retention = strcmp(key, "retention.ms") == 0 || strcmp(key, "retention.bytes") == 0;
    if (kind == STREAM_FOREVER && retention && value[0] != '-')
        return err_set(
            err, ERR_CONFIG,
            "kafka journal: topic=%s has %s=%s, it must never expire: set %s=-1 (kafka-configs --alter)",
            name, key, value, key);
    return true;
}

static bool entries_ok(struct kafka_client *client, const char *name, enum stream_kind kind,
                       rd_kafka_event_t *event, size_t *ret_message_max, struct err *err)
{
    if (event == NULL)
        return kafka_stalled(client, "reading a topic's configuration", KAFKA_REQUEST_MS, err);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return topic_fail(client, rd_kafka_event_error(event), "reading the configuration of", name,
                          rd_kafka_event_error_string(event), err);
    size_t count, entry_count;
    const rd_kafka_ConfigResource_t **resources =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
    if (count != 1)
        return topic_fail(client, RD_KAFKA_RESP_ERR__FAIL, "reading the configuration of", name, NULL, err);
    rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resources[0]);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return topic_fail(client, code, "reading the configuration of", name,
                          rd_kafka_ConfigResource_error_string(resources[0]), err);
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resources[0], &entry_count);
    for (size_t i = 0; i < entry_count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        if (value != NULL && !entry_ok(name, kind, rd_kafka_ConfigEntry_name(entries[i]), value, err))
            return false;
    }
    *ret_message_max = kafka_entries_message_max(resources[0]);
    return true;
}

/* NULL: no answer. */
static rd_kafka_event_t *describe(struct kafka_client *client, const char *name, int timeout_ms)
{
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
    rd_kafka_AdminOptions_t *options = admin_options(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms);
    rd_kafka_DescribeConfigs(client->rk, &resource, 1, options, queue);
    rd_kafka_event_t *event = admin_result(client, queue, timeout_ms, "reading a topic's configuration");
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(resource);
    return event;
}

static bool check_config(struct kafka_client *client, const char *name, enum stream_kind kind,
                         size_t *ret_message_max, struct err *err)
{
    rd_kafka_event_t *event = describe(client, name, KAFKA_REQUEST_MS);
    bool ok = entries_ok(client, name, kind, event, ret_message_max, err);
    if (ok)
        kafka_client_answered(client);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    return ok;
}

/* Who may not look is believed to have looked. */
bool kafka_foreign_kept(struct kafka_client *client, const char *name, struct err *err)
{
    size_t ignored;
    struct err why = ERR_INIT;
    rd_kafka_event_t *event = describe(client, name, KAFKA_REQUEST_MS);
    bool ok = entries_ok(client, name, STREAM_DATA, event, &ignored, &why);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    if (!ok && why.code == ERR_CONFIG)
        return err_set(err, ERR_CONFIG,
                       "topic=%s is compacted (cleanup.policy): changes that others followed are gone or "
                       "will be, and with "
                       "them what came before what. Set cleanup.policy=delete in the connector "
                       "(topic.creation.default.cleanup.policy), and let it write a new snapshot under "
                       "another topic.prefix",
                       name);
    if (!ok && why.code == ERR_CONNECT) {
        *err = why;
        return false;
    }
    return true;
}

/* --- why nothing is taken --- */

/* 0: not known. */
static int min_insync(struct kafka_client *client, const char *name)
{
    int min = 0;
    size_t count = 0;
    rd_kafka_event_t *event = describe(client, name, KAFKA_TELL_MS);
    if (event == NULL)
        return 0;
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
    const rd_kafka_ConfigResource_t **resources =
        result != NULL ? rd_kafka_DescribeConfigs_result_resources(result, &count) : NULL;
    const rd_kafka_ConfigEntry_t **entries =
        count == 1 ? rd_kafka_ConfigResource_configs(resources[0], &count) : NULL;
    for (size_t i = 0; entries != NULL && i < count; i++) {
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), "min.insync.replicas") == 0)
            min = atoi(rd_kafka_ConfigEntry_value(entries[i]));
    }
    rd_kafka_event_destroy(event);
    return min;
}

static void why_topic(struct kafka_client *client, const struct rd_kafka_metadata_topic *topic,
                      struct strbuf *out)
{
    int min = min_insync(client, topic->topic);
    for (int i = 0; i < topic->partition_cnt; i++) {
        const struct rd_kafka_metadata_partition *p = &topic->partitions[i];
        if (p->leader < 0)
            strbuf_addf(out, "topic=%s partition=%d has no leader", topic->topic, (int)p->id);
        else if (p->isr_cnt < MIN_OF(min, p->replica_cnt)) /* more than there are is not asked of a topic */
            strbuf_addf(out,
                        "topic=%s partition=%d: NOT_ENOUGH_REPLICAS: %d in sync of %d, "
                        "min.insync.replicas=%d: bring the other brokers back, or lower it (kafka-configs "
                        "--alter)",
                        topic->topic, (int)p->id, p->isr_cnt, p->replica_cnt, min);
        else
            continue;
        return;
    }
}

void kafka_topic_why_stuck(struct kafka_client *client, const char *name, struct strbuf *out)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(client->rk, name, NULL);
    rd_kafka_resp_err_t code = rd_kafka_metadata(client->rk, 0, rkt, &md, KAFKA_TELL_MS / 2);
    rd_kafka_topic_destroy(rkt);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    if (md->topic_cnt == 1)
        why_topic(client, &md->topics[0], out);
    rd_kafka_metadata_destroy(md);
}

/* Somebody else made it just now: it may look different, and take a moment to be known. */
static bool lookup_fresh(struct kafka_client *client, const char *name, int32_t *ret_partitions,
                         struct err *err)
{
    for (int attempt = 0; attempt < 50; attempt++) {
        if (!kafka_topic_lookup(client, name, ret_partitions, err))
            return false;
        if (*ret_partitions > 0)
            return true;
        (void)rd_kafka_poll(client->rk, 100);
    }
    return topic_fail(client, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "looking up", name, NULL, err);
}

/* journal.create_topics is off, and the topic was not there when the writer was opened. All topics are asked
 * for: a broker that creates by itself would make one that is asked for by name. */
static struct kafka_topic *find_made(struct kafka_client *client, const struct journal_config *config,
                                     struct kafka_topics *topics, const char *name, enum stream_kind kind,
                                     int32_t partitions, struct err *err)
{
    struct kafka_topics now;
    struct kafka_property entries[TOPIC_ENTRIES];
    char retention[32], command[400];
    if (!kafka_topics_load(client, config->topic_prefix, &now, err))
        return NULL;
    const struct kafka_topic *there = kafka_topics_find(&now, name);
    int32_t count = there != NULL ? there->partition_count : 0;
    kafka_topics_release(&now);
    if (count > 0)
        return add_topic(topics, name, count);
    topic_entries(config, kind, retention, entries);
    size_t len = 0;
    for (size_t i = 0; i < TOPIC_ENTRIES; i++)
        len += (size_t)snprintf(command + len, sizeof command - len, " --config %s=%s", entries[i].name,
                                entries[i].value);
    err_set(err, ERR_CONFIG,
            "kafka journal: topic=%s does not exist and journal.create_topics is false: create it with "
            "kafka-topics.sh --bootstrap-server %.300s --create --topic %s --partitions %d "
            "--replication-factor %d%s",
            name, client->brokers, name, (int)partitions, config->replication_factor, command);
    return NULL;
}

static struct kafka_topic *make(struct kafka_client *client, const struct journal_config *config,
                                struct kafka_topics *topics, const char *name, enum stream_kind kind,
                                struct err *err)
{
    bool ours = false;
    bool one = kind == STREAM_FOREVER || meta_kind_of(config->topic_prefix, name) != META_KINDS_;
    int32_t partitions = one ? 1 : config->partitions;
    if (config->topics_must_exist)
        return find_made(client, config, topics, name, kind, partitions, err);
    if (!create(client, config, name, kind, partitions, &ours, err) ||
        (!ours && !lookup_fresh(client, name, &partitions, err)))
        return NULL;
    struct kafka_topic *topic = add_topic(topics, name, partitions);
    topic->checked = ours;
    topic->message_max = strtoull(KAFKA_MESSAGE_MAX, NULL, 10);
    return topic;
}

bool kafka_topic_ensure(struct kafka_client *client, const struct journal_config *config,
                        struct kafka_topics *topics, const char *name, enum stream_kind kind,
                        const struct kafka_topic **ret, struct err *err)
{
    struct kafka_topic *topic = kafka_topics_find(topics, name);
    if (topic == NULL)
        topic = make(client, config, topics, name, kind, err);
    if (topic == NULL || (!topic->checked && !check_config(client, name, kind, &topic->message_max, err)))
        return false;
    topic->checked = true;
    if (kind == STREAM_FOREVER && topic->partition_count != 1)
        return err_set(
            err, ERR_CONFIG,
            "kafka journal: topic=%s has %d partitions, it must have one: use another journal.topic_prefix",
            name, (int)topic->partition_count);
    *ret = topic;
    return true;
}
