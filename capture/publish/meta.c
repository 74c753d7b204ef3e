/* Owns: the metadata records of a stream. See meta.h. */
#include "capture/publish/meta.h"

#include <stdlib.h>
#include <string.h>

#include "capture/stream/stream_internal.h"
#include "core/alloc.h"

struct topic {
    bool registered;
    struct cap_stream_ids ids;
};

struct cap_meta {
    const struct cap_session *session;
    struct topic topics[META_KINDS_];
    /* Of the transaction at hand. */
    uint64_t serial; /* BEGIN was written for this one */
    struct meta_collection *tables;
    size_t table_count, table_cap;
    uint64_t messages;
    int64_t last_heartbeat_us; /* mono; 0 = none yet */
};

struct cap_meta *cap_meta_new(const struct cap_session *s)
{
    struct cap_meta *meta = xcalloc(1, sizeof *meta);
    meta->session = s;
    return meta;
}

static void forget_tables(struct cap_meta *meta)
{
    for (size_t i = 0; i < meta->table_count; i++)
        free(meta->tables[i].name);
    meta->table_count = 0;
}

void cap_meta_free(struct cap_meta *meta)
{
    if (meta == NULL)
        return;
    forget_tables(meta);
    free(meta->tables);
    free(meta);
}

/* Made with the first record of its kind. */
static bool use_topic(struct cap_meta *meta, enum meta_kind kind, struct topic **ret, struct err *err)
{
    const struct cap_settings *settings = meta->session->settings;
    char *key_json CLEANUP(free_ptr) = NULL;
    char *value_json CLEANUP(free_ptr) = NULL;
    struct topic *topic = *ret = &meta->topics[kind];
    if (topic->registered)
        return true;
    char *name CLEANUP(free_ptr) = meta_topic(kind, settings->topic_prefix);
    meta_schema_texts(kind, settings->codec, &key_json, &value_json);
    topic->registered =
        cap_publisher_register(meta->session->publisher, name, NULL, key_json, value_json, &topic->ids, err);
    return topic->registered;
}

static bool put(struct cap_meta *meta, struct cap_batch *batch, const struct meta_event *event,
                struct err *err)
{
    const struct codec_ops *codec = meta->session->settings->codec;
    struct strbuf key = STRBUF_INIT(CAP_MESSAGE_BYTES_MAX), value = STRBUF_INIT(CAP_MESSAGE_BYTES_MAX);
    struct topic *topic;
    bool ok =
        use_topic(meta, event->kind, &topic, err) &&
        meta_encode(codec, event, topic->ids.key_schema_id, topic->ids.value_schema_id, &key, &value, err);
    if (ok) {
        struct cap_record *rec = cap_batch_add(batch, topic->ids.stream);
        rec->meta = true;
        if (strcmp(codec->name, "json") == 0) /* Avro carries the id in its framing */
            rec->schema_id = topic->ids.value_schema_id;
        rec->key_at = (uint32_t)batch->bytes.len;
        rec->key_len = (uint32_t)key.len;
        strbuf_add(&batch->bytes, key.data, key.len);
        rec->value_at = (uint32_t)batch->bytes.len;
        rec->value_len = (uint32_t)value.len;
        strbuf_add(&batch->bytes, value.data, value.len);
        ok = strbuf_ok(&batch->bytes, "batch of records", err);
    }
    strbuf_release(&key);
    strbuf_release(&value);
    return ok;
}

static struct meta_event new_event(const struct cap_stream *st, enum meta_kind kind)
{
    return (struct meta_event){
        .kind = kind,
        .source = {.server = st->session->settings->topic_prefix,
                   .database = pg_database(st->session->stream),
                   .commit_lsn = st->txn.commit_lsn,
                   .previous_commit_lsn = st->previous_commit_lsn,
                   .xid = st->txn.xid,
                   .commit_time_us = st->txn.commit_time_us},
        .captured_us = st->now_wall_us,
    };
}

/* --- transactions --- */

static bool begin(struct cap_stream *st, struct err *err)
{
    struct cap_meta *meta = st->meta;
    if (meta->serial == st->txn.serial)
        return true;
    meta->serial = st->txn.serial;
    meta->messages = 0;
    forget_tables(meta);
    if (!st->session->settings->transaction_topic)
        return true;
    struct meta_event event = new_event(st, META_TRANSACTION);
    st->batch->tail_commit_lsn = st->txn.commit_lsn;
    return put(meta, st->batch, &event, err);
}

