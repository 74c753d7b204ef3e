/* What the files of a rehearsal share. Private to this folder. @thread owner */
#ifndef CUTOVER_REHEARSE_REHEARSAL_H
#define CUTOVER_REHEARSE_REHEARSAL_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/strbuf.h"
#include "maria/conn.h"
#include "pg/conn.h"
#include "rehearse.h"

#define TAG_DIGITS         8
#define ROWS_PER_TABLE_MAX INT64_C(10000)
#define ROWS_MAX           INT64_C(1000000)
#define BYTES_MAX          (INT64_C(256) << 20)

enum { OLD = 0, NEW, SIDES }; /* beside the source, beside the target */
enum { FORWARD_CAPTURE = 0, FORWARD_APPLY, BACK_CAPTURE, BACK_APPLY, ROLES };

struct rehearsal;
struct scratch;
struct table_filter;

/* One kind of server: what scratch.c asks of it. */
struct scratch_server {
    /* URLs, and the session to the pipeline's own database; that one anew. */
    bool (*connect)(struct scratch *s, struct err *err) MUST_CHECK;
    /* Nothing is changed. ERR_REFUSED with all that is missing. */
    bool (*may_be_made)(struct rehearsal *r, int side, struct err *err) MUST_CHECK;
    bool (*make)(struct scratch *s, const char *pipeline, struct err *err) MUST_CHECK;
    /* Behind `schema create`: what that leaves to people, as the pipeline's own database has it. */
    bool (*complete)(struct scratch *s, struct err *err) MUST_CHECK;
    /* One try. *ret_gone false: somebody is still going away. */
    bool (*drop)(struct scratch *s, const char *name, bool keep, bool *ret_gone, struct err *err) MUST_CHECK;
    /* Databases whose name begins so, that might be dropped and whose lock nobody holds; others' as well. */
    bool (*leftovers)(struct scratch *s, const char *begin, json_t *names, struct err *err) MUST_CHECK;
    void (*leave)(struct scratch *s); /* sessions to the scratch database are closed */
    void (*close)(struct scratch *s);
};
extern const struct scratch_server scratch_postgres, scratch_mariadb;

struct scratch {
    const struct scratch_server *server;
    const char *url;        /* the pipeline's own; owned by the configuration */
    char name[NAME_MAX];    /* of the scratch database */
    char *scratch_url;      /* never to be shown */
    struct pg_conn *admin;  /* to the pipeline's own database: makes, drops, reads */
    struct pg_conn *inside; /* to the scratch database; its lock says that this rehearsal lives */
    /* …, on MariaDB, where `maria_admin` has the lock. Whom triggers let pass is known by the user there: inside it is another one, as
     * an application is. */
    struct maria_conn *maria_admin, *maria_inside;
    char *app_url; /* never to be shown */
    bool made;     /* or it may have been: to be dropped */
};

struct rehearsal {
    const struct config *cfg;
    const struct rehearse_request *request;
    json_t *report;
    const char *pipeline;
    char tag[TAG_DIGITS + 1];
    char own_pipeline[32];
    char written[40]; /* the table of its own that it writes to, in schema public */
    struct scratch sides[SIDES];
    char folder[PATH_MAX];
    int folder_fd; /* locked while this rehearsal lives; -1 */
    char config_file[PATH_MAX + 40], seed_file[PATH_MAX + 40];
    pid_t roles[ROLES]; /* 0 = does not run */
    int64_t tables, rows, bytes;
};

