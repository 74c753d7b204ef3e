/* Owns: the look for conflicts before a batch is written. See conflicts.h. */
#include "target/conflicts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "postgres.h"

/* COPY BINARY: signature, flags, no extension. */
static const char COPY_HEADER[19] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";

#define FIXED_FIELDS 7 /* g, l, p, b, f, m, a */

static bool find_newer(const struct pg_table *tab, const struct conflict_rule *rule, size_t *ret,
                       struct err *err)
{
    for (size_t i = 0; i < tab->column_count; i++) {
        if (strcmp(tab->columns[i].field->name, rule->column) == 0) {
            *ret = i;
            return true;
        }
    }
    return err_set(err, ERR_SCHEMA, "apply.conflicts: newer_wins(%s): there is no such column", rule->column);
}

static bool run(struct pg_target *pt, struct strbuf *sql, int count, const char *const *params,
                struct pg_result **ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    bool ok = strbuf_ok(sql, "statement", err) && pg_query(pt->conn, sql->data, count, params, &res, err);
    strbuf_clear(sql);
    if (ok && ret != NULL) {
        *ret = res;
        res = NULL;
    }
    return ok;
}

static bool make_ready(struct pg_target *pt, struct pg_table *tab, const struct conflict_rule *rule,
                       struct strbuf *sql, struct err *err)
{
    if (tab->key_count == 0)
        return err_set(err, ERR_SCHEMA,
                       "apply.conflicts: a table without key cannot be written on both sides");
    if (tab->watch == NULL)
        tab->watch = pgt_watch_new(tab);
    struct pg_watch *watch = tab->watch;
    if (rule->policy == CONFLICT_NEWER_WINS && !find_newer(tab, rule, &watch->newer, err))
        return false;
    watch->policy = rule->policy;
    tab->base.watched = true;
    if (!pgt_ensure_loaded(pt, &tab, 1, err) || !pgt_plain(pt, err) || !pgt_watch_find(pt, tab, err))
        return false;
    if (!watch->made) {
        sql_watch_create(sql, tab);
        if (!pgt_exec(pt, sql, err))
            return false;
        watch->made = true;
        pt->stage_count++;
    }
    strbuf_clear(sql);
    if (watch->used) {
        sql_watch_clear(sql, tab);
        if (!pgt_exec(pt, sql, err))
            return false;
    }
    strbuf_clear(sql);
    watch->used = true;
    return true;
}

static void add_int(struct strbuf *out, uint32_t value)
{
    strbuf_add_be32(out, 4);
    strbuf_add_be32(out, value);
}

static void add_bool(struct strbuf *out, bool value)
{
    strbuf_add_be32(out, 1);
    strbuf_addc(out, (char)value);
}

/* Which values are missing, one character for each column; null when none is. */
static void add_mask(struct strbuf *out, const struct pg_table *tab, const struct datum *row)
{
    bool missing = false;
    for (size_t i = 0; row != NULL && i < tab->column_count; i++)
        missing = missing || row[tab->columns[i].index].state == DATUM_UNAVAILABLE;
    if (!missing) {
        strbuf_add_be32(out, UINT32_MAX);
        return;
    }
    strbuf_add_be32(out, (uint32_t)tab->column_count);
    for (size_t i = 0; i < tab->column_count; i++)
        strbuf_addc(out, row[tab->columns[i].index].state == DATUM_UNAVAILABLE ? '-' : '+');
}

static bool put_datum(struct pg_target *pt, const struct pg_table *tab, const struct pg_column *col,
                      const struct datum *value, lsn_t lsn, struct err *err)
{
    const struct target_row row = {.commit_lsn = lsn};
    struct err why = ERR_INIT;
    size_t before = pt->out.len;
    if (pg_write_copy(&col->writer, value, &pt->out, &why))
        return true;
    if (pgt_becomes_null(tab, col, &why)) {
        pt->out.len = before;
        strbuf_add_be32(&pt->out, UINT32_MAX);
        return true;
    }
    *err = why;
    return pgt_value_err(tab, col, &row, err);
}

