/*
 * The MariaDB target's own structs. Files: mariadb.c (life, transaction, position), conn.c (session, queries),
 * lock.c (one writer at a time), prepare*.c (prepare.h: does a table fit?), plan.c (may this field go into this column, and how?),
 * values.c, times.c, arrays.c (one value), stmt.c (prepared statements over arrays of rows), sql.c (their texts), set.c (ways of
 * writing), clean.c (emptying tables), writers.c (several writers, XA), shards.c (another number of them), letters.c, letters_desk.c (dead letters), loader.c, loader_look.c,
 * loader_file.c (direct loads: target/loader.h), conflicts*.c (watch.h: tables written on both sides).
 *
 * Which table: the source's schema `public` is the URL's database, any other schema is the database of that name. Control tables
 * (crossfade_position, crossfade_loaded, crossfade_release, crossfade_dead_letter) lie in the URL's database, so that a dump of it holds rows and position,
 * and so that a role with rights on nothing else is enough.
 *
 * Rows go as arrays of parameters of prepared statements (COM_STMT_BULK_EXECUTE), values in binary form or as text with their type
 * told. Measured with MariaDB 10.11, 200,000 rows of 120 bytes, one connection, thousands of rows a second:
 *     INSERT: array 270, LOAD DATA LOCAL 320 · upsert: array ON DUPLICATE KEY 150, LOAD DATA into a temporary table and
 *     INSERT … SELECT 95 to 190 by its engine · UPDATE by key: array 130, join with a temporary table 160 to 220 · DELETE: array 130
 * LOAD DATA LOCAL turns what strict mode and unique keys refuse into warnings, and a client that allows it can be asked by the server for
 * any of its files. Apply does not use it. A direct load does (loader_file.c): its connections answer with the rows at hand or not at all,
 * and any warning fails the chunk.
 */
#ifndef TARGET_MARIADB_H
#define TARGET_MARIADB_H

#include <mysql.h>
#include <pthread.h>

#include "core/strbuf.h"
#include "maria/connect.h"
#include "maria/quote.h"
#include "pg/types/write.h"
#include "target/crew.h"
#include "target/loader.h"

#define MD_MAX_COLUMNS 4096
#define MD_TEXT_MAX    ((size_t)1100 << 20) /* a value's text: PostgreSQL has up to 1 GB */
/* Prepared statements of a session: the server has 16382 by default, for all sessions (max_prepared_stmt_count). */
#define MD_STATEMENTS_MAX 1000
/* Tables that information_schema is asked about at once, and fields that they have in all (one table may have more). */
#define MD_PREPARE_TABLES 100
#define MD_PREPARE_FIELDS 20000
/* Rows and bytes of one array. */
#define MD_ARRAY_ROWS  2000
#define MD_ARRAY_BYTES ((size_t)4 << 20)

/* What a column of the source is, as far as it matters here. */
enum md_source {
    MD_SRC_UNKNOWN = 0,
    MD_SRC_BOOL,
    MD_SRC_INT2,
    MD_SRC_INT4,
    MD_SRC_INT8,
    MD_SRC_FLOAT4,
    MD_SRC_FLOAT8,
    MD_SRC_NUMERIC,
    MD_SRC_MONEY,
    MD_SRC_BYTES,
    MD_SRC_DATE,
    MD_SRC_TIME,
    MD_SRC_TIMESTAMP,
    MD_SRC_TIMESTAMPTZ,
    MD_SRC_UUID,
    MD_SRC_JSON,
    MD_SRC_BIT,
    MD_SRC_INET,
    MD_SRC_ARRAY,
    MD_SRC_BPCHAR,
    MD_SRC_ENUM,
    MD_SRC_TEXT, /* characters of the user's */
    MD_SRC_OTHER /* known by its text form only */
};

