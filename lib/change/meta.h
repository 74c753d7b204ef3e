/*
 * Records of Debezium's that are no changes of rows, each kind in a topic of its own:
 *   transaction  <prefix>.transaction            BEGIN and END of each transaction that changed something
 *   heartbeat    __debezium-heartbeat.<prefix>
 *   message      <prefix>.message                logical messages (pg_logical_emit_message), op m
 * Their schemas never change. No fence names these topics: apply, verify and compare never see them, yet their
 * records stand in the same units as the changes around them.
 * Facts were read off recorded output of Debezium 3.1 (PostgreSQL connector).
 */
#ifndef CHANGE_META_H
#define CHANGE_META_H

#include "change/change.h"
#include "change/codec.h"

enum meta_kind { META_TRANSACTION = 0, META_HEARTBEAT, META_MESSAGE, META_KINDS_ };

/* malloc'd */
char *meta_topic(enum meta_kind kind, const char *topic_prefix);
/* META_KINDS_ = the topic is none of them. */
enum meta_kind meta_kind_of(const char *topic_prefix, const char *topic);

struct meta_collection {
    char *name; /* schema.table */
    uint64_t changes;
};

struct meta_event {
    enum meta_kind kind;
    struct change_source source; /* commit_lsn 0: a message outside of transactions */
    int64_t captured_us;
    /* transaction */
    bool end;
    uint64_t changes;
    const struct meta_collection *collections;
    size_t collection_count;
    /* message; the orders: of the change before it, and among the transaction's messages */
    const char *message_prefix, *content;
    size_t content_len;
    uint64_t total_order, message_order;
};

/* For the schema store, in the codec's language. malloc'd. */
void meta_schema_texts(enum meta_kind kind, const struct codec_ops *codec, char **ret_key, char **ret_value);
/* Appends key and value; ids are those of the schema store. ERR_DATA: a prefix that is not UTF-8. */
bool meta_encode(const struct codec_ops *codec, const struct meta_event *event, uint32_t key_id,
                 uint32_t value_id, struct strbuf *key, struct strbuf *value, struct err *err) MUST_CHECK;
/* An Avro record's key or value as JSON, for people. Input is untrusted (ERR_PROTOCOL). */
bool meta_show(enum meta_kind kind, bool is_key, const void *bytes, size_t len, struct strbuf *out,
               struct err *err) MUST_CHECK;

#endif
