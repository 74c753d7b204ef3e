/*
 * What the server's catalog says: character sets by the numbers of their collations, and the columns of a table where the binlog leaves
 * them out. The catalog is of now, the binlog of then: what is asked carries the position at which it held (reader.c compares).
 * @thread: one owner at a time.
 */
#ifndef MARIA_BINLOG_CATALOG_H
#define MARIA_BINLOG_CATALOG_H

#include "maria/binlog/charset.h"
#include "maria/binlog/gtid.h"
#include "maria/conn.h"

struct catalog_column {
    char *name, *data_type, *column_type; /* "enum", "enum('a','b')" */
    char *charset;                        /* NULL = none */
    uint64_t octets;                      /* most bytes of a text; 0 = not given */
    unsigned precision, scale;            /* DECIMAL; digits behind the second are in scale */
    unsigned key;                         /* place in the primary key, from 1; 0 = not in it */
    bool nullable;
};

struct catalog_table {
    struct catalog_column *columns;
    size_t count;
    bool key_prefix; /* the primary key is over beginnings of columns */
    struct gtid_list
        position; /* gtid_binlog_pos behind which this was read: it holds what the table was at some time up to then */
};

struct charsets;

/* Reads the collations; the tables of sets of one byte are asked for at first use, on `conn`, which must live as long. */
bool charsets_open(struct maria_conn *conn, struct charsets **ret, struct err *err) MUST_CHECK;
/* Without a server: only what needs no table (for decoding by itself). */
struct charsets *charsets_plain(void);
void charsets_close(struct charsets *sets); /* NULL allowed */
/* ERR_SCHEMA: there is no such collation, or set. */
bool charsets_by_collation(struct charsets *sets, uint32_t id, struct charset **ret,
                           struct err *err) MUST_CHECK;
bool charsets_by_name(struct charsets *sets, const char *name, struct charset **ret,
                      struct err *err) MUST_CHECK;

/* ERR_SCHEMA: there is no such table, or it is a view. */
bool catalog_table_read(struct maria_conn *conn, const char *database, const char *table,
                        struct catalog_table *ret, struct err *err) MUST_CHECK;
void catalog_table_release(struct catalog_table *table);

#endif