enum md_type {
    MD_TYPE_UNKNOWN = 0,
    MD_TINYINT,
    MD_SMALLINT,
    MD_MEDIUMINT,
    MD_INT,
    MD_BIGINT,
    MD_DECIMAL,
    MD_FLOAT,
    MD_DOUBLE,
    MD_BIT,
    MD_CHAR,
    MD_VARCHAR,
    MD_TEXT, /* tinytext to longtext, json */
    MD_ENUM,
    MD_BINARY,
    MD_VARBINARY,
    MD_BLOB, /* tinyblob to longblob */
    MD_DATE,
    MD_TIME,
    MD_DATETIME,
    MD_TIMESTAMP,
    MD_UUID,
    MD_INET4,
    MD_INET6
};

/* How a parameter travels. */
enum md_bind { MD_BIND_INT = 0, MD_BIND_FLOAT, MD_BIND_DOUBLE, MD_BIND_DECIMAL, MD_BIND_TEXT, MD_BIND_BYTES };

/* One value on its way: a number, or bytes appended to `bytes`. */
struct md_value {
    int64_t i;
    double f;
    struct strbuf *bytes;
};

/* OK; UNFIT: the column cannot hold it (*err says why; with `nearest` the value holds what comes nearest); FAILED: *err. */
enum md_put { MD_PUT_OK = 0, MD_PUT_UNFIT, MD_PUT_NEAREST, MD_PUT_FAILED };

struct md_column;
typedef enum md_put md_put_fn(const struct md_column *col, const struct datum *value, struct md_value *out,
                              struct err *err);

struct md_column {
    const struct field *field;
    size_t index; /* of the field in the schema, and in rows */
    bool key;
    bool nullable;
    enum md_source source;
    /* The column, as information_schema has it. */
    enum md_type type;
    char *type_text; /* "decimal(10,2)" */
    bool is_unsigned, json;
    bool utf8mb4;     /* of text */
    bool exact_order; /* its collation tells all characters apart */
    bool pads;        /* … but not trailing blanks */
    int64_t max_chars, max_bytes;
    int precision, scale, digits;
    const char *latest; /* TIMESTAMP: its last second; NULL = 9999-12-31 23:59:59 */
    char **labels;      /* ENUM */
    size_t label_count;
    /* The way of a value. */
    enum md_bind bind;
    md_put_fn *put;
    bool plain_text;              /* the datum's string is PostgreSQL's text form */
    struct pg_column_writer text; /* makes it otherwise */
    enum target_unfit unfit;
    bool told; /* that the rule has changed a value: once a column and process */
};

/* A parameter: of which column, and from which row. */
struct md_ref {
    struct md_column *col;
    bool old;
};

struct md_table;
struct md_stmt {
    MYSQL_STMT *stmt; /* NULL: not prepared yet */
    struct md_table *tab;
    struct md_ref *refs;
    size_t ref_count;
    bool single;            /* the server takes no arrays for it: INSERT … SELECT */
    int64_t touched;        /* rows found since md_stmt_start */
    struct md_stmts *among; /* while it is prepared; the one used last is the first */
    struct md_stmt *newer, *older;
};

/* The prepared statements of a session. */
struct md_stmts {
    struct md_stmt *newest, *oldest;
    size_t count;
};

/* Rows that wait for one statement, column-wise as the client library wants them: the values of parameter p are at cells
 * p * rows_max and up. One buffer for all statements: one is filled at a time. */
#define MD_CELLS 40000
struct md_array {
    size_t rows, rows_max;
    struct strbuf bytes;
    char *indicators;
    union {
        int64_t i;
        double f8;
        char *p; /* set when all is there: bytes may move */
    } * values;
    float *floats; /* theirs are packed */
    size_t *offsets;
    unsigned long *lengths;
};

/* Which columns an UPDATE has values for. Index = column of the table. */
struct md_set {
    bool *present;
    bool may_miss;
    bool moves;
    struct md_stmt update, hold;
};

