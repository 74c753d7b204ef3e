/*
 * Private to lib/maria/binlog: the tables whose rows were met, their shapes, and the numbers under which a statement's rows name them.
 */
#ifndef MARIA_BINLOG_TABLES_H
#define MARIA_BINLOG_TABLES_H

#include "maria/binlog/shape.h"

struct known_table {
    bool wanted;
    struct table_map map; /* as are shape and schema: only of wanted ones */
    struct shape shape;
};

struct tables_options {
    struct shape_options shape;
    struct maria_conn *catalog;
    struct charsets *sets;
    bool (*wanted)(void *ctx, const char *database, const char *table);
    void *wanted_ctx;
};

struct tables;

struct tables *tables_new(const struct tables_options *options);
void tables_free(struct tables *tables); /* NULL allowed */
/* A TABLE_MAP event: from here on rows with this number are of this table. */
bool tables_map(struct tables *tables, uint64_t table_id, struct binlog_span body,
                struct err *err) MUST_CHECK;
/* ERR_PROTOCOL: no such number. */
bool tables_find(struct tables *tables, uint64_t table_id, struct known_table **ret,
                 struct err *err) MUST_CHECK;
/* The statement is over: its numbers mean nothing any more. */
void tables_end_statement(struct tables *tables);
/* A statement that may have altered tables. ERR_SCHEMA: it names one of which rows were read by what the catalog said later than that. */
bool tables_altered(struct tables *tables, struct gtid gtid, struct binlog_span text,
                    struct err *err) MUST_CHECK;

#endif
