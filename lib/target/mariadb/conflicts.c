/* Owns: the look for conflicts before a batch is written. See target/conflicts.h and watch.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/sqlstate.h"
#include "watch.h"

#define SHOWN_BYTES_MAX ((size_t)64 << 20)

/* --- staging what the source says --- */

static enum md_put put_plain(const struct md_column *col, const struct datum *value, struct md_value *out,
                             struct err *err)
{
    (void)col;
    (void)err;
    strbuf_add(out->bytes, value->s.p, value->s.len);
    return MD_PUT_OK;
}

enum { F_KEY, F_LAST, F_THERE, F_ABSENT, F_BASE, F_MASK, F_LSN };

/* Parameters that are no columns: their values follow those of the schema's fields. */
static void make_fixed(struct md_watch *watch, const struct table_schema *schema)
{
    static char name[] = "crossfade";
    for (size_t i = 0; i < MD_WATCH_FIXED; i++) {
        bool text = i == F_MASK || i == F_LSN;
        watch->fixed_fields[i] = (struct field){.name = name, .phys = text ? PHYS_STRING : PHYS_INT64};
        watch->fixed[i] = (struct md_column){.field = &watch->fixed_fields[i],
                                             .index = schema->field_count + i,
                                             .nullable = true,
                                             .bind = text ? MD_BIND_TEXT : MD_BIND_INT,
                                             .put = text ? put_plain : md_put_int};
    }
}

static struct datum number(int64_t i)
{
    return (struct datum){.state = DATUM_VALUE, .i = i};
}

static struct datum text(const char *p, size_t len)
{
    return (struct datum){.state = DATUM_VALUE, .s = {.p = p, .len = (uint32_t)len}};
}

struct stage {
    struct datum *row; /* fields of the schema, then what is fixed */
    char *mask;
    char lsn[LSN_TEXT_MAX];
    bool lacks; /* some state lacks values */
};

/* The state as one row: what is missing is null, and told by the mask. */
static void lay_out(struct stage *sg, const struct md_table *tab, const struct conflict_state *st)
{
    const struct table_schema *schema = tab->base.schema;
    struct datum *fixed = sg->row + schema->field_count;
    bool lacks = false;
    for (size_t i = 0; i < tab->column_count; i++) {
        size_t at = tab->columns[i].index;
        const struct datum *from = tab->columns[i].key ? st->key_values : st->row;
        sg->row[at] = from != NULL ? from[at] : (struct datum){0};
        sg->mask[i] = sg->row[at].state == DATUM_UNAVAILABLE ? '-' : '+';
        lacks = lacks || sg->mask[i] == '-';
        if (sg->mask[i] == '-')
            sg->row[at].state = DATUM_NULL;
    }
    sg->lacks = sg->lacks || lacks;
    fixed[F_KEY] = number(st->key);
    fixed[F_LAST] = number(st->last);
    fixed[F_THERE] = number(st->row != NULL);
    fixed[F_ABSENT] = number(st->was_absent);
    fixed[F_BASE] = number(st->base);
    fixed[F_MASK] = lacks ? text(sg->mask, tab->column_count) : (struct datum){0};
    (void)lsn_format(st->commit_lsn, sg->lsn);
    fixed[F_LSN] = text(sg->lsn, strlen(sg->lsn));
}

/* New rows are made out of what is staged. */
static bool check_nulls(const struct md_table *tab, const struct stage *sg, const struct target_row *row,
                        struct err *err)
{
    for (size_t i = 0; i < tab->column_count; i++) {
        if (sg->mask[i] == '+' && sg->row[tab->columns[i].index].state == DATUM_NULL &&
            !md_check_null(tab, &tab->columns[i], row, err))
            return false;
    }
    return true;
}

static bool stage(struct md_target *mt, struct md_table *tab, const struct conflict_batch *batch,
                  bool *ret_lacks, struct err *err)
{
    size_t fields = tab->base.schema->field_count + MD_WATCH_FIXED;
    struct stage sg = {.row = xcalloc(fields, sizeof *sg.row), .mask = xcalloc(tab->column_count + 1, 1)};
    struct md_stmt *st = NULL;
    bool ok = md_stmt_start(mt, tab, MD_STAGE, NULL, &st, err);
    for (size_t i = 0; ok && i < batch->count; i++) {
        const struct target_row row = {.row = sg.row, .commit_lsn = batch->states[i].commit_lsn};
        lay_out(&sg, tab, &batch->states[i]);
        ok = (batch->states[i].row == NULL || check_nulls(tab, &sg, &row, err)) &&
             md_stmt_add(mt, st, &row, err);
    }
    ok = ok && (md_stmt_flush(mt, st, err) || md_table_err(tab, err));
    *ret_lacks = sg.lacks;
    free(sg.row);
    free(sg.mask);
    return ok;
}