struct md_watch;
struct md_halt;
struct md_table {
    struct target_table base;
    char *database;
    char *name; /* quoted, with database */
    unsigned id;
    struct md_column *columns;
    size_t column_count;
    size_t *key; /* columns of the key, in key order */
    size_t key_count;
    bool one_unique; /* the key's is the only unique index: ON DUPLICATE KEY can mean nothing else */
    bool loaded, loading;
    bool emptied; /* in this transaction */
    bool touched; /* in md_target.touched */
    struct md_stmt insert, upsert, remove;
    struct md_set **sets;
    size_t set_count;
    struct md_watch *watch; /* it is looked at for conflicts (watch.h); NULL = not yet */
    bool held;              /* the hold is there (sql.c) */
};

struct md_target {
    struct target base;
    MYSQL *my;
    pthread_mutex_t lock; /* of fd, for cancel */
    int fd;
    char *pipeline;
    char *shard;
    unsigned writer;    /* beside the lead, from 1; 0 = the lead */
    bool crewed;        /* there are several */
    bool loads;         /* it is a direct load's */
    bool xa_prepared;   /* the writer's transaction */
    char token[48];     /* … and its name */
    char lock_name[48]; /* of the pipeline and shard: a hash */
    char *database;
    char *offsets; /* as position() last read them */
    bool truncate_nonempty;
    struct target_unfit_rules unfit;
    bool in_transaction, begun;
    uint64_t attempt;
    bool caseless;       /* names of tables are equal but for case (lower_case_table_names) */
    bool namesake;       /* a schema of the source is called like the URL's database */
    char latest[20];     /* the last second of a TIMESTAMP: 2038, since 11.5 2106 */
    size_t array_bytes;  /* an array that has so many is sent */
    size_t packet_bytes; /* the most that the server takes at once */
    struct md_array array;
    struct md_stmts stmts;
    struct pg_type_catalog *types;
    bool position_found; /* what this process read or wrote last */
    struct target_position last;
    struct md_table **tables;
    size_t table_count;
    struct md_halt *halt;      /* conflicts that need a person; NULL = none */
    struct md_table **touched; /* since the transaction began: what has to be looked at when it ends */
    size_t touched_count, touched_cap;
    size_t temporary_count; /* tables that have temporary ones */
    bool temporaries_stale; /* some are of a shape that is no more */
};

/* mariadb.c */
/* Also of a target that was not opened whole. */
void md_close(struct target *tgt);
bool md_open_as(const struct target_options *options, unsigned writer, struct md_target **ret,
                struct err *err) MUST_CHECK;
/* For a direct load: without the pipeline's lock, which apply holds. */
bool md_open_loading(const struct target_options *options, struct md_target **ret,
                     struct err *err) MUST_CHECK;
/* Runs each statement of the file; they end with ";\n". */
bool md_run_script(struct md_target *mt, const char *script, struct err *err) MUST_CHECK;
void md_forget_transaction(struct md_target *mt, bool committed);
void md_add_ours(struct strbuf *sb, const struct md_target *mt, const char *between);
/* Commits with the position as pending. */
bool md_decide(struct target *lead, const struct target_position *position, const char *token,
               struct err *err) MUST_CHECK;

/* writers.c */
extern const struct target_crew_ops md_crew;
bool md_xa_start(struct md_target *mt, struct err *err) MUST_CHECK;
/* Out of the writer's transaction, prepared or not. */
bool md_xa_abandon(struct md_target *mt, struct err *err) MUST_CHECK;

