/*
 * Connections of a comparison: settings under which equal values have equal texts on every server, and one
 * read-only transaction with a fixed snapshot in which all is read. PostgreSQL or MariaDB by the URL; a dialect is one
 * folder (postgres/, mariadb/), its functions a table (session_impl.h). For this module, and the store of a cutover
 * (cutover/store/).
 * @thread: a session has one owner at a time; session_cancel from any.
 */
#ifndef COMPARE_SESSION_H
#define COMPARE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/strbuf.h"

enum side { SIDE_SOURCE = 0, SIDE_TARGET = 1, SIDE_COUNT = 2 };
enum dialect_kind { DIALECT_UNKNOWN = 0, DIALECT_POSTGRES, DIALECT_MARIADB };

#define HASH_BYTES 32 /* SHA-256 */

struct session; /* one connection to one side */
struct rowset;  /* the rows of one statement, as text */

/* Parameters are text, NULL = null; they stand as $1, $2 … in the SQL of either dialect. */
struct statement {
    struct strbuf sql;
    int param_count;
    const char *const *params;
};

/* "source" */
const char *side_name(enum side side);
/* By the scheme of the URL. */
enum dialect_kind dialect_of_url(const char *url);

/* side_name stands in messages: "source". */
bool session_open(const char *url, const char *side_name, const char *pipeline, struct session **ret,
                  struct err *err) MUST_CHECK;
void session_close(struct session *s); /* NULL allowed */
enum dialect_kind session_dialect(const struct session *s);
/* "PostgreSQL 15.3, database shop" */
const char *session_server(const struct session *s);
const char *session_database(const struct session *s);
/* 150003 for PostgreSQL 15.3; 101106 for MariaDB 10.11.6 */
int session_version(const struct session *s);
/* How many hashes of HASH_BYTES the server can put into one value. */
int64_t session_hashes_most(const struct session *s);

/* A read-only transaction with a fixed snapshot. PostgreSQL: this exported snapshot, or (NULL) a new one, taken by the
 * next statement. MariaDB: always a new one, taken now; naming one is an error. */
bool session_begin(struct session *s, const char *snapshot, struct err *err) MUST_CHECK;
/* A place to come back to after a failed statement: the snapshot stays. */
bool session_savepoint(struct session *s, struct err *err) MUST_CHECK;
/* After a failed statement. False: snapshot or connection are gone, and every later statement fails with ERR_CONNECT. */
bool session_recover(struct session *s, struct err *err) MUST_CHECK;
/* Most time of one statement from now on; 0 = no limit. */
bool session_limit_time(struct session *s, int64_t ms, struct err *err) MUST_CHECK;

/* A statement whose rows do not matter. */
bool session_exec(struct session *s, const char *sql, struct err *err) MUST_CHECK;
bool session_query(struct session *s, const struct statement *st, struct rowset **ret,
                   struct err *err) MUST_CHECK;
bool session_ask(struct session *s, const char *sql, int param_count, const char *const *params,
                 struct rowset **ret, struct err *err) MUST_CHECK;
/* The first row's first column; malloc'd, NULL for null or without a row. */
bool session_text(struct session *s, const char *sql, int param_count, const char *const *params, char **ret,
                  struct err *err) MUST_CHECK;
/* …; 0 for null or without a row. */
bool session_int64(struct session *s, const char *sql, int param_count, const char *const *params,
                   int64_t *ret, struct err *err) MUST_CHECK;

/* Asynchronous: send, then poll until it is there; in between wait until session_socket() can be read. */
enum session_poll { SESSION_ERROR = 0, SESSION_WAIT, SESSION_READY };
bool session_send(struct session *s, const struct statement *st, struct err *err) MUST_CHECK;
enum session_poll session_poll(struct session *s, struct rowset **ret, struct err *err);
int session_socket(const struct session *s);
/* What was sent has not been answered: nothing else can be asked, and who waits no longer can only close it. */
bool session_busy(const struct session *s);
/* Asks the server to end the running statement; MariaDB is asked on a connection of its own. @thread any */
void session_cancel(struct session *s);

/* What a column holds, as far as it decides how its text reads; OTHER: every server prints it in its own way. */
enum column_kind {
    COLUMN_OTHER = 0,
    COLUMN_TEXT,
    COLUMN_CHAR, /* padded with blanks */
    COLUMN_NUMBER,
    COLUMN_FLOAT, /* double precision */
    COLUMN_SINGLE,
    COLUMN_BOOL,
    COLUMN_TIME,
    COLUMN_BYTES
};

int rowset_rows(const struct rowset *rs);
int rowset_columns(const struct rowset *rs);
const char *rowset_column_name(const struct rowset *rs, int column);
enum column_kind rowset_column_kind(const struct rowset *rs, int column);
bool rowset_is_null(const struct rowset *rs, int row, int column);
/* "" for null. */
const char *rowset_cell(const struct rowset *rs, int row, int column);
size_t rowset_cell_len(const struct rowset *rs, int row, int column);
int64_t rowset_int64(const struct rowset *rs, int row, int column);
bool rowset_bool(const struct rowset *rs, int row, int column); /* PostgreSQL's t, MariaDB's 1 */
void rowset_free(struct rowset *rs);                            /* NULL allowed */
void rowset_cleanup(struct rowset **rs);
#define ROWSET_AUTO CLEANUP(rowset_cleanup) struct rowset *

/* The two connections of a worker. */
struct pair {
    struct session *session[SIDE_COUNT];
    int64_t took_us[SIDE_COUNT]; /* by the last pair_query(): from sending until the side's rows were there */
};

/* Runs one statement on each side at the same time. After a failure both sides are recovered (if they can
 * be). The error names the side. */
bool pair_query(struct pair *pair, const struct statement statements[SIDE_COUNT],
                struct rowset *ret[SIDE_COUNT], struct err *err) MUST_CHECK;
void pair_results_free(struct rowset *results[SIDE_COUNT]);
/* Whole tables are going to be read (their pages in their order are the fastest way), or no longer. */
bool pair_scan_whole(struct pair *pair, bool whole, struct err *err) MUST_CHECK;
void pair_close(struct pair *pair);

#endif
