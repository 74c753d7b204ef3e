/* Owns: which tables are written on both sides: their rows in crossfade_dual_write, and the hashes that apply begins with. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"
#include "sql/embedded.h"
#include "watch.h"

void md_watch_free(struct md_watch *watch)
{
    if (watch == NULL)
        return;
    md_watched_free(watch->columns, watch->column_count);
    md_watched_free(watch->key, watch->key_count);
    md_stmt_release(&watch->stage);
    free(watch);
}

void md_watch_ended(struct md_watch *watch, bool committed)
{
    if (watch == NULL)
        return;
    watch->known = watch->known || (committed && watch->id != 0);
    watch->id = watch->known ? watch->id : 0;
}

static int by_name(const void *a, const void *b)
{
    const struct md_watched *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static struct md_watched watched_of(const struct md_table *tab, size_t column)
{
    const struct md_column *col = &tab->columns[column];
    return (struct md_watched){.name = xstrdup(col->field->name),
                               .type_text = xstrdup(col->type_text),
                               .type = col->type,
                               .json = col->json,
                               .index = column};
}

struct md_watch *md_watch_new(const struct md_table *tab)
{
    struct md_watch *watch = xcalloc(1, sizeof *watch);
    watch->columns = xcalloc(tab->column_count + 1, sizeof *watch->columns);
    watch->key = xcalloc(tab->key_count + 1, sizeof *watch->key);
    for (size_t i = 0; i < tab->column_count; i++)
        watch->columns[watch->column_count++] = watched_of(tab, i);
    for (size_t i = 0; i < tab->key_count; i++)
        watch->key[watch->key_count++] = watched_of(tab, tab->key[i]);
    qsort(watch->columns, watch->column_count, sizeof *watch->columns, by_name);
    qsort(watch->key, watch->key_count, sizeof *watch->key, by_name);
    return watch;
}

static void add_list(struct strbuf *sb, const struct md_watched *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        maria_quote_ident(sb, columns[i].name);
        strbuf_addf(sb, " %s%s", columns[i].type_text, columns[i].json ? " json" : "");
    }
}

struct shape {
    const char *schema_name, *table_name;
    const struct md_watched *columns, *key;
    size_t column_count, key_count;
};

static bool run(struct md_target *mt, struct strbuf *sql, struct err *err)
{
    bool ok = strbuf_ok(sql, "statement", err) && md_exec(mt, sql->data, err);
    strbuf_clear(sql);
    return ok;
}

static bool find_id(struct md_target *mt, const struct shape *sh, const char *lists, struct strbuf *sql,
                    int64_t *ret_id, bool *ret_same, char **ret_lists, struct err *err)
{
    MD_ROWS rows = {0};
    strbuf_adds(sql, "SELECT id, columns = ");
    maria_quote_literal(sql, lists);
    strbuf_adds(sql, ", columns FROM crossfade_dual_write");
    md_watch_where(sql, mt->pipeline, sh->schema_name, sh->table_name);
    bool ok = strbuf_ok(sql, "statement", err) && md_query(mt, sql->data, &rows, err);
    strbuf_clear(sql);
    if (!ok)
        return false;
    bool there = md_next(&rows);
    *ret_id = there ? strtoll(rows.cell[0], NULL, 10) : 0;
    *ret_same = there && strcmp(rows.cell[1], "1") == 0;
    if (ret_lists != NULL && there)
        *ret_lists = xstrdup(rows.cell[2]);
    return true;
}

static void add_row(struct strbuf *sql, const struct md_target *mt, const struct shape *sh, const char *lists)
{
    const char *const texts[] = {mt->pipeline, sh->schema_name, sh->table_name, lists};
    strbuf_adds(sql,
                "INSERT INTO crossfade_dual_write (pipeline, schema_name, table_name, columns) VALUES (");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        strbuf_adds(sql, i > 0 ? ", " : "");
        maria_quote_literal(sql, texts[i]);
    }
    strbuf_adds(sql, ") ON DUPLICATE KEY UPDATE columns = VALUES(columns)");
}

/* All rows as they are become the state that apply knows. In a transaction. */
static bool seed(struct md_target *mt, const struct shape *sh, const char *lists, int64_t *ret_id,
                 struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    bool same = false;
    add_row(&sql, mt, sh, lists);
    bool ok = run(mt, &sql, err) && find_id(mt, sh, lists, &sql, ret_id, &same, NULL, err);
    strbuf_addf(&sql, "DELETE FROM crossfade_applied WHERE dual_write = %" PRId64, *ret_id);
    ok = ok && run(mt, &sql, err);
    strbuf_clear(&sql);
    strbuf_addf(&sql, "INSERT INTO crossfade_applied (dual_write, `key`, state) SELECT %" PRId64 ", ",
                *ret_id);
    md_watch_hash(&sql, sh->key, sh->key_count, "t", false, false);
    strbuf_adds(&sql, ", ");
    md_watch_hash(&sql, sh->columns, sh->column_count, "t", false, false);
    strbuf_adds(&sql, " FROM ");
    md_add_table_name(&sql, mt, sh->schema_name, sh->table_name);
    strbuf_adds(&sql, " t");
    ok = ok && run(mt, &sql, err);
    strbuf_release(&sql);
    return ok || err_wrap(err, "table=%s.%s: apply.conflicts", sh->schema_name, sh->table_name);
}