/* conn.c */
struct md_rows {
    MYSQL_RES *res;
    char **cell; /* of the row at hand, NULL = null */
};
bool md_connect(struct md_target *mt, const char *url, struct err *err) MUST_CHECK;
void md_disconnect(struct md_target *mt);
bool md_exec(struct md_target *mt, const char *sql, struct err *err) MUST_CHECK;
/* As md_exec; *ret_touched = rows found (not: changed). */
bool md_exec_count(struct md_target *mt, const char *sql, int64_t *ret_touched, struct err *err) MUST_CHECK;
bool md_query(struct md_target *mt, const char *sql, struct md_rows *ret, struct err *err) MUST_CHECK;
bool md_next(struct md_rows *rows);
void md_rows_end(struct md_rows *rows);
#define MD_ROWS CLEANUP(md_rows_end) struct md_rows
/* The first column of the first row as a number, 0 without a row. */
bool md_query_int64(struct md_target *mt, const char *sql, int64_t *ret, struct err *err) MUST_CHECK;
/* Before a commit: ERR_CONNECT if statements met tables that are not as they were when this session looked at them. */
bool md_check_unaltered(struct md_target *mt, struct err *err) MUST_CHECK;
/* BEGIN, if it was not sent yet. */
bool md_begun(struct md_target *mt, struct err *err) MUST_CHECK;
/* Puts the table in front of a message; always false. */
bool md_table_err(const struct md_table *tab, struct err *err);

/* temporary.c: temporary tables last as long as the session; between transactions they go when they are many, or out of use. */
/* Some of tab's were made just now, and it had none. */
void md_temporary_made(struct md_target *mt, const struct md_table *tab);
/* Not in a transaction. */
bool md_temporary_tidy(struct md_target *mt, struct err *err) MUST_CHECK;

/* lock.c: ERR_BUSY while another apply of this pipeline's shard is connected. */
bool md_take_lock(struct md_target *mt, struct err *err) MUST_CHECK;

/* shards.c: what another number of shards has left becomes ours, or ERR_CONFIG. */
bool md_change_shards(struct md_target *mt, const struct target_options *options, struct err *err) MUST_CHECK;

/* plan.c: ERR_SCHEMA says why not. The column's description is filled. */
bool md_plan(struct md_target *mt, struct md_column *col, struct err *err) MUST_CHECK;
void md_column_release(struct md_column *col);

/* values.c, times.c, arrays.c */
md_put_fn md_put_bool, md_put_int, md_put_float, md_put_decimal, md_put_text, md_put_bytes, md_put_date,
    md_put_time, md_put_datetime, md_put_uuid, md_put_uuid_bytes, md_put_enum, md_put_bit, md_put_inet,
    md_put_array;
