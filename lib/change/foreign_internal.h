/* What the files of the foreign decoder share: foreign.c (schemas, tables, events), foreign_meta.c (the transaction
 * topic), foreign_key.c (keys). */
#ifndef CHANGE_FOREIGN_INTERNAL_H
#define CHANGE_FOREIGN_INTERNAL_H

#include "change/envelope.h"
#include "change/foreign.h"

/* A schema of a key or a value, as first seen. */
struct foreign_schema {
    char *text; /* JSON: of Connect; Avro: of the registry */
    size_t len;
    uint32_t id; /* Avro */
    enum foreign_kind kind;
    char **fields; /* of the struct itself: names */
    size_t field_count;
    void *meta; /* Avro, transactions: struct avro_meta */
};

/* --- foreign_meta.c --- */

/* Fills an event of the transaction topic. body: the payload, or what stands behind the frame. */
bool foreign_meta_json(const void *body, size_t len, struct arena *arena, struct foreign_event *ret,
                       struct err *err) MUST_CHECK;
bool foreign_meta_avro(struct foreign_schema *schema, const void *body, size_t len, struct arena *arena,
                       struct foreign_event *ret, struct err *err) MUST_CHECK;
void foreign_meta_free(void *meta);
/* Identity of a transaction's id: PostgreSQL's begins with the transaction number, and goes on with a place that
 * differs from record to record; others are the same in all. Never 0. */
uint64_t foreign_transaction(struct span id);

/* Place of a transaction's id among those of its domain: PostgreSQL's END, a GTID, a place in the binlog. rises: a later
 * one is never lower. */
bool foreign_order(struct span id, uint64_t *ret_domain, uint64_t *ret_order, bool *ret_rises);
/* "domain-server-number". False: not MariaDB's. */
bool foreign_gtid(struct span id, uint64_t *ret_domain, uint64_t *ret_number);
uint64_t foreign_hash(struct span text); /* never 0 */

/* --- foreign_key.c --- */

/* The key's columns of a row. NULL with an err. */
const void *foreign_key_of_row(const struct table_schema *table, const struct datum *row, struct arena *arena,
                               uint32_t *ret_len, struct err *err);
/* The same from a header (a JSON object, as SimpleHeaderConverter and JsonConverter write it). NULL: it cannot be read as
 * one, which is no error. */
const void *foreign_key_of_header(const struct table_schema *table, const void *text, size_t len,
                                  struct arena *arena, uint32_t *ret_len);

#endif
