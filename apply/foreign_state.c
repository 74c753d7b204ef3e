/* Owns: the settings of source.debezium, and where the target stands in Debezium's topics, as a text. See foreign.h. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "apply/foreign_internal.h"
#include "core/alloc.h"

#define STATE_FORMAT          2
#define PLACEHOLDER_MIN_BYTES 8

/* --- settings --- */

static bool need(const struct config *cfg, const char *key, struct err *err)
{
    return config_text(cfg, key) != NULL ||
           err_set(err, ERR_CONFIG, "%s is missing, which source.debezium.format: avro needs", key);
}

/* What stands for values that were not sent must be none that a table may well hold. */
static bool check_placeholder(const char *text, struct err *err)
{
    if (text == NULL || (strlen(text) >= PLACEHOLDER_MIN_BYTES && strncmp(text, "hex:", 4) != 0))
        return true;
    return err_set(err, ERR_CONFIG,
                   "source.debezium.unavailable_value: it has fewer than %d bytes, which a table's own value "
                   "may well be, or begins with hex:. Set unavailable.value.placeholder of the connector to "
                   "a text that no table holds; its text after hex: is given here as what it spells",
                   PLACEHOLDER_MIN_BYTES);
}

bool foreign_settings_read(const struct config *cfg, struct foreign_settings *ret, struct err *err)
{
    size_t topics, properties, rules, named;
    const char *brokers = config_text(cfg, "source.debezium.brokers");
    const char *const *patterns = config_list(cfg, "source.debezium.topics", &topics);
    const char *const *kafka = config_list(cfg, "source.debezium.kafka", &properties);
    const char *const *tables = config_list(cfg, "source.debezium.tables", &rules);
    const char *const *collections = config_list(cfg, "source.debezium.collections", &named);
    *ret = (struct foreign_settings){.on = brokers != NULL};
    if (brokers == NULL)
        return true;
    ret->avro = strcmp(config_text(cfg, "source.debezium.format"), "avro") == 0;
    ret->transaction_topic = config_text(cfg, "source.debezium.transaction_topic");
    ret->placeholder = config_text(cfg, "source.debezium.unavailable_value");
    if (config_text(cfg, "source.url") != NULL || config_text(cfg, "journal.url") != NULL)
        return err_set(err, ERR_CONFIG,
                       "source.debezium stands in place of source.url and journal.url: take those out");
    if (!check_placeholder(ret->placeholder, err))
        return false;
    if (topics == 0)
        return err_set(err, ERR_CONFIG, "source.debezium.topics is missing: which topics are to be applied?");
    if ((ret->avro && !need(cfg, "source.debezium.registry", err)) ||
        (rules > 0 && !topic_routing_new(tables, rules, &ret->tables, err)))
        return false;
    const char **all = xcalloc(topics + 2, sizeof *all);
    memcpy(all, patterns, topics * sizeof *all);
    all[topics] = ret->transaction_topic;
    ret->patterns = all;
    if (named > 0) {
        const char **tables_read = xcalloc(named + 1, sizeof *tables_read);
        memcpy(tables_read, collections, named * sizeof *tables_read);
        ret->collections = tables_read;
    }
    ret->journal = (struct journal_config){
        .url = xasprintf("kafka://%s", brokers),
        .pipeline = config_text(cfg, "pipeline"),
        .topic_prefix = config_text(cfg, "pipeline"),
        .partitions = 1,
        .replication_factor = 1,
        .kafka_properties = properties > 0 ? kafka : NULL,
        .registry = config_text(cfg, "source.debezium.registry"),
        .registry_user = config_text(cfg, "source.debezium.registry_user"),
        .registry_password = config_text(cfg, "source.debezium.registry_password"),
        .registry_ca = config_text(cfg, "source.debezium.registry_ca"),
        .foreign_topics = all,
    };
    return true;
}

void foreign_settings_release(struct foreign_settings *set)
{
    topic_routing_free(set->tables);
    free((void *)set->patterns);
    free((void *)set->collections);
    free((char *)set->journal.url);
    *set = (struct foreign_settings){.on = false};
}

const char *foreign_promise(const struct foreign_settings *set)
{
    return set->transaction_topic != NULL ? "transactions whole" : "order per key only";
}