#define NEVER "REPEAT(CHAR(0), 16)" /* the hash of no row */

static bool same_key(const struct shape *a, const struct shape *b)
{
    bool same = a->key_count == b->key_count;
    for (size_t i = 0; same && i < a->key_count; i++)
        same = strcmp(a->key[i].name, b->key[i].name) == 0 && a->key[i].type == b->key[i].type &&
               a->key[i].json == b->key[i].json;
    return same;
}

/* What is known of the rows moves over: a row that is not as apply knew it stays unknown, and so a conflict when the source changes it;
 * one that was inserted meanwhile has no state, as before. join_cache_level: conflicts_sql.c */
static void add_move(struct strbuf *sql, struct md_target *mt, const struct shape *sh,
                     const struct shape *old, int64_t old_id, int64_t id)
{
    strbuf_addf(sql,
                "SET STATEMENT join_cache_level = 0 FOR INSERT INTO crossfade_applied (dual_write, `key`, "
                "state) SELECT %" PRId64 ", ",
                id);
    md_watch_hash(sql, sh->key, sh->key_count, "t", false, false);
    strbuf_adds(sql, ", IF(a.state = ");
    md_watch_hash(sql, old->columns, old->column_count, "t", false, false);
    strbuf_adds(sql, ", ");
    md_watch_hash(sql, sh->columns, sh->column_count, "t", false, false);
    strbuf_adds(sql, ", " NEVER ") FROM ");
    md_add_table_name(sql, mt, sh->schema_name, sh->table_name);
    strbuf_addf(sql,
                " t STRAIGHT_JOIN crossfade_applied a ON a.dual_write = %" PRId64 " AND a.`key` = ", old_id);
    md_watch_hash(sql, old->key, old->key_count, "t", false, false);
}

static bool count_applied(struct md_target *mt, int64_t id, const char *and, int64_t *ret, struct err *err)
{
    char *sql CLEANUP(free_ptr) =
        xasprintf("SELECT COUNT(*) FROM crossfade_applied WHERE dual_write = %" PRId64 "%s", id, and);
    return md_query_int64(mt, sql, ret, err);
}

static bool move(struct md_target *mt, const struct shape *sh, const struct shape *old, int64_t old_id,
                 int64_t id, struct strbuf *sql, struct err *err)
{
    int64_t before = 0, moved = 0, unknown = 0;
    add_move(sql, mt, sh, old, old_id, id);
    if (!run(mt, sql, err) || !count_applied(mt, old_id, "", &before, err) ||
        !count_applied(mt, id, "", &moved, err) ||
        !count_applied(mt, id, " AND state = " NEVER, &unknown, err))
        return false;
    log_event(
        LOG_LEVEL_WARN, "dual_write_shape",
        "table=%s.%s rows=%" PRId64 " unknown=%" PRId64
        " text=\"the key or the columns are others than those that the rows were known by; rows that were "
        "changed since are conflicts when the source changes them\"",
        sh->schema_name, sh->table_name, moved, unknown);
    if (!same_key(sh, old) && moved != before)
        return err_set(err, ERR_SCHEMA, "the key has changed, and rows were deleted on the target since");
    if (same_key(sh, old)) { /* rows that are not there */
        strbuf_addf(sql,
                    "INSERT IGNORE INTO crossfade_applied (dual_write, `key`, state) SELECT %" PRId64
                    ", `key`, state FROM crossfade_applied WHERE dual_write = %" PRId64,
                    id, old_id);
        if (!run(mt, sql, err))
            return false;
    }
    strbuf_addf(sql, "DELETE FROM crossfade_applied WHERE dual_write = %" PRId64, old_id);
    return run(mt, sql, err);
}

