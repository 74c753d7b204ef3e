/* What the files of decommission/ share. */
#ifndef DECOMMISSION_DECOMMISSION_INTERNAL_H
#define DECOMMISSION_DECOMMISSION_INTERNAL_H

#include "decommission.h"
#include "pg/conn.h"

struct maria_conn;

struct decom {
    const struct config *cfg;
    const char *pipeline;
    struct pg_conn *source, *target; /* target NULL: it is MariaDB */
    struct maria_conn *maria;
    char *source_user;               /* of source.url: our role */
    char *source_host, *source_port; /* as source.url has them */
    char home[400];                  /* where the database is now */
};

/* --- open.c --- */
/* A session of ours on PostgreSQL, key "source.url" or "target.url". */
bool decom_open_pg(struct decom *d, const char *key, struct pg_conn **ret, struct err *err) MUST_CHECK;
bool decom_open(struct decom *d, const struct config *cfg, struct err *err) MUST_CHECK;
void decom_close(struct decom *d);
/* By crossfade.cutover: when the pipeline was cut over ("" = never), and until when the old side is kept. */
struct decom_cutover {
    char at[40], until[40];
    bool over;
};
bool decom_cutover(struct decom *d, struct decom_cutover *ret, struct err *err) MUST_CHECK;
/* Roles that pass: superusers and ours ($1: the pipeline's role, $2: names with blanks between them). */
#define PASSES                                                                                               \
    "(r.rolsuper OR r.rolname = $1 OR r.rolname = ANY (string_to_array($2, E'\\n')) OR r.rolname IN "        \
    "('crossfade_capture', 'crossfade_apply',"                                                               \
    " 'crossfade_compare', 'crossfade_cutover'))"
/* $2 of PASSES: decommission.allow. malloc'd */
char *decom_allowed(const struct decom *d);

/* Of other clients' sessions in this database; ours show themselves by their name. */
#define FOREIGN_SESSIONS                                                                                     \
    "a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() AND "                \
    "coalesce(a.backend_type, 'client backend') ="                                                           \
    " 'client backend' AND coalesce(a.application_name, '') NOT LIKE 'crossfade %'"
#define ISO_TIME(value) "pg_catalog.to_char((" value ") AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"

/* --- looks.c --- */
bool decom_look(struct decom *d, struct decom_report *report, struct err *err) MUST_CHECK;

/* --- how a tombstone is put up: tombstone_<method>.c --- */
struct tombstone {
    struct decom *d;
    const char *message;
    char *passes; /* names of the roles that pass, one a line */
    char *saved;  /* JSON object: what undo needs */
};
struct tombstone_method {
    const char *name; /* as in crossfade.tombstone */
    /* Whether it can be done here; else why not, as a part of a sentence. */
    bool (*possible)(struct decom *d, bool *ret, char why[200], struct err *err);
    /* SQL that gives what undo needs, as one jsonb; $1 the pipeline's role, $2 decommission.allow. */
    const char *save_sql;
    /* Statements of one transaction on the source. Both may be run again. */
    bool (*raise)(struct tombstone *t, struct strbuf *sql, struct err *err);
    bool (*lower)(struct tombstone *t, struct strbuf *sql, struct err *err);
    void (*seen)(const struct tombstone *t, char *out, size_t size); /* what a client is told */
};
extern const struct tombstone_method tombstone_login, tombstone_preload, tombstone_connect;

#endif