static bool put_state(struct pg_target *pt, const struct pg_table *tab, const struct conflict_state *st,
                      struct err *err)
{
    struct strbuf *out = &pt->out;
    strbuf_add_be16(out, (uint16_t)(FIXED_FIELDS + tab->key_count + tab->column_count));
    add_int(out, st->key);
    add_bool(out, st->last);
    add_bool(out, st->row != NULL);
    add_bool(out, st->was_absent);
    add_int(out, st->base);
    add_mask(out, tab, st->row);
    strbuf_add_be32(out, 8);
    strbuf_add_be64(out, st->commit_lsn);
    for (size_t i = 0; i < tab->key_count; i++) {
        const struct pg_column *col = &tab->columns[tab->key[i]];
        if (!put_datum(pt, tab, col, &st->key_values[col->index], st->commit_lsn, err))
            return false;
    }
    for (size_t i = 0; i < tab->column_count; i++) {
        const struct pg_column *col = &tab->columns[i];
        if (st->row == NULL || st->row[col->index].state == DATUM_UNAVAILABLE)
            strbuf_add_be32(out, UINT32_MAX);
        else if (!put_datum(pt, tab, col, &st->row[col->index], st->commit_lsn, err))
            return false;
    }
    return strbuf_ok(out, "row", err);
}

static bool copy_states(struct pg_target *pt, struct pg_table *tab, const struct conflict_batch *batch,
                        struct strbuf *sql, struct err *err)
{
    sql_watch_copy(sql, tab);
    bool ok = strbuf_ok(sql, "statement", err) && pg_copy_in_begin(pt->conn, sql->data, err);
    strbuf_clear(sql);
    if (!ok)
        return false;
    strbuf_clear(&pt->out);
    strbuf_add(&pt->out, COPY_HEADER, sizeof COPY_HEADER);
    pt->copy = tab; /* begin() and restore() abort it if a value cannot be written */
    for (size_t i = 0; ok && i < batch->count; i++) {
        ok = put_state(pt, tab, &batch->states[i], err);
        if (ok && pt->out.len >= COPY_CHUNK) {
            ok = pg_copy_in_put(pt->conn, pt->out.data, pt->out.len, err);
            strbuf_clear(&pt->out);
        }
    }
    return ok && pgt_copy_end(pt, err);
}

static bool halt(struct pg_target *pt, struct pg_table *tab, const struct conflict_batch *batch,
                 uint64_t count, struct strbuf *sql, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    sql_watch_halted(sql, tab);
    if (!run(pt, sql, 0, NULL, &res, err))
        return false;
    pg_result_free(pt->halted);
    pt->halted = res;
    pt->halted_schema = tab->base.schema;
    pt->halted_policy = batch->rule;
    res = NULL;
    const char *why = batch->rule->policy == CONFLICT_HALT
                          ? "both sides have changed the row, each in its own way"
                          : "both sides have changed the row, and the record lacks values that were not "
                            "changed (the source's table needs REPLICA IDENTITY FULL)";
    return err_set(err, ERR_SQL,
                   "%s (%s, key %.200s, lsn=%s; %" PRIu64 " rows). Hint: `crossfade apply conflicts list`, "
                   "then `crossfade apply conflicts resolve ID --take source|target`, or make both sides "
                   "equal; then start apply again: nothing was skipped",
                   why, pg_cell(pt->halted, 0, 2), pg_cell(pt->halted, 0, 0), pg_cell(pt->halted, 0, 5),
                   count);
}

struct verdicts {
    uint64_t source, target, halted, open, fresh;
    bool *is_fresh; /* by key */
};