/* --- the look --- */

static bool run(struct md_target *mt, const struct md_table *tab, struct strbuf *sql, struct err *err)
{
    bool ok = strbuf_ok(sql, "statement", err) && (md_exec(mt, sql->data, err) || md_table_err(tab, err));
    strbuf_clear(sql);
    return ok;
}

static bool query(struct md_target *mt, const struct md_table *tab, struct strbuf *sql, struct md_rows *ret,
                  struct err *err)
{
    bool ok =
        strbuf_ok(sql, "statement", err) && (md_query(mt, sql->data, ret, err) || md_table_err(tab, err));
    strbuf_clear(sql);
    return ok;
}

static bool find_newer(const struct md_table *tab, const struct conflict_rule *rule, size_t *ret,
                       struct err *err)
{
    for (size_t i = 0; i < tab->column_count; i++) {
        if (strcmp(tab->columns[i].field->name, rule->column) == 0) {
            *ret = i;
            return true;
        }
    }
    err_set(err, ERR_SCHEMA, "apply.conflicts: newer_wins(%s): there is no such column", rule->column);
    return md_table_err(tab, err);
}

/* The temporary tables are there, and empty. */
static bool make_room(struct md_target *mt, struct md_table *tab, struct strbuf *sql, struct err *err)
{
    static const char letters[] = {'s', 'n', 'd'};
    for (size_t i = 0; i < sizeof letters; i++) {
        if (tab->watch->made) {
            strbuf_adds(sql, "DELETE FROM ");
            md_watch_name(sql, tab, letters[i]);
        } else {
            md_watch_create(sql, tab, letters[i]);
        }
        if (!run(mt, tab, sql, err))
            return false;
    }
    if (!tab->watch->made)
        md_temporary_made(mt, tab);
    tab->watch->made = true;
    return true;
}

static bool make_ready(struct md_target *mt, struct md_table *tab, const struct conflict_rule *rule,
                       struct strbuf *sql, struct err *err)
{
    if (tab->key_count == 0) {
        err_set(err, ERR_SCHEMA, "apply.conflicts: a table without key cannot be written on both sides");
        return md_table_err(tab, err);
    }
    if (tab->watch == NULL) {
        tab->watch = md_watch_new(tab);
        make_fixed(tab->watch, tab->base.schema);
    }
    if (rule->policy == CONFLICT_NEWER_WINS && !find_newer(tab, rule, &tab->watch->newer, err))
        return false;
    tab->watch->policy = rule->policy;
    tab->base.watched = true;
    const struct target_batch about = {.table = &tab->base};
    return md_ensure_loaded(mt, &about, 1, err) && md_begun(mt, err) && md_watch_find(mt, tab, err) &&
           make_room(mt, tab, sql, err);
}

static size_t shown_bytes(const struct md_target *mt)
{
    return MIN_OF(SHOWN_BYTES_MAX, mt->packet_bytes / 16);
}

void md_halt_release(struct md_target *mt)
{
    if (mt->halt == NULL)
        return;
    mysql_free_result(mt->halt->rows);
    free(mt->halt);
    mt->halt = NULL;
}

static bool halt(struct md_target *mt, struct md_table *tab, const struct conflict_batch *batch,
                 uint64_t count, struct strbuf *sql, struct err *err)
{
    struct md_rows rows = {0};
    md_watch_halted(sql, tab, shown_bytes(mt));
    if (!query(mt, tab, sql, &rows, err))
        return false;
    md_halt_release(mt);
    mt->halt = xcalloc(1, sizeof *mt->halt);
    *mt->halt = (struct md_halt){.rows = rows.res, .schema = tab->base.schema, .rule = batch->rule};
    const char *why = batch->rule->policy == CONFLICT_HALT
                          ? "both sides have changed the row, each in its own way"
                          : "both sides have changed the row, and the record lacks values that were not "
                            "changed (the source's table needs REPLICA IDENTITY FULL)";
    if (!md_next(&rows))
        return err_set(err, ERR_PROTOCOL, "a conflict without a row"), md_table_err(tab, err);
    err_set(err, ERR_SQL,
            "%s (%s, key %.200s, lsn=%s; %" PRIu64 " rows). Hint: `crossfade apply conflicts list`, "
            "then `crossfade apply conflicts resolve ID --take source|target`, or make both sides "
            "equal; then start apply again: nothing was skipped",
            why, rows.cell[2], rows.cell[0], rows.cell[6], count);
    return md_table_err(tab, err);
}