/* Sets *err for a value that does not fit, and returns MD_PUT_UNFIT. */
enum md_put md_unfit(struct err *err, const char *sqlstate, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* PostgreSQL's text form of the value appended to out; *ret_text points to it (out may move with the next one). */
bool md_text_form(const struct md_column *col, const struct datum *value, struct strbuf *out,
                  const char **ret_text, size_t *ret_len, struct err *err) MUST_CHECK;

/* sql.c: texts, and which parameters they have (appended to st->refs). */
void md_sql_insert(struct strbuf *sb, struct md_table *tab, struct md_stmt *st);
void md_sql_upsert(struct strbuf *sb, struct md_table *tab, struct md_stmt *st);
void md_sql_delete(struct strbuf *sb, struct md_table *tab, struct md_stmt *st);
void md_sql_update(struct strbuf *sb, struct md_table *tab, const struct md_set *set, struct md_stmt *st);
void md_sql_create_hold(struct strbuf *sb, const struct md_table *tab);
void md_sql_hold(struct strbuf *sb, struct md_table *tab, const struct md_set *set, struct md_stmt *st);
void md_sql_hold_name(struct strbuf *sb, const struct md_table *tab);
void md_sql_unhold(struct strbuf *sb, const struct md_table *tab);
bool md_set_changes(const struct md_table *tab, const struct md_set *set);

/* stmt.c */
enum md_kind { MD_INSERT, MD_UPSERT, MD_DELETE, MD_UPDATE, MD_HOLD, MD_STAGE };
/* The statement, prepared if need be, with nothing in it. */
bool md_stmt_start(struct md_target *mt, struct md_table *tab, enum md_kind kind, struct md_set *set,
                   struct md_stmt **ret, struct err *err) MUST_CHECK;
/* One value on its way into a column, by target.unfit where it does not fit; ERR_DATA names the row. out->bytes: appended to. */
bool md_value_of(struct md_table *tab, struct md_column *col, const struct target_row *row,
                 const struct datum *value, struct md_value *out, bool *ret_null, struct err *err) MUST_CHECK;
/* ERR_DATA (23502) names the row that has NULL for this column, if that must not be. */
bool md_check_null(const struct md_table *tab, const struct md_column *col, const struct target_row *row,
                   struct err *err) MUST_CHECK;
/* Puts a row into the array, which is sent when it is full. */
bool md_stmt_add(struct md_target *mt, struct md_stmt *st, const struct target_row *row,
                 struct err *err) MUST_CHECK;
bool md_stmt_flush(struct md_target *mt, struct md_stmt *st, struct err *err) MUST_CHECK;
/* One row, alone: an error names it. must_find: it must be there. */
bool md_stmt_one(struct md_target *mt, struct md_table *tab, enum md_kind kind, struct md_set *set,
                 const struct target_row *row, bool must_find, struct err *err) MUST_CHECK;
void md_stmt_release(struct md_stmt *st);
/* Every row that was to be changed must have been there. */
bool md_all_found(const struct md_table *tab, int64_t found, int64_t wanted, struct err *err) MUST_CHECK;
/* For messages: how a row is named without showing its key. SHA-256 over the text forms of the key's columns with ',' between
 * them, first 16 hexadecimal digits: LEFT(SHA2(CONCAT_WS(',', a, b), 256), 16). */
void md_key_hash(const struct md_table *tab, const struct target_row *row, char out[17]);

/* cascades.c: logs which foreign keys of a source would change rows unseen. */
bool md_tell_cascades(struct md_target *mt, const struct md_table *tab, struct err *err) MUST_CHECK;

/* prepare.c */
bool md_prepare(struct target *tgt, const struct table_schema *const *schemas, size_t count,
                struct target_table **ret, struct err *err) MUST_CHECK;
void md_table_free(struct md_table *tab);
/* By information_schema's DATA_TYPE; MD_TYPE_UNKNOWN. */
enum md_type md_type_named(const char *name);
/* Where a table of the source lies: `database`.`table`. */
const char *md_database_of(const struct md_target *mt, const char *schema);
void md_add_table_name(struct strbuf *sb, const struct md_target *mt, const char *schema, const char *table);

/* set.c */
bool md_write_set(struct md_target *mt, enum target_mode mode, const struct target_batch *batches,
                  size_t count, struct err *err) MUST_CHECK;
bool md_write_ordered(struct md_target *mt, const struct target_batch *batches, size_t count,
                      struct err *err) MUST_CHECK;

/* loader_file.c: whatever file the server asks for, it does not get one. */
void md_file_refuse(struct md_target *mt);

/* loader_look.c */
/* Have the control tables of direct loads been made? */
bool md_direct_there(struct md_target *mt, bool *ret, struct err *err) MUST_CHECK;
bool md_direct_look(struct target *tgt, uint64_t attempt, struct target_direct *ret,
                    struct err *err) MUST_CHECK;

/* clean.c */
/* The table is about to be written in this transaction. */
void md_touch(struct md_target *mt, struct md_table *tab);
/* Notes the batches' tables as filled by this pipeline; before its first copy a table is empty, or is emptied. */
bool md_ensure_loaded(struct md_target *mt, const struct target_batch *batches, size_t count,
                      struct err *err) MUST_CHECK;
bool md_empty(struct md_target *mt, struct md_table *tab, struct err *err) MUST_CHECK;
bool md_reset(struct md_target *mt, struct err *err) MUST_CHECK;

#endif