static bool decide(struct pg_target *pt, struct pg_table *tab, const char *const *params, bool truncated,
                   struct strbuf *sql, bool *done, size_t key_count, struct verdicts *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!truncated) {
        sql_watch_lock(sql, tab);
        if (!run(pt, sql, 0, NULL, NULL, err))
            return false;
    }
    sql_watch_values(sql, tab);
    if (!run(pt, sql, 0, NULL, NULL, err))
        return false;
    sql_watch_decide(sql, tab);
    if (!run(pt, sql, 4, params, NULL, err))
        return false;
    strbuf_addf(sql,
                "SELECT d.g, d.decision, d.o, d.p AND d.w AND NOT d.n FROM pg_temp.crossfade_xd%u d WHERE "
                "d.o OR d.decision <> 'write' OR (d.p AND d.w AND NOT d.n)",
                tab->id);
    if (!run(pt, sql, 0, NULL, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        size_t key = (size_t)pg_cell_int64(res, i, 0);
        const char *decision = pg_cell(res, i, 1);
        BUG_UNLESS(key < key_count);
        bool source = strcmp(decision, "source") == 0, target = strcmp(decision, "target") == 0;
        done[key] = target || strcmp(decision, "skip") == 0;
        ret->source += source;
        ret->target += target;
        ret->halted += strcmp(decision, "halt") == 0;
        ret->open += pg_cell_bool(res, i, 2);
        ret->is_fresh[key] = pg_cell_bool(res, i, 3) && !done[key];
        ret->fresh += ret->is_fresh[key];
    }
    return true;
}

/* ON CONFLICT does not take constraints that are checked late, and children could come before their parents: then the batch's own order is better, and a row that appears between look and
 * write is written over. */
static bool may_make(const struct pg_target *pt, const struct pg_table *tab)
{
    return !tab->watch->late_keys && (!pt->base.triggers_fire || (tab->base.fk_rank == 0 && !tab->has_wards));
}