struct verdicts {
    uint64_t source, target, halted, open, fresh;
    bool *is_fresh; /* by key */
};

static bool read_verdicts(struct md_target *mt, const struct md_table *tab, struct strbuf *sql, bool *done,
                          size_t key_count, struct verdicts *ret, struct err *err)
{
    MD_ROWS rows = {0};
    md_watch_decided(sql, tab);
    if (!query(mt, tab, sql, &rows, err))
        return false;
    while (md_next(&rows)) {
        size_t key = strtoul(rows.cell[0], NULL, 10);
        const char *decision = rows.cell[1];
        BUG_UNLESS(key < key_count);
        bool source = strcmp(decision, "source") == 0, target = strcmp(decision, "target") == 0;
        done[key] = target || strcmp(decision, "skip") == 0;
        ret->source += source;
        ret->target += target;
        ret->halted += strcmp(decision, "halt") == 0;
        ret->open += rows.cell[2][0] != '0';
        ret->is_fresh[key] = rows.cell[3][0] != '0' && !done[key];
        ret->fresh += ret->is_fresh[key];
    }
    return true;
}

static bool decide(struct md_target *mt, struct md_table *tab, const struct conflict_batch *batch, bool lacks,
                   struct strbuf *sql, bool *done, struct verdicts *ret, struct err *err)
{
    if (!batch->truncated) {
        md_watch_lock(sql, tab);
        if (!run(mt, tab, sql, err))
            return false;
    }
    if (lacks) {
        md_watch_fill(sql, tab);
        if (!run(mt, tab, sql, err))
            return false;
    }
    md_watch_digest(sql, tab);
    if (!run(mt, tab, sql, err))
        return false;
    md_watch_decide(sql, tab, mt->pipeline);
    return run(mt, tab, sql, err) && read_verdicts(mt, tab, sql, done, batch->key_count, ret, err);
}

/* One that the server refuses is left to the batch, which writes in its own order and names the row at fault; but for a row that
 * has just come under its key. */
static bool make_fresh(struct md_target *mt, struct md_table *tab, const struct verdicts *v, size_t key_count,
                       struct strbuf *sql, bool *done, struct err *err)
{
    struct err refused = ERR_INIT;
    MD_ROWS rows = {0};
    md_watch_make(sql, tab);
    if (run(mt, tab, sql, &refused)) {
        for (size_t i = 0; i < key_count; i++)
            done[i] = done[i] || v->is_fresh[i];
        return true;
    }
    if (err_fault(&refused) == FAULT_OTHER)
        return *err = refused, false;
    md_watch_appeared(sql, tab);
    if (!query(mt, tab, sql, &rows, err))
        return false;
    if (!md_next(&rows) || strcmp(rows.cell[0], "0") == 0)
        return true;
    err_set(err, ERR_TRANSIENT,
            "a row with the same key was inserted on the target while the batch was written");
    return md_table_err(tab, err);
}

/* What has been decided is carried out, but for the rows that the batch writes. */
static bool follow(struct md_target *mt, struct md_table *tab, const struct conflict_batch *batch,
                   const struct verdicts *v, struct strbuf *sql, bool *done, struct err *err)
{
    if (v->halted > 0)
        return halt(mt, tab, batch, v->halted, sql, err);
    md_watch_withdraw(sql, tab, mt->pipeline);
    if (!run(mt, tab, sql, err))
        return false;
    if (v->source + v->target > 0) {
        md_watch_log(sql, tab, mt->pipeline, batch->rule->text, shown_bytes(mt));
        if (!run(mt, tab, sql, err))
            return false;
    }
    if (v->open > 0) {
        md_watch_settle(sql, tab, mt->pipeline);
        if (!run(mt, tab, sql, err))
            return false;
    }
    md_watch_forget_gone(sql, tab);
    if (!run(mt, tab, sql, err))
        return false;
    md_watch_move(sql, tab);
    if (!run(mt, tab, sql, err) || !failpoint("apply.conflicts", err))
        return false;
    return v->fresh == 0 || batch->truncated || make_fresh(mt, tab, v, batch->key_count, sql, done, err);
}