/* Rows that are known by another shape. In the transaction of the batch. */
static bool reshape(struct md_target *mt, const struct shape *sh, const char *old_lists, const char *lists,
                    int64_t *id, struct strbuf *sql, struct err *err)
{
    struct shape old = *sh;
    struct md_watched *columns, *key;
    int64_t old_id = *id;
    bool same = false;
    bool ok = md_watched_parse(old_lists, &columns, &old.column_count, &key, &old.key_count) ||
              err_set(err, ERR_SCHEMA, "the columns that rows are known by cannot be read");
    old.columns = columns;
    old.key = key;
    strbuf_addf(sql, "DELETE FROM crossfade_dual_write WHERE id = %" PRId64, old_id);
    ok = ok && run(mt, sql, err);
    add_row(sql, mt, sh, lists);
    ok = ok && run(mt, sql, err) && find_id(mt, sh, lists, sql, id, &same, NULL, err) &&
         move(mt, sh, &old, old_id, *id, sql, err);
    md_watched_free(columns, old.column_count);
    md_watched_free(key, old.key_count);
    if (ok || err_policy(err->code) != POLICY_HALT)
        return ok;
    struct err why = *err; /* no row's fault */
    return err_set(
        err, ERR_SCHEMA,
        "apply.conflicts: the shape of the table has changed in a way that leaves unknown which rows "
        "the target has changed: %s. Hint: make both sides equal, start apply once without the "
        "table in apply.conflicts, and then with it",
        why.text);
}

bool md_watch_find(struct md_target *mt, const struct md_table *tab, struct err *err)
{
    struct md_watch *watch = tab->watch;
    const struct shape sh = {.schema_name = tab->base.schema->schema,
                             .table_name = tab->base.schema->table,
                             .columns = watch->columns,
                             .column_count = watch->column_count,
                             .key = watch->key,
                             .key_count = watch->key_count};
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX), lists = STRBUF_INIT(STRBUF_SQL_MAX);
    char *old CLEANUP(free_ptr) = NULL;
    int64_t id = 0;
    bool same = false;
    if (watch->id != 0)
        return true;
    add_list(&lists, sh.key, sh.key_count);
    strbuf_adds(&lists, " / ");
    add_list(&lists, sh.columns, sh.column_count);
    bool ok =
        strbuf_ok(&lists, "columns", err) && find_id(mt, &sh, lists.data, &sql, &id, &same, &old, err) &&
        (same ||
         (id != 0 ? reshape(mt, &sh, old, lists.data, &id, &sql, err) : seed(mt, &sh, lists.data, &id, err)));
    if (ok)
        watch->id = id;
    strbuf_release(&sql);
    strbuf_release(&lists);
    return ok || md_table_err(tab, err);
}

static bool in_transaction(struct md_target *mt,
                           bool (*work)(struct md_target *mt, void *ctx, struct err *err), void *ctx,
                           struct err *err)
{
    struct err lost = ERR_INIT;
    if (!md_exec(mt, "START TRANSACTION", err))
        return false;
    if (work(mt, ctx, err) && md_exec(mt, "COMMIT", err))
        return true;
    if (!md_exec(mt, "ROLLBACK", &lost)) /* the error that counts is *err */
        err_clear(&lost);
    return false;
}

/* A table whose primary key tells the key; others are taken up when they are met first. */
static bool seed_from_catalog(struct md_target *mt, void *ctx, struct err *err)
{
    struct shape *sh = ctx;
    struct md_watched *all = NULL, *key = NULL;
    size_t count = 0, key_count = 0;
    int64_t id;
    if (!md_watched_read(mt, sh->schema_name, sh->table_name, &all, &count, &key, &key_count, err))
        return false;
    qsort(all, count, sizeof *all, by_name);
    qsort(key, key_count, sizeof *key, by_name);
    struct strbuf lists = STRBUF_INIT(STRBUF_SQL_MAX);
    add_list(&lists, key, key_count);
    strbuf_adds(&lists, " / ");
    add_list(&lists, all, count);
    sh->columns = all;
    sh->column_count = count;
    sh->key = key;
    sh->key_count = key_count;
    bool ok = key_count == 0 || (strbuf_ok(&lists, "columns", err) && seed(mt, sh, lists.data, &id, err));
    strbuf_release(&lists);
    md_watched_free(all, count);
    md_watched_free(key, key_count);
    return ok;
}

/* A table that is not dual-written any more: from now on the source alone is written. */
static bool forget_table(struct md_target *mt, void *ctx, struct err *err)
{
    const struct shape *sh = ctx;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "DELETE a FROM crossfade_applied a JOIN crossfade_dual_write d ON d.id = a.dual_write");
    md_watch_where(&sql, mt->pipeline, sh->schema_name, sh->table_name);
    bool ok = run(mt, &sql, err);
    strbuf_adds(&sql, "DELETE FROM crossfade_dual_write");
    md_watch_where(&sql, mt->pipeline, sh->schema_name, sh->table_name);
    ok = ok && run(mt, &sql, err);
    strbuf_clear(&sql);
    strbuf_adds(&sql, "UPDATE crossfade_conflict SET state = 'resolved', decision = 'source', settled_at = "
                      "SYSDATE(6)");
    md_watch_where(&sql, mt->pipeline, sh->schema_name, sh->table_name);
    strbuf_adds(&sql, " AND state = 'open'");
    ok = ok && run(mt, &sql, err);
    strbuf_release(&sql);
    return ok;
}

