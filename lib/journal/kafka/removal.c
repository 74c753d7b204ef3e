/* Removing a Kafka journal: topics that the pipeline's fences name, the streams of the prefix, and the group in which apply tells where it stands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change/fence.h"
#include "change/meta.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "journal/kafka/kafka.h"

/* Offsets: with the marks of transactions between them there is more than one fence that lists all (FENCE_FULL_EVERY). */
#define LOOK_BACK ((uint64_t)8 * FENCE_FULL_EVERY)
#define GROUP     "consumer group "

struct proof {
    struct name_map *named; /* streams of our fences */
    int count;
    bool any;       /* a fence of ours was read */
    char other[64]; /* a fence of this pipeline was read; "" = none */
};

static void take_fence(struct proof *proof, const struct fence *fence, const char *pipeline)
{
    if (strcmp(fence->pipeline, pipeline) != 0) {
        (void)snprintf(proof->other, sizeof proof->other, "%s", fence->pipeline);
        return;
    }
    proof->any = true;
    for (size_t i = 0; i < fence->range_count; i++) {
        if (name_map_get(proof->named, fence->ranges[i].stream) < 0)
            name_map_put(proof->named, fence->ranges[i].stream, proof->count++);
    }
}

static bool read_fences(struct journal_reader *jr, const struct journal_config *config, const char *stream,
                        struct proof *proof, struct err *err)
{
    struct journal_range range = {.stream = stream};
    uint64_t first = 0, next = 0;
    if (!journal_bounds(jr, stream, 0, &first, &next, err))
        return false;
    if (next == first)
        return true;
    range.first_offset = next - first > LOOK_BACK ? next - LOOK_BACK : first;
    range.next_offset = next;
    if (!journal_assign(jr, &range, 1, err))
        return false;
    for (;;) {
        struct journal_record rec;
        struct fence fence;
        bool end = false;
        if (!journal_take(jr, JOURNAL_TAKE_MS, &rec, &end, err))
            return false;
        if (end)
            return true;
        if (rec.value == NULL)
            continue;
        if (!fence_decode(rec.value, rec.value_len, &fence, err))
            return err_wrap(err, "topic=%s offset=%llu", stream, (unsigned long long)rec.offset);
        take_fence(proof, &fence, config->pipeline);
        fence_release(&fence);
    }
}

static bool find_proof(const struct journal_config *config, const char *stream, struct proof *proof,
                       struct err *err)
{
    struct journal_reader *jr = NULL;
    if (!journal_reader_open(config, NULL, &jr, err))
        return false;
    bool ok = read_fences(jr, config, stream, proof, err);
    journal_reader_close(jr);
    return ok;
}

/* --- telling --- */

struct telling {
    const struct journal_config *config;
    const struct proof *proof;
    char *fence, *schemas;
    journal_part_fn *each;
    void *ctx;
};

static void tell_topic(const struct telling *t, const char *name, bool ours)
{
    struct journal_part part = {.bytes = -1, .records = -1, .ours = ours};
    (void)snprintf(part.name, sizeof part.name, "%s", name);
    (void)snprintf(part.action, sizeof part.action, "delete topic %s", name);
    if (!ours && *t->proof->other != '\0')
        (void)snprintf(part.why, sizeof part.why,
                       "topic %s has fences of pipeline %s: it is not this pipeline's alone", t->fence,
                       t->proof->other);
    else if (!ours)
        (void)snprintf(part.why, sizeof part.why,
                       "it begins with the prefix, but no fence of the pipeline names it: delete it by hand "
                       "if it is not needed");
    t->each(t->ctx, &part);
}

/* Data first, then Debezium's own records, shapes, and fences: they are the proof. */
static int rank_of(const struct telling *t, const char *name)
{
    return strcmp(name, t->fence) == 0                                  ? 3
           : strcmp(name, t->schemas) == 0                              ? 2
           : meta_kind_of(t->config->topic_prefix, name) != META_KINDS_ ? 1
                                                                        : 0;
}

static bool is_ours(const struct telling *t, const char *name, int rank)
{
    return t->proof->any && *t->proof->other == '\0' &&
           (rank > 0 || name_map_get(t->proof->named, name) >= 0);
}

