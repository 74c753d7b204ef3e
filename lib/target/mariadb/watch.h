/*
 * Tables that the application writes on both sides (target/conflicts.h), as the MariaDB target looks at them. Files: conflicts.c
 * (the look before a batch), conflicts_sql.c (its statements), conflicts_tables.c (which tables, and the hashes that apply begins
 * with), conflicts_desk.c (people's side).
 *
 * Temporary tables of a session, for each table, emptied at the begin of each look (Aria: a rollback need not undo them):
 *   crossfade_xs states of the source: g key's number, l the last of its key, p the row is there, b some state of its key is "not
 *                there", f number of the key that lends what the record lacks, m which columns those are (NULL: none), a LSN,
 *                c0, c1, … columns, w all values are there by now, k, h, x hashes of the key, of the row, and of its very bytes
 *   crossfade_xn the target's rows: g, c0, c1, …, h, x
 *   crossfade_xd what becomes of each key: g, k, h, t the target's row (h of xn, zeros: not there), p, w the record was complete,
 *                n the target has the row, o a conflict is open, kind, decision
 *
 * Hashes: the first 128 bits of SHA-256 over the columns by name. Equal values of a json column count as equal however they are
 * written (JSON_NORMALIZE), but for x, which says whether there is anything to write.
 */
#ifndef TARGET_MARIADB_WATCH_H
#define TARGET_MARIADB_WATCH_H

#include "mariadb.h"
#include "target/conflicts.h"

/* A column as hashes need it. */
struct md_watched {
    char *name;
    char *type_text;
    enum md_type type;
    bool json;
    size_t index; /* of the prepared table's columns */
};

#define MD_WATCH_FIXED 7 /* g, l, p, b, f, m, a */

struct md_watch {
    int64_t id;                       /* crossfade_dual_write.id; 0 = not known in this transaction */
    bool known;                       /* … and committed */
    bool made;                        /* the temporary tables are there */
    struct md_watched *columns, *key; /* by name */
    size_t column_count, key_count;
    enum conflict_policy policy;
    size_t newer; /* column of NEWER_WINS */
    struct md_stmt stage;
    struct field fixed_fields[MD_WATCH_FIXED];
    struct md_column fixed[MD_WATCH_FIXED]; /* parameters that are no columns of the table */
};

/* conflicts_columns.c */
/* Columns that are not computed and, of these, the primary key's, of a table as the catalog has them; both to be freed. */
bool md_watched_read(struct md_target *mt, const char *schema_name, const char *table_name,
                     struct md_watched **ret_columns, size_t *ret_count, struct md_watched **ret_key,
                     size_t *ret_key_count, struct err *err) MUST_CHECK;
/* The same out of the text that crossfade_dual_write keeps: `a` int(11), `b` text json. Both are to be freed; false: it is none. */
bool md_watched_parse(const char *text, struct md_watched **ret_columns, size_t *ret_count,
                      struct md_watched **ret_key, size_t *ret_key_count);
void md_watched_free(struct md_watched *columns, size_t count);

typedef const struct conflict_rule *md_rule_fn(void *ctx, const char *schema_name, const char *table_name);

/* conflicts.c */
struct md_halt {
    MYSQL_RES *rows; /* key, key_hash (hex), kind, source_row, target_row, target_hash (hex), commit_lsn */
    const struct table_schema *schema;
    const struct conflict_rule *rule;
};
void md_halt_release(struct md_target *mt);
extern const struct target_conflict_ops md_conflicts;

/* conflicts_tables.c */
struct md_watch *md_watch_new(const struct md_table *tab);
void md_watch_free(struct md_watch *watch); /* NULL allowed */
/* The transaction is over. */
void md_watch_ended(struct md_watch *watch, bool committed); /* NULL allowed */
bool md_watch_start(struct target *tgt, md_rule_fn *rule_of, void *ctx, size_t count, bool complete,
                    bool *ret_begun, uint64_t *ret_open, struct err *err) MUST_CHECK;
/* tab->watch->id, in a transaction: a table that is met first, is taken up as it is; of one that has another shape now, what is known of its rows is kept. */
bool md_watch_find(struct md_target *mt, const struct md_table *tab, struct err *err) MUST_CHECK;
/* A copy begins: the tables that it fills are forgotten. In a transaction. */
bool md_watch_reset(struct md_target *mt, struct err *err) MUST_CHECK;

/* conflicts_desk.c */
bool md_conflicts_look(const struct conflicts_query *query,
                       bool (*each)(void *ctx, const struct conflict_view *view, struct err *err), void *ctx,
                       struct err *err) MUST_CHECK;
bool md_conflicts_answer(const struct conflicts_query *query, const int64_t *ids, size_t count,
                         const char *side, int64_t *ret_count, struct err *err) MUST_CHECK;

/* conflicts_sql.c. Appended to sb, one statement each. */
/* UNHEX(…) over columns of t by name, or (staged) over c0, c1, … of that alias; exact: the very bytes. */
void md_watch_hash(struct strbuf *sb, const struct md_watched *columns, size_t count, const char *alias,
                   bool staged, bool exact);
/* " WHERE pipeline = … AND schema_name = … AND table_name = …" */
void md_watch_where(struct strbuf *sb, const char *pipeline, const char *schema_name, const char *table_name);
void md_watch_name(struct strbuf *sb, const struct md_table *tab, char letter);
void md_watch_create(struct strbuf *sb, const struct md_table *tab, char letter);
void md_watch_stage(struct strbuf *sb, struct md_table *tab, struct md_stmt *st);
void md_watch_lock(struct strbuf *sb, const struct md_table *tab);
void md_watch_fill(struct strbuf *sb, const struct md_table *tab);
void md_watch_digest(struct strbuf *sb, const struct md_table *tab);
void md_watch_decide(struct strbuf *sb, const struct md_table *tab, const char *pipeline);
void md_watch_decided(struct strbuf *sb, const struct md_table *tab);
void md_watch_log(struct strbuf *sb, const struct md_table *tab, const char *pipeline, const char *policy,
                  size_t shown_bytes);
void md_watch_halted(struct strbuf *sb, const struct md_table *tab, size_t shown_bytes);
void md_watch_settle(struct strbuf *sb, const struct md_table *tab, const char *pipeline);
void md_watch_withdraw(struct strbuf *sb, const struct md_table *tab, const char *pipeline);
void md_watch_forget_gone(struct strbuf *sb, const struct md_table *tab);
void md_watch_move(struct strbuf *sb, const struct md_table *tab);
void md_watch_make(struct strbuf *sb, const struct md_table *tab);
void md_watch_appeared(struct strbuf *sb, const struct md_table *tab);

#endif