static bool make_fresh(struct pg_target *pt, struct pg_table *tab, const struct verdicts *v, size_t key_count,
                       struct strbuf *sql, bool *done, struct err *err)
{
    PG_RESULT_AUTO made = NULL;
    PG_RESULT_AUTO res = NULL;
    sql_watch_make(sql, tab);
    if (!run(pt, sql, 0, NULL, &made, err))
        return false;
    for (size_t i = 0; i < key_count && pg_affected(made) == (int64_t)v->fresh; i++)
        done[i] = done[i] || v->is_fresh[i];
    if (pg_affected(made) == (int64_t)v->fresh)
        return true;
    sql_watch_made(sql, tab);
    if (!run(pt, sql, 0, NULL, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        bool is_made = pg_cell_bool(res, i, 1), there = pg_cell_bool(res, i, 2);
        if (there && !is_made)
            return err_set(err, ERR_TRANSIENT,
                           "a row with the same key was inserted on the target while the batch was written");
        done[pg_cell_int64(res, i, 0)] = is_made; /* else another unique value is in its way for now */
    }
    return true;
}

/* What has been decided is carried out, but for the rows that the batch writes. */
static bool follow(struct pg_target *pt, struct pg_table *tab, const struct conflict_batch *batch,
                   const char *const *names, const struct verdicts *v, struct strbuf *sql, bool *done,
                   struct err *err)
{
    if (v->halted > 0)
        return halt(pt, tab, batch, v->halted, sql, err);
    sql_watch_withdraw(sql, tab);
    if (!run(pt, sql, 3, names + 1, NULL, err))
        return false;
    if (v->source + v->target > 0) {
        sql_watch_log(sql, tab);
        if (!run(pt, sql, 4, names + 1, NULL, err))
            return false;
    }
    if (v->open > 0) {
        sql_watch_settle(sql, tab);
        if (!run(pt, sql, 3, names + 1, NULL, err))
            return false;
    }
    sql_watch_move(sql, tab);
    if (!run(pt, sql, 1, names, NULL, err) || !failpoint("apply.conflicts", err))
        return false;
    return v->fresh == 0 || batch->truncated || !may_make(pt, tab) ||
           make_fresh(pt, tab, v, batch->key_count, sql, done, err);
}

static bool look(struct pg_target *pt, struct pg_table *tab, const struct conflict_batch *batch, bool *done,
                 struct conflict_counts *ret, struct strbuf *sql, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    char id[24];
    struct verdicts v = {0};
    if (!make_ready(pt, tab, batch->rule, sql, err))
        return false;
    (void)snprintf(id, sizeof id, "%" PRId64, tab->watch->id);
    const char *names[] = {id, pt->pipeline, schema->schema, schema->table, batch->rule->text};
    if (batch->truncated) {
        strbuf_adds(sql, "DELETE FROM crossfade.applied WHERE dual_write = $1::integer");
        if (!run(pt, sql, 1, names, NULL, err))
            return false;
    }
    if (batch->count == 0)
        return true;
    v.is_fresh = xcalloc(batch->key_count + 1, sizeof *v.is_fresh);
    bool ok = copy_states(pt, tab, batch, sql, err) &&
              decide(pt, tab, names, batch->truncated, sql, done, batch->key_count, &v, err) &&
              follow(pt, tab, batch, names, &v, sql, done, err);
    free(v.is_fresh);
    ret->source += v.source;
    ret->target += v.target;
    ret->settled += v.open;
    return ok;
}

static bool check(struct target *tgt, const struct conflict_batch *batch, bool *ret_done,
                  struct conflict_counts *ret, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    struct pg_table *tab = (struct pg_table *)batch->table;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct conflict_counts counts = *ret;
    bool ok = look(pt, tab, batch, ret_done, &counts, &sql, err);
    strbuf_release(&sql);
    if (!ok) {
        pgt_table_err(tab, err);
        return err_wrap(err, "target");
    }
    *ret = counts;
    return true;
}

static bool halted(const struct target *tgt)
{
    return ((const struct pg_target *)tgt)->halted != NULL;
}

static bool halted_row(const struct target *tgt, size_t i, const char *ret[2])
{
    const struct pg_result *res = ((const struct pg_target *)tgt)->halted;
    if (res == NULL || i >= (size_t)pg_rows(res))
        return false;
    ret[0] = pg_cell(res, (int)i, 1);
    ret[1] = pg_cell(res, (int)i, 6);
    return true;
}

static bool keep_open(struct pg_target *pt, struct err *err)
{
    bool ok = true;
    for (int i = 0; ok && i < pg_rows(pt->halted); i++) {
        PG_RESULT_AUTO res = NULL;
        const char *params[11] = {pt->pipeline, pt->halted_schema->schema, pt->halted_schema->table,
                                  pt->halted_policy->text};
        for (int k = 0; k < 7; k++)
            params[4 + k] = pg_is_null(pt->halted, i, k) ? NULL : pg_cell(pt->halted, i, k);
        ok = pg_query(
            pt->conn,
            "INSERT INTO crossfade.conflict AS c (pipeline, schema_name, table_name, policy, state, key, "
            "key_hash, kind, source_row, target_row, commit_lsn, target_hash) VALUES ($1, $2, $3, $4, "
            "'open', "
            "$5::jsonb, $6::uuid, $7, $8::jsonb, $9::jsonb, $10::pg_lsn, $11::uuid) ON CONFLICT (pipeline, "
            "schema_name, table_name, key_hash) WHERE state = 'open' DO UPDATE SET kind = "
            "EXCLUDED.kind, source_row = EXCLUDED.source_row, target_row = EXCLUDED.target_row, "
            "commit_lsn = EXCLUDED.commit_lsn, target_hash = EXCLUDED.target_hash, request = CASE WHEN "
            "c.target_hash = EXCLUDED.target_hash THEN c.request END",
            11, params, &res, err);
    }
    return ok || err_wrap(err, "target: crossfade.conflict");
}

static bool give_up(struct target *tgt, bool keep, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    if (!target_abandon(tgt, err))
        return false;
    bool ok = pt->halted == NULL || !keep || keep_open(pt, err);
    pg_result_free(pt->halted);
    pt->halted = NULL;
    return ok;
}

const struct target_conflict_ops pgt_conflicts = {
    .start = pgt_watch_start,
    .check = check,
    .halted = halted,
    .halted_row = halted_row,
    .give_up = give_up,
    .look = pgt_conflicts_look,
    .answer = pgt_conflicts_answer,
};