static bool tell_group(struct kafka_client *client, const struct telling *t, struct err *err)
{
    const struct rd_kafka_group_list *list = NULL;
    char *name CLEANUP(free_ptr) = xasprintf("crossfade-%s", t->config->pipeline);
    rd_kafka_resp_err_t code = rd_kafka_list_groups(client->rk, name, &list, KAFKA_REQUEST_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_fail(client, code, "asking for consumer groups", NULL, err);
    for (int i = 0; i < list->group_cnt; i++) {
        struct journal_part part = {.bytes = -1, .records = -1, .ours = true};
        if (strcmp(list->groups[i].group, name) != 0 || strcmp(list->groups[i].state, "Dead") == 0)
            continue;
        (void)snprintf(part.name, sizeof part.name, GROUP "%s", name);
        (void)snprintf(part.action, sizeof part.action, "delete consumer group %s", name);
        if (list->groups[i].member_cnt > 0)
            (void)snprintf(part.used_by, sizeof part.used_by, "%d members", list->groups[i].member_cnt);
        t->each(t->ctx, &part);
    }
    rd_kafka_group_list_destroy(list);
    return true;
}

static bool open_client(struct kafka_client *client, const struct journal_config *config, struct err *err)
{
    char *group CLEANUP(free_ptr) = xasprintf("crossfade-%s-removal", config->pipeline);
    const struct kafka_property properties[] = {{"group.id", group}, {"enable.auto.commit", "false"}};
    return kafka_client_open(client, config, RD_KAFKA_CONSUMER, properties, ARRAY_LEN(properties), NULL, err);
}

static bool tell_all(struct kafka_client *client, struct telling *t, struct proof *proof, struct err *err)
{
    struct kafka_topics topics;
    if (!kafka_topics_load(client, t->config->topic_prefix, &topics, err))
        return false;
    bool ok = kafka_topics_find(&topics, t->fence) == NULL || find_proof(t->config, t->fence, proof, err);
    for (int rank = 0; ok && rank <= 3; rank++) {
        if (rank == 2)
            ok = tell_group(client, t, err);
        for (size_t i = 0; ok && i < topics.count; i++) {
            if (rank_of(t, topics.all[i].name) == rank)
                tell_topic(t, topics.all[i].name, is_ours(t, topics.all[i].name, rank));
        }
    }
    kafka_topics_release(&topics);
    return ok;
}

bool kafka_parts(const struct journal_config *config, journal_part_fn *each, void *ctx, struct err *err)
{
    struct kafka_client client;
    struct proof proof = {.named = name_map_new()};
    struct telling telling = {.config = config, .proof = &proof, .each = each, .ctx = ctx};
    telling.fence = journal_fence_stream(config->topic_prefix);
    telling.schemas = journal_schema_stream(config->topic_prefix);
    bool ok = open_client(&client, config, err);
    if (ok) {
        ok = tell_all(&client, &telling, &proof, err);
        kafka_client_close(&client);
    }
    free(telling.fence);
    free(telling.schemas);
    name_map_free(proof.named);
    return ok;
}

/* --- removing --- */

static rd_kafka_event_t *await(struct kafka_client *client, rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, KAFKA_REQUEST_MS + 5000);
    kafka_client_poll(client);
    return event;
}

static rd_kafka_resp_err_t delete_topic(struct kafka_client *client, const char *name)
{
    size_t count = 0;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
    rd_kafka_DeleteTopics(client->rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = await(client, queue);
    if (event != NULL) {
        code = rd_kafka_event_error(event);
        const rd_kafka_DeleteTopics_result_t *result = rd_kafka_event_DeleteTopics_result(event);
        const rd_kafka_topic_result_t **topics =
            result != NULL ? rd_kafka_DeleteTopics_result_topics(result, &count) : NULL;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR && topics != NULL && count == 1)
            code = rd_kafka_topic_result_error(topics[0]);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_DeleteTopic_destroy(topic);
    return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ? RD_KAFKA_RESP_ERR_NO_ERROR : code;
}

static rd_kafka_resp_err_t delete_group(struct kafka_client *client, const char *name)
{
    size_t count = 0;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    rd_kafka_DeleteGroup_t *group = rd_kafka_DeleteGroup_new(name);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
    rd_kafka_DeleteGroups(client->rk, &group, 1, NULL, queue);
    rd_kafka_event_t *event = await(client, queue);
    if (event != NULL) {
        code = rd_kafka_event_error(event);
        const rd_kafka_DeleteGroups_result_t *result = rd_kafka_event_DeleteGroups_result(event);
        const rd_kafka_group_result_t **groups =
            result != NULL ? rd_kafka_DeleteGroups_result_groups(result, &count) : NULL;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR && groups != NULL && count == 1 &&
            rd_kafka_group_result_error(groups[0]) != NULL)
            code = rd_kafka_error_code(rd_kafka_group_result_error(groups[0]));
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_DeleteGroup_destroy(group);
    return code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND ? RD_KAFKA_RESP_ERR_NO_ERROR : code;
}

/* The cluster deletes behind its answer: until it does not know the topic any more. */
static bool await_gone(struct kafka_client *client, const char *prefix, const char *name, struct err *err)
{
    int64_t until_us = clock_mono_us() + KAFKA_REQUEST_MS * INT64_C(1000);
    for (;;) {
        struct kafka_topics topics;
        if (!kafka_topics_load(client, prefix, &topics, err))
            return false;
        bool there = kafka_topics_find(&topics, name) != NULL;
        kafka_topics_release(&topics);
        if (!there)
            return true;
        if (clock_mono_us() > until_us)
            return err_set(
                err, ERR_TIMEOUT,
                "kafka journal: topic=%s is still there: is delete.topic.enable set on the brokers?", name);
        (void)rd_kafka_poll(client->rk, 100);
    }
}

bool kafka_remove_part(const struct journal_config *config, const char *name, struct err *err)
{
    struct kafka_client client;
    bool group = strncmp(name, GROUP, strlen(GROUP)) == 0;
    if (!failpoint("journal.remove_topic", err) || !open_client(&client, config, err))
        return false;
    rd_kafka_resp_err_t code =
        group ? delete_group(&client, name + strlen(GROUP)) : delete_topic(&client, name);
    bool ok = code == RD_KAFKA_RESP_ERR_NO_ERROR
                  ? group || await_gone(&client, config->topic_prefix, name, err)
                  : kafka_fail(&client, code, group ? "deleting" : "deleting topic", name, err);
    kafka_client_close(&client);
    return ok;
}