/* "schema.table"; without a dot the schema stays. */
static void rename_table(void *ctx, const char *schema, const char *table, char **ret_schema,
                         char **ret_table)
{
    char *name CLEANUP(free_ptr) = topic_routing_find(ctx, schema, table);
    const char *dot = name != NULL ? strchr(name, '.') : NULL;
    *ret_schema = dot != NULL ? xstrndup(name, (size_t)(dot - name)) : xstrdup(schema);
    *ret_table = xstrdup(name == NULL ? table : dot != NULL ? dot + 1 : name);
}

struct foreign_decoder *foreign_settings_decoder(const struct foreign_settings *set,
                                                 const struct schema_source *source)
{
    struct foreign_options options = {.avro = set->avro,
                                      .rename = set->tables != NULL ? rename_table : NULL,
                                      .rename_ctx = set->tables,
                                      .placeholder = set->placeholder};
    if (source != NULL)
        options.source = *source;
    return foreign_decoder_open(&options);
}

/* --- domains --- */

bool foreign_domain(struct domains *all, uint64_t id, struct domain **ret)
{
    size_t i = 0;
    while (i < all->count && all->items[i].id != id)
        i++;
    if (i == DOMAINS_MAX)
        return false;
    if (i == all->count)
        all->items[all->count++] = (struct domain){.id = id};
    *ret = &all->items[i];
    return true;
}

/* --- writing --- */

