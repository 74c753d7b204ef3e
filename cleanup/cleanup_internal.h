/* What the files of cleanup/ share: one file for each family of artefacts. */
#ifndef CLEANUP_CLEANUP_INTERNAL_H
#define CLEANUP_CLEANUP_INTERNAL_H

#include "cleanup.h"
#include "journal/journal.h"
#include "maria/conn.h"
#include "pg/conn.h"

struct cleanup {
    const struct config *cfg;
    const struct cleanup_request *request;
    const struct cleanup_talk *talk;
    const char *pipeline;
    char own[64];                              /* crossfade_<pipeline>: slot and publication */
    struct pg_conn *source, *standby, *target; /* NULL: not asked, or (target) MariaDB */
    struct maria_conn *maria, *maria_source;   /* the same on MariaDB */
    struct audit *audit;
    char *source_place, *standby_place, *target_place;
    char *source_others; /* other pipelines of the source's database, "a, b"; "" = none */
    bool switched;       /* the pipeline was cut over: by the source, or by the steps on the target */
    bool triggers_stay;  /* the source stays closed to writers */
    struct cleanup_report *report;
};

/* A kind of artefact. Their table (cleanup.c) is in the order of removal: proof of what is ours goes last. */
struct cleanup_kind {
    const char *name;
    /* Adds what there is of it. */
    bool (*find)(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
    /* Takes one away; gone already is as good. It may leave it after all: sets fate and why. NULL: runs `action` on the item's side. */
    bool (*remove)(struct cleanup *cl, struct cleanup_item *item, struct err *err);
};

/* --- items.c --- */
/* Adds one; texts are copied, NULL = "". Its fate is CLEANUP_REMOVE. The pointer is valid until the next is added. */
struct cleanup_item *item_add(struct cleanup *cl, const struct cleanup_kind *kind, const char *side,
                              const char *name);
void item_action(struct cleanup_item *item, const char *fmt, ...) PRINTF_LIKE(2, 3);
void item_leave(struct cleanup_item *item, const char *fmt, ...) PRINTF_LIKE(2, 3);
void item_refuse(struct cleanup_item *item, const char *fmt, ...) PRINTF_LIKE(2, 3);
void item_used_by(struct cleanup_item *item, const char *text);
struct pg_conn *item_conn(struct cleanup *cl, const struct cleanup_item *item);
struct maria_conn *item_maria(struct cleanup *cl, const struct cleanup_item *item);
/* Runs SQL that may have to wait for a lock: a short wait, again and again for some time. What is not there any more is no error. */
bool cleanup_exec(struct cleanup *cl, struct pg_conn *conn, const char *sql, struct err *err) MUST_CHECK;
/* The same on MariaDB; what is not there any more is one, unless the SQL says IF EXISTS. */
bool cleanup_exec_maria(struct cleanup *cl, struct maria_conn *conn, const char *sql,
                        struct err *err) MUST_CHECK;
void cleanup_say(struct cleanup *cl, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* --- open.c --- */
bool cleanup_open(struct cleanup *cl, struct err *err) MUST_CHECK;
void cleanup_close(struct cleanup *cl);
/* Other pipelines that have something in the source's database: "a, b", "" = none. malloc'd. */
bool cleanup_source_others(struct cleanup *cl, char **ret, struct err *err) MUST_CHECK;

/* --- the kinds --- */
bool running_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
/* Keeps apply, compare and cutover of the pipeline from starting meanwhile; adds who is in the way. */
bool running_lock(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err) MUST_CHECK;
bool cutovers_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
bool prepared_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
bool letters_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
bool slots_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
bool temporary_slots_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
bool triggers_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
bool origins_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
bool source_rows_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
bool target_rows_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
/* What of a control table's rows stays, whichever server they are on. */
void rows_judge(struct cleanup *cl, struct cleanup_item *item, const char *table);
bool rows_remove(struct cleanup *cl, struct cleanup_item *item, struct err *err);
bool publications_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
bool objects_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
bool objects_remove(struct cleanup *cl, struct cleanup_item *item, struct err *err);
bool journal_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);
bool journal_part_remove(struct cleanup *cl, struct cleanup_item *item, struct err *err);
bool audit_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err);

/* --- tables.c: the control tables (schemas/sql), by their names behind "crossfade." or "crossfade_" --- */
struct control_table {
    const char *name;
    const char *mine; /* which rows are the pipeline's, $1; NULL: pipeline = $1 */
    bool on_source, on_target;
};
extern const struct control_table control_tables[];
extern const size_t control_table_count;

#endif