void rehearsal_say(struct rehearsal *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool rehearsal_stop_asked(const struct rehearsal *r);

/* --- scratch.c: databases --- */
extern const char *const scratch_side_names[SIDES];
bool scratch_connect(struct rehearsal *r, struct err *err) MUST_CHECK;
/* The session to the pipeline's own database anew: what it was reading is not read to its end. */
bool scratch_reconnect(struct rehearsal *r, int side, struct err *err) MUST_CHECK;
/* Rights, free slots, settings; nothing is changed. ERR_REFUSED with all that is missing on a side. */
bool scratch_may_be_made(struct rehearsal *r, struct err *err) MUST_CHECK;
bool scratch_make(struct rehearsal *r, struct err *err) MUST_CHECK;
bool scratch_complete(struct rehearsal *r, int side, struct err *err) MUST_CHECK;
/* Drops one with its slots and origins; what cannot be dropped within 30 s is an error. keep: the database itself stays. */
bool scratch_drop(struct rehearsal *r, int side, const char *name, bool keep, struct err *err) MUST_CHECK;
/* Names of databases that a killed or kept rehearsal of this pipeline has left on that side: nobody holds their lock. */
bool scratch_leftovers(struct rehearsal *r, int side, json_t *names, struct err *err) MUST_CHECK;
void scratch_leave(struct rehearsal *r, int side);
void scratch_close(struct rehearsal *r);
bool scratch_is_mariadb(const struct rehearsal *r, int side);

/* --- scratch_mariadb.c and what belongs to it --- */
#define MARIADB_PROGRAM    "crossfade rehearsal" /* in the server's process list */
#define MARIADB_APP_SUFFIX "_app" /* behind the name of our user: who writes as an application would */

/* Cells of a result, row by row. */
struct mariadb_texts {
    char **list;
    size_t count;
};
/* A maria_each_row. */
bool mariadb_add_texts(void *ctx, char **cells, size_t count, struct err *err) MUST_CHECK;
void mariadb_free_texts(struct mariadb_texts *t);
/* Releases sql. */
bool mariadb_run(struct maria_conn *conn, struct strbuf *sql, struct err *err) MUST_CHECK;
/* mariadb_rights.c, mariadb_complete.c: see struct scratch_server */
bool mariadb_may_be_made(struct rehearsal *r, int side, struct err *err) MUST_CHECK;
bool mariadb_complete(struct scratch *s, struct err *err) MUST_CHECK;

/* --- folder.c --- */
bool folder_make(struct rehearsal *r, struct err *err) MUST_CHECK;
bool folder_remove(const char *path, struct err *err) MUST_CHECK;
bool folder_leftovers(struct rehearsal *r, json_t *paths, struct err *err) MUST_CHECK;

/* --- settings.c: both configuration files in the folder --- */
bool settings_write(struct rehearsal *r, struct err *err) MUST_CHECK;
/* The tables of the pipeline that is rehearsed, and the rehearsal's own. */
bool settings_filter(const struct rehearsal *r, struct table_filter **ret, struct err *err) MUST_CHECK;

/* --- sample.c: rows --- */
/* Tables of the pipeline and about how much room their sample takes in all. */
bool sample_estimate(struct rehearsal *r, int64_t *ret_tables, int64_t *ret_bytes,
                     struct err *err) MUST_CHECK;
/* A database of MariaDB is one schema: *ret (malloc'd) is the first table of the pipeline that is not in public, NULL = none. */
bool sample_elsewhere(struct rehearsal *r, char **ret, struct err *err) MUST_CHECK;
bool sample_copy(struct rehearsal *r, struct err *err) MUST_CHECK;
/* The scratch database's own tables, as SQL to be completed: schema, table, columns to copy, relkind, a column that may be updated ("" = none). */
bool sample_tables(struct pg_conn *conn, struct pg_result **ret, struct err *err) MUST_CHECK;

/* --- proof.c: what is written, and whether it is there --- */
bool proof_prepare(struct rehearsal *r, struct err *err) MUST_CHECK;
/* On that side, which must take writes while the other refuses them. */
bool proof_write(struct rehearsal *r, int side, const char *label, struct err *err) MUST_CHECK;
/* What a server that is MariaDB does of it (mariadb_proof.c). */
bool proof_insert_mariadb(struct scratch *s, const char *table, const char *label,
                          struct err *err) MUST_CHECK;
bool proof_change_mariadb(struct rehearsal *r, struct scratch *s, struct err *err) MUST_CHECK;
/* Notes all rows of a side; a later call on the other one must find the same. malloc'd. */
bool proof_read(struct rehearsal *r, int side, char **ret, struct err *err) MUST_CHECK;
bool proof_same(const char *before, const char *after, struct err *err) MUST_CHECK;

/* --- process.c: children; they die with this process --- */
bool process_start_role(struct rehearsal *r, int role, struct err *err) MUST_CHECK;
/* Runs crossfade with these words (NULL-terminated) and a configuration; *ret_output (may be NULL): its JSON, or NULL where it printed none. */
bool process_run(struct rehearsal *r, const char *config, const char *const *words, int64_t timeout_ms,
                 int *ret_code, json_t **ret_output, struct err *err) MUST_CHECK;
void process_end_roles(struct rehearsal *r);

#endif