bool cap_meta_change(struct cap_stream *st, struct cap_relation *rel, struct err *err)
{
    struct cap_meta *meta = st->meta;
    if (!st->session->settings->transaction_topic)
        return true;
    if (!begin(st, err))
        return false;
    if (rel->meta_serial != st->txn.serial) {
        rel->meta_serial = st->txn.serial;
        if (meta->table_count == meta->table_cap) {
            meta->table_cap = meta->table_cap != 0 ? 2 * meta->table_cap : 16;
            meta->tables = xrealloc(meta->tables, meta->table_cap * sizeof *meta->tables);
        }
        rel->meta_index = meta->table_count;
        meta->tables[meta->table_count++] =
            (struct meta_collection){.name = xasprintf("%s.%s", rel->schema, rel->table)};
    }
    meta->tables[rel->meta_index].changes++;
    return true;
}

bool cap_meta_commit(struct cap_stream *st, struct err *err)
{
    struct cap_meta *meta = st->meta;
    struct meta_event event = new_event(st, META_TRANSACTION);
    event.end = true;
    event.changes = st->txn.total_order;
    event.collections = meta->tables;
    event.collection_count = meta->table_count;
    bool begun = st->session->settings->transaction_topic && meta->serial == st->txn.serial;
    return (!begun || put(meta, st->batch, &event, err)) && cap_meta_heartbeat(st, st->batch, err);
}

/* --- heartbeats --- */

bool cap_meta_heartbeat(struct cap_stream *st, struct cap_batch *batch, struct err *err)
{
    struct cap_meta *meta = st->meta;
    const struct cap_settings *settings = st->session->settings;
    if (!settings->heartbeat_topic ||
        (meta->last_heartbeat_us != 0 && st->now_us - meta->last_heartbeat_us < settings->heartbeat_us))
        return true;
    meta->last_heartbeat_us = st->now_us;
    struct meta_event event = new_event(st, META_HEARTBEAT);
    return put(meta, batch, &event, err);
}

/* --- logical messages --- */

static bool put_message(struct cap_stream *st, const struct pgoutput_message *m, struct err *err)
{
    struct cap_meta *meta = st->meta;
    struct meta_event event = new_event(st, META_MESSAGE);
    event.source.lsn = m->message.lsn;
    event.message_prefix = m->message.prefix;
    event.content = m->message.content;
    event.content_len = m->message.content_len;
    if (m->message.transactional) {
        event.total_order = st->txn.total_order;
        event.message_order = ++meta->messages;
    } else {
        event.source.commit_lsn = 0;
        event.source.previous_commit_lsn = m->message.lsn;
        event.source.commit_time_us = st->last_commit_time_us;
    }
    return put(meta, st->batch, &event, err);
}

bool cap_meta_message(struct cap_stream *st, const struct pgoutput_message *m, struct err *err)
{
    if (!st->session->settings->message_topic || strcmp(m->message.prefix, "crossfade") == 0)
        return true;
    if (m->message.transactional) {
        if (!st->txn.open)
            return err_set(err, ERR_PROTOCOL, "a transaction's message outside of it: lsn=" LSN_FMT,
                           LSN_ARGS(m->message.lsn));
        if (st->txn.skip || st->txn.left_out)
            return true;
        st->batch->tail_commit_lsn = st->txn.commit_lsn;
        return begin(st, err) && put_message(st, m, err) && cap_stream_make_room(st, err);
    }
    /* It stands in the WAL at its own LSN, before every transaction that commits later: a fence there is a state like any other,
     * and a restart from it does not bring the message again. */
    if (st->txn.open)
        return err_set(err, ERR_PROTOCOL, "a message outside of transactions inside of one: lsn=" LSN_FMT,
                       LSN_ARGS(m->message.lsn));
    if (m->message.lsn <= st->start_lsn)
        return true;
    if (!cap_stream_check_history(st, m->message.lsn, err) || !put_message(st, m, err))
        return false;
    st->seen_lsn = MAX_OF(st->seen_lsn, m->message.lsn);
    cap_batch_end_transaction(st->batch, m->message.lsn, m->message.lsn, st->last_commit_time_us, NULL);
    st->batch->bounds[st->batch->bound_count - 1].synthetic = true;
    return cap_stream_make_room(st, err);
}