/* JSON's integers are signed here; nothing that is counted reaches the last bit, but hashes do. */
static json_t *number(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static json_t *part_json(const struct part *p, uint64_t next, const struct place *at)
{
    json_t *place = json_pack("[o, o, o, o, o, o, o, I, o, o, b, b]", number(at->major), number(at->minor),
                              number(at->transaction), number(at->gtid_domain), number(at->gtid_order),
                              number(at->identity), number(at->ordinal), (json_int_t)at->time_us,
                              number(at->ties), number(at->begun), (int)at->shown, (int)at->closed);
    return json_pack("[s, i, o, o]", p->topic, (int)p->partition, number(next), place);
}

static json_t *snapshot_json(const struct foreign_feed *feed, uint64_t fence_id)
{
    const struct snapshot *snap = foreign_snapshot(feed, fence_id);
    if (snap == NULL)
        return json_null();
    return json_pack("[o, o, I, o]", number(snap->major), number(snap->minor), (json_int_t)snap->time_us,
                     number(snap->attempt));
}

/* What the target has once the marks up to this fence are applied. */
struct ahead {
    uint64_t *next;
    struct place *places;
    struct domains domains;
};

static bool place_given(const struct place *at)
{
    return at->time_us != 0 || at->shown;
}

static void look_ahead(const struct foreign_feed *feed, uint64_t fence_id, struct ahead *a)
{
    for (size_t i = 0; i < feed->part_count; i++) {
        a->next[i] = feed->parts[i].taken;
        a->places[i] = feed->parts[i].at_taken;
    }
    a->domains = feed->domains_taken;
    for (size_t i = 0; i < feed->mark_count; i++) {
        const struct mark *m = &feed->marks[feed->mark_head + i];
        struct domain *d;
        if (m->fence_id > fence_id)
            break;
        a->next[m->part] = m->next;
        if (m->anew || place_given(&m->place))
            a->places[m->part] = m->place;
        if (m->order != 0 && foreign_domain(&a->domains, m->domain, &d))
            d->order = m->order;
    }
}

struct order {
    const struct part *part;
    size_t index;
};

static int by_topic(const void *a, const void *b)
{
    const struct part *p = ((const struct order *)a)->part, *q = ((const struct order *)b)->part;
    int order = strcmp(p->topic, q->topic);
    return order != 0 ? order : p->partition - q->partition;
}

static int by_id(const void *a, const void *b)
{
    uint64_t p = ((const struct domain *)a)->id, q = ((const struct domain *)b)->id;
    return (p > q) - (p < q);
}

/* In an order of its own: shards that stand at one place have one text, whatever came to them first. */
static json_t *parts_json(const struct foreign_feed *feed, const struct ahead *a)
{
    struct order *order = xcalloc(feed->part_count + 1, sizeof *order);
    json_t *parts = json_array();
    for (size_t i = 0; i < feed->part_count; i++)
        order[i] = (struct order){.part = &feed->parts[i], .index = i};
    qsort(order, feed->part_count, sizeof *order, by_topic);
    for (size_t i = 0; i < feed->part_count; i++) {
        size_t at = order[i].index;
        json_array_append_new(parts, part_json(order[i].part, a->next[at], &a->places[at]));
    }
    free(order);
    return parts;
}

static json_t *domains_json(struct ahead *a)
{
    json_t *domains = json_array();
    qsort(a->domains.items, a->domains.count, sizeof a->domains.items[0], by_id);
    for (size_t i = 0; i < a->domains.count; i++)
        json_array_append_new(
            domains, json_pack("[o, o]", number(a->domains.items[i].id), number(a->domains.items[i].order)));
    return domains;
}

static json_t *state_json(const struct foreign_feed *feed, struct ahead *a, uint64_t fence_id)
{
    const char *ends = feed->set->transaction_topic;
    bool complete = feed->complete && feed->complete_from <= fence_id;
    bool streamed = feed->streamed && feed->streamed_from <= fence_id;
    json_t *late = json_array();
    for (size_t i = 0; i < LATE_MAX; i++) {
        if (feed->late[i] != 0 && feed->late_from[i] <= fence_id)
            json_array_append_new(late, number(feed->late[i]));
    }
    return json_pack("{s:i, s:s?, s:s?, s:s?, s:b, s:b, s:o, s:I, s:o, s:o, s:o, s:o}", "format",
                     STATE_FORMAT, "connector", feed->connector, "server", feed->server, "transaction_topic",
                     ends, "complete", (int)complete, "streamed", (int)streamed, "lsn", number(feed->lsn),
                     "commit_us", (json_int_t)feed->commit_us, "domains", domains_json(a), "partitions",
                     parts_json(feed, a), "late", late, "snapshot", snapshot_json(feed, fence_id));
}

bool foreign_feed_state(struct foreign_feed *feed, uint64_t fence_id, const char **ret, struct err *err)
{
    struct ahead a = {.next = xcalloc(feed->part_count + 1, sizeof *a.next),
                      .places = xcalloc(feed->part_count + 1, sizeof *a.places)};
    look_ahead(feed, fence_id, &a);
    json_t *json = state_json(feed, &a, fence_id);
    free(a.next);
    free(a.places);
    free(feed->state);
    feed->state = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    *ret = feed->state;
    return feed->state != NULL || err_set(err, ERR_NO_MEMORY, "the position in the topics is too large");
}

/* Repeated records below are never read again. */
static void forget_gaps(struct part *p)
{
    size_t n = 0;
    while (n < p->gap_count && p->gaps[n].next <= p->taken)
        n++;
    p->gap_count -= n;
    if (n > 0)
        memmove(p->gaps, p->gaps + n, p->gap_count * sizeof *p->gaps);
}

void foreign_feed_take(struct foreign_feed *feed, uint64_t fence_id)
{
    while (feed->mark_count > 0 && feed->marks[feed->mark_head].fence_id <= fence_id) {
        const struct mark *m = &feed->marks[feed->mark_head];
        struct part *p = &feed->parts[m->part];
        struct domain *d;
        p->taken = m->next;
        if (m->anew || place_given(&m->place))
            p->at_taken = m->place;
        if (m->order != 0 && foreign_domain(&feed->domains_taken, m->domain, &d))
            d->order = m->order;
        forget_gaps(p);
        feed->mark_head++;
        feed->mark_count--;
    }
    feed->taken_id = fence_id;
}

/* --- reading --- */

static bool bad(struct err *err)
{
    return err_set(
        err, ERR_PROTOCOL,
        "crossfade.position on the target does not hold a place in Debezium's topics: it was filled by "
        "another kind of pipeline, or changed by hand");
}

static bool read_part(struct foreign_feed *feed, json_t *json, struct err *err)
{
    const char *topic;
    int partition, shown, closed;
    json_int_t next, major, minor, transaction, domain, order, identity, ordinal, time_us, ties, begun;
    if (json_unpack(json, "[s, i, I, [I, I, I, I, I, I, I, I, I, I, b, b]]", &topic, &partition, &next,
                    &major, &minor, &transaction, &domain, &order, &identity, &ordinal, &time_us, &ties,
                    &begun, &shown, &closed) != 0 ||
        partition < 0 || next < 0)
        return bad(err);
    struct part *p = foreign_part_add(feed, topic, partition, (uint64_t)next);
    p->seen = p->at_taken = (struct place){.major = (uint64_t)major,
                                           .minor = (uint64_t)minor,
                                           .transaction = (uint64_t)transaction,
                                           .gtid_domain = (uint64_t)domain,
                                           .gtid_order = (uint64_t)order,
                                           .identity = (uint64_t)identity,
                                           .ordinal = (uint64_t)ordinal,
                                           .time_us = time_us,
                                           .ties = (uint64_t)ties,
                                           .begun = (uint64_t)begun,
                                           .shown = shown != 0,
                                           .closed = closed != 0};
    return true;
}

static bool read_late(struct foreign_feed *feed, json_t *late, struct err *err)
{
    size_t i;
    json_t *item;
    json_array_foreach(late, i, item)
    {
        if (!json_is_integer(item))
            return bad(err);
        foreign_late_add(feed, (uint64_t)json_integer_value(item), 0);
    }
    return true;
}

static bool read_snapshot(struct foreign_feed *feed, json_t *json, struct err *err)
{
    json_int_t major, minor, time_us, attempt;
    if (json_is_null(json))
        return true;
    if (json_unpack(json, "[I, I, I, I]", &major, &minor, &time_us, &attempt) != 0)
        return bad(err);
    foreign_snapshot_add(feed, &(struct snapshot){.major = (uint64_t)major,
                                                  .minor = (uint64_t)minor,
                                                  .time_us = time_us,
                                                  .attempt = (uint64_t)attempt});
    return true;
}

static bool same_topic(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool read_domains(struct foreign_feed *feed, json_t *domains, struct err *err)
{
    size_t i;
    json_t *item;
    json_array_foreach(domains, i, item)
    {
        json_int_t id, order;
        struct domain *d;
        if (json_unpack(item, "[I, I]", &id, &order) != 0 ||
            !foreign_domain(&feed->domains, (uint64_t)id, &d))
            return bad(err);
        d->order = (uint64_t)order;
    }
    feed->domains_taken = feed->domains;
    return true;
}

static bool read_root(struct foreign_feed *feed, json_t *root, struct err *err)
{
    int format, complete;
    const char *connector = json_string_value(json_object_get(root, "connector"));
    const char *server = json_string_value(json_object_get(root, "server"));
    const char *ends = json_string_value(json_object_get(root, "transaction_topic"));
    json_int_t lsn, commit_us;
    json_t *domains, *parts, *item, *late, *snapshot;
    if (json_unpack(root, "{s:i}", "format", &format) != 0)
        return bad(err);
    if (format != STATE_FORMAT)
        return err_set(err, ERR_UNSUPPORTED,
                       "crossfade.position was written by another version (format %d, this one reads %d): "
                       "begin anew, with "
                       "another pipeline and an empty target",
                       format, STATE_FORMAT);
    if (json_unpack(root, "{s:i, s:b, s:I, s:I, s:o, s:o, s:o, s:o}", "format", &format, "complete",
                    &complete, "lsn", &lsn, "commit_us", &commit_us, "domains", &domains, "partitions",
                    &parts, "late", &late, "snapshot", &snapshot) != 0)
        return bad(err);
    if (!same_topic(ends, feed->set->transaction_topic))
        return err_set(err, ERR_CONFIG,
                       "source.debezium.transaction_topic is %s, the target was filled with %s: what was "
                       "promised cannot "
                       "be changed while a pipeline runs",
                       feed->set->transaction_topic != NULL ? feed->set->transaction_topic : "not set",
                       ends != NULL ? ends : "none");
    feed->complete = complete != 0;
    feed->streamed = feed->complete || json_is_true(json_object_get(root, "streamed"));
    feed->lsn = (lsn_t)lsn;
    feed->commit_us = commit_us;
    feed->connector = connector != NULL ? xstrdup(connector) : NULL;
    feed->server = server != NULL ? xstrdup(server) : NULL;
    size_t i;
    json_array_foreach(parts, i, item)
    {
        if (!read_part(feed, item, err))
            return false;
    }
    feed->told_parts = feed->part_count;
    return read_domains(feed, domains, err) && read_late(feed, late, err) &&
           read_snapshot(feed, snapshot, err);
}

bool foreign_state_read(struct foreign_feed *feed, const char *text, struct err *err)
{
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    bool ok = root != NULL ? read_root(feed, root, err) : bad(err);
    json_decref(root);
    return ok;
}