static bool look(struct md_target *mt, struct md_table *tab, const struct conflict_batch *batch, bool *done,
                 struct conflict_counts *ret, struct strbuf *sql, struct err *err)
{
    struct verdicts v = {0};
    bool lacks = false;
    if (!make_ready(mt, tab, batch->rule, sql, err))
        return false;
    if (batch->truncated) {
        strbuf_addf(sql, "DELETE FROM crossfade_applied WHERE dual_write = %" PRId64, tab->watch->id);
        if (!run(mt, tab, sql, err))
            return false;
    }
    if (batch->count == 0)
        return true;
    v.is_fresh = xcalloc(batch->key_count + 1, sizeof *v.is_fresh);
    bool ok = stage(mt, tab, batch, &lacks, err) && decide(mt, tab, batch, lacks, sql, done, &v, err) &&
              follow(mt, tab, batch, &v, sql, done, err);
    free(v.is_fresh);
    ret->source += v.source;
    ret->target += v.target;
    ret->settled += v.open;
    return ok;
}

static bool check(struct target *tgt, const struct conflict_batch *batch, bool *ret_done,
                  struct conflict_counts *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct conflict_counts counts = *ret;
    bool ok =
        look((struct md_target *)tgt, (struct md_table *)batch->table, batch, ret_done, &counts, &sql, err);
    strbuf_release(&sql);
    if (!ok)
        return err_wrap(err, "target");
    *ret = counts;
    return true;
}

static bool halted(const struct target *tgt)
{
    return ((const struct md_target *)tgt)->halt != NULL;
}

static bool halted_row(const struct target *tgt, size_t i, const char *ret[2])
{
    const struct md_halt *halt = ((const struct md_target *)tgt)->halt;
    if (halt == NULL || i >= mysql_num_rows(halt->rows))
        return false;
    struct md_rows rows = {.res = halt->rows};
    mysql_data_seek(halt->rows, i);
    if (!md_next(&rows))
        return false;
    ret[0] = rows.cell[1];
    ret[1] = rows.cell[5];
    return true;
}

static void add_cell(struct strbuf *sql, const char *cell, bool hex)
{
    strbuf_adds(sql, hex && cell != NULL ? ", UNHEX(" : ", ");
    if (cell == NULL)
        strbuf_adds(sql, "NULL");
    else
        maria_quote_literal(sql, cell);
    strbuf_adds(sql, hex && cell != NULL ? ")" : "");
}

static bool keep_open(struct md_target *mt, struct err *err)
{
    const struct md_halt *halt = mt->halt;
    const char *const texts[] = {halt->schema->schema, halt->schema->table, halt->rule->text, "open"};
    struct md_rows rows = {.res = halt->rows};
    bool ok = true;
    mysql_data_seek(halt->rows, 0);
    while (ok && md_next(&rows)) {
        struct strbuf sql = STRBUF_INIT(MD_TEXT_MAX);
        strbuf_adds(
            &sql, "INSERT INTO crossfade_conflict (pipeline, schema_name, table_name, policy, state, `key`, "
                  "key_hash, kind, source_row, target_row, target_hash, commit_lsn) VALUES (");
        maria_quote_literal(&sql, mt->pipeline);
        for (size_t i = 0; i < ARRAY_LEN(texts); i++)
            add_cell(&sql, texts[i], false);
        for (size_t i = 0; i < 7; i++)
            add_cell(&sql, rows.cell[i], i == 1 || i == 5);
        strbuf_adds(&sql, ") ON DUPLICATE KEY UPDATE request = IF(target_hash = VALUES(target_hash), "
                          "request, NULL), kind = VALUES(kind), source_row = VALUES(source_row), "
                          "target_row = VALUES(target_row), target_hash = VALUES(target_hash), commit_lsn = "
                          "VALUES(commit_lsn)");
        ok = strbuf_ok(&sql, "statement", err) && md_exec(mt, sql.data, err);
        strbuf_release(&sql);
    }
    return ok || err_wrap(err, "target: crossfade_conflict");
}

static bool give_up(struct target *tgt, bool keep, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    if (!target_abandon(tgt, err))
        return false;
    bool ok = mt->halt == NULL || !keep || keep_open(mt, err);
    md_halt_release(mt);
    return ok;
}

const struct target_conflict_ops md_conflicts = {
    .start = md_watch_start,
    .check = check,
    .halted = halted,
    .halted_row = halted_row,
    .give_up = give_up,
    .look = md_conflicts_look,
    .answer = md_conflicts_answer,
};