#define THERE                                                                                                \
    "SELECT COUNT(*) = 3 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN "  \
    "('crossfade_dual_write', 'crossfade_applied', 'crossfade_conflict')"

/* Tables of this pipeline and shard that have been filled: watched (d.id is there), or not yet. */
static void add_query(struct strbuf *sql, const struct md_target *mt, bool watched)
{
    strbuf_addf(sql,
                "SELECT l.schema_name, l.table_name FROM crossfade_loaded l LEFT JOIN crossfade_dual_write d "
                "ON d.pipeline = l.pipeline AND d.schema_name = l.schema_name AND d.table_name = "
                "l.table_name WHERE d.id IS %sNULL AND l.pipeline = ",
                watched ? "NOT " : "");
    maria_quote_literal(sql, mt->pipeline);
    strbuf_adds(sql, " AND l.shard = ");
    maria_quote_literal(sql, mt->shard);
}

static bool list(struct md_target *mt, bool watched, struct md_rows *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    add_query(&sql, mt, watched);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, ret, err);
    strbuf_release(&sql);
    return ok;
}

bool md_watch_reset(struct md_target *mt, struct err *err)
{
    MD_ROWS rows = {0};
    int64_t there = 0;
    mt->temporaries_stale = true;
    for (size_t i = 0; i < mt->table_count; i++) {
        struct md_watch *watch = mt->tables[i]->watch;
        if (watch != NULL)
            watch->known = false, watch->id = 0;
    }
    if (!md_query_int64(mt, THERE, &there, err))
        return false;
    if (there == 0)
        return true;
    if (!list(mt, true, &rows, err))
        return false;
    while (md_next(&rows)) {
        struct shape sh = {.schema_name = rows.cell[0], .table_name = rows.cell[1]};
        if (!forget_table(mt, &sh, err))
            return false;
    }
    return true;
}

/* Those that have no rule any more are forgotten; with `take`, those that have one now are taken up. */
static bool go_through(struct md_target *mt, md_rule_fn *rule_of, void *ctx, bool take, struct err *err)
{
    MD_ROWS rows = {0};
    if (!list(mt, !take, &rows, err))
        return false;
    while (md_next(&rows)) {
        struct shape sh = {.schema_name = rows.cell[0], .table_name = rows.cell[1]};
        bool wanted = rule_of(ctx, sh.schema_name, sh.table_name) != NULL;
        if (wanted == take && !in_transaction(mt, take ? seed_from_catalog : forget_table, &sh, err))
            return false;
    }
    return true;
}

static bool count_open(struct md_target *mt, uint64_t *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    int64_t open = 0;
    strbuf_adds(&sql, "SELECT COUNT(*) FROM crossfade_conflict JOIN crossfade_loaded USING (pipeline, "
                      "schema_name, table_name) WHERE state = 'open' AND ");
    md_add_ours(&sql, mt, " AND ");
    bool ok = strbuf_ok(&sql, "statement", err) && md_query_int64(mt, sql.data, &open, err);
    strbuf_release(&sql);
    *ret = (uint64_t)open;
    return ok;
}

static bool is_watching(struct md_target *mt, bool *ret, struct err *err)
{
    MD_ROWS rows = {0};
    *ret = false;
    if (!list(mt, true, &rows, err))
        return false;
    *ret = md_next(&rows);
    return true;
}

static bool start(struct md_target *mt, md_rule_fn *rule_of, void *ctx, size_t count, bool complete,
                  bool *ret_begun, uint64_t *ret_open, struct err *err)
{
    int64_t there = 0;
    if (!md_query_int64(mt, THERE, &there, err))
        return false;
    *ret_begun = complete;
    *ret_open = 0;
    if (!complete && (there == 0 || !is_watching(mt, ret_begun, err) || !*ret_begun))
        return !err_is_set(err);
    if (count == 0 && there == 0)
        return true;
    return (there > 0 || md_run_script(mt, embedded_sql_target_mariadb_conflicts_sql, err)) &&
           go_through(mt, rule_of, ctx, false, err) &&
           (!complete || go_through(mt, rule_of, ctx, true, err)) && count_open(mt, ret_open, err);
}

bool md_watch_start(struct target *tgt, md_rule_fn *rule_of, void *ctx, size_t count, bool complete,
                    bool *ret_begun, uint64_t *ret_open, struct err *err)
{
    return start((struct md_target *)tgt, rule_of, ctx, count, complete, ret_begun, ret_open, err) ||
           (err_is_set(err) && err_wrap(err, "target: apply.conflicts"));
}
