/*
 * Owns: loading chunks directly into MariaDB, and whose turn that is. See target/loader.h.
 *
 * Rows come as datums and go the way that apply's go (plan.c, values.c), so that a value is the same whichever way its row came. Indexes
 * are there before the rows: InnoDB keeps rows in its primary key, which cannot be added behind them without copying all; secondary ones
 * come later (schema create --indexes).
 */
#include "loader_mariadb.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"

/* --- life --- */

void mdl_forget_tables(struct md_loader *ld)
{
    for (; ld->known_count > 0; ld->known_count--) { /* nobody else has made any */
        md_table_free(ld->known[ld->known_count - 1].tab);
        ld->mt->table_count--;
    }
    ld->tab = NULL;
    ld->st = NULL;
}

static void mdl_close(struct loader *base)
{
    struct md_loader *ld = (struct md_loader *)base;
    if (ld->mt != NULL) {
        mdl_forget_tables(ld);
        md_close(&ld->mt->base);
    }
    mdl_file_release(ld);
    free(ld);
}

static void mdl_cancel(struct loader *base)
{
    struct md_target *mt = ((struct md_loader *)base)->mt;
    mt->base.ops->cancel(&mt->base);
}

static bool mdl_open(const struct loader_options *options, struct loader **ret, struct err *err)
{
    struct md_loader *ld = xcalloc(1, sizeof *ld);
    const struct target_options target = {.url = options->url,
                                          .pipeline = options->pipeline,
                                          .shard = "1/1",
                                          .truncate_nonempty = options->truncate_nonempty,
                                          .unfit = options->unfit};
    loader_base(&ld->base, &loader_mariadb, options);
    strbuf_init(&ld->file.rows, 2 * MD_TEXT_MAX);
    strbuf_init(&ld->file.value, MD_TEXT_MAX);
    if (!md_open_loading(&target, &ld->mt, err) || !mdl_file_allowed(ld, &ld->as_file, err)) {
        loader_close(&ld->base);
        return false;
    }
    *ret = &ld->base;
    return true;
}

bool mdl_exec(struct md_loader *ld, struct strbuf *sql, struct err *err)
{
    bool ok = strbuf_ok(sql, "statement", err) && md_exec(ld->mt, sql->data, err);
    strbuf_release(sql);
    return ok;
}

void mdl_add_pipeline(struct strbuf *sb, const struct md_loader *ld)
{
    strbuf_adds(sb, "pipeline = ");
    maria_quote_literal(sb, ld->base.pipeline);
}

void mdl_add_ours(struct strbuf *sb, const struct md_loader *ld, uint32_t oid)
{
    mdl_add_pipeline(sb, ld);
    strbuf_addf(sb, " AND source_oid = %" PRIu32, oid);
}

/* --- whose turn it is --- */

static bool read_places(struct md_loader *ld, const char *tail, struct loader_place *ret, size_t *ret_count,
                        struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    strbuf_adds(&sql,
                "SELECT shard, attempt, lsn, source_system_id, complete FROM crossfade_position WHERE ");
    mdl_add_pipeline(&sql, ld);
    strbuf_adds(&sql, tail);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(ld->mt, sql.data, &rows, err);
    strbuf_release(&sql);
    for (*ret_count = 0; ok && md_next(&rows); (*ret_count)++) {
        struct loader_place *place = &ret[*ret_count];
        if (*ret_count == LOADER_PLACES_MAX)
            return loader_too_many_places(err);
        strncpy(place->shard, rows.cell[0], sizeof place->shard - 1);
        place->attempt = strtoull(rows.cell[1], NULL, 10);
        place->source_system_id = strtoull(rows.cell[3], NULL, 10);
        place->complete = strcmp(rows.cell[4], "0") != 0;
        ok = lsn_parse(rows.cell[2], &place->lsn) ||
             err_set(err, ERR_PROTOCOL, "crossfade_position.lsn does not parse");
    }
    return ok;
}

static bool mdl_places(struct loader *base, struct loader_place *ret, size_t *ret_count, struct err *err)
{
    return read_places((struct md_loader *)base, "", ret, ret_count, err);
}

/* START TRANSACTION would commit what an abandoned chunk has left. */
static bool start(struct md_loader *ld, struct err *err)
{
    if (ld->open && !md_exec(ld->mt, "ROLLBACK", err))
        return false;
    ld->open = md_exec(ld->mt, "START TRANSACTION", err);
    return ld->open;
}

static bool commit(struct md_loader *ld, struct err *err)
{
    if (!md_exec(ld->mt, "COMMIT", err))
        return false;
    ld->open = false;
    return true;
}

/* Begins a transaction that holds the claim: neither another loader nor apply's next attempt comes in between. */
static bool begin(struct md_loader *ld, struct err *err)
{
    struct loader_place *places CLEANUP(free_ptr) = xcalloc(LOADER_PLACES_MAX, sizeof *places);
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    size_t count = 0;
    int64_t ours = 0;
    bool ready = false;
    strbuf_adds(&sql, "SELECT 1 FROM crossfade_direct_load WHERE ");
    mdl_add_pipeline(&sql, ld);
    strbuf_addf(&sql, " AND attempt = %" PRIu64 " AND NOT done AND owner = ", ld->base.attempt);
    maria_quote_literal(&sql, ld->base.owner);
    strbuf_adds(&sql, " LOCK IN SHARE MODE");
    bool ok =
        strbuf_ok(&sql, "statement", err) && start(ld, err) && md_query_int64(ld->mt, sql.data, &ours, err);
    strbuf_release(&sql);
    if (!ok)
        return false;
    if (ours != 0 && (!read_places(ld, " LOCK IN SHARE MODE", places, &count, err) ||
                      !loader_places_ready(&ld->base, places, count, &ld->shards, &ready, err)))
        return false;
    return ready || loader_taken_over(err);
}

struct claim {
    bool found, done;
    uint64_t attempt;
};

static bool lock_claim(struct md_loader *ld, struct claim *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    *ret = (struct claim){0};
    strbuf_adds(&sql, "SELECT attempt, done FROM crossfade_direct_load WHERE ");
    mdl_add_pipeline(&sql, ld);
    strbuf_adds(&sql, " FOR UPDATE");
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(ld->mt, sql.data, &rows, err);
    strbuf_release(&sql);
    if (ok && md_next(&rows))
        *ret = (struct claim){.found = true,
                              .attempt = strtoull(rows.cell[0], NULL, 10),
                              .done = strcmp(rows.cell[1], "0") != 0};
    return ok;
}

/* The lists of an earlier attempt go with its claim. */
static bool forget_lists(struct md_loader *ld, struct err *err)
{
    static const char *const tables[] = {"chunk", "table", "letter"};
    bool ok = true;
    for (size_t i = 0; ok && i < ARRAY_LEN(tables); i++) {
        struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
        strbuf_addf(&sql, "DELETE FROM crossfade_direct_%s WHERE ", tables[i]);
        mdl_add_pipeline(&sql, ld);
        ok = mdl_exec(ld, &sql, err);
    }
    return ok;
}

static bool write_claim(struct md_loader *ld, const struct claim *old, bool done, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, old->found ? "UPDATE" : "INSERT INTO");
    strbuf_adds(&sql, " crossfade_direct_load SET owner = ");
    maria_quote_literal(&sql, ld->base.owner);
    strbuf_addf(&sql, ", attempt = %" PRIu64 ", done = %d%s", ld->base.attempt, done,
                old->found ? " WHERE " : ", ");
    mdl_add_pipeline(&sql, ld);
    if (mdl_exec(ld, &sql, err))
        return true;
    if (strcmp(err->sqlstate, "23505") == 0) /* two at once: it is looked at again */
        err->code = ERR_TRANSIENT;
    return false;
}

static bool mdl_claim(struct loader *base, bool *ret_done, struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    struct claim old;
    if (!start(ld, err) || !lock_claim(ld, &old, err))
        return false;
    if (old.found && old.attempt > ld->base.attempt)
        return err_set(err, ERR_FENCED,
                       "a later attempt than %" PRIu64 " is being loaded: another capture runs",
                       ld->base.attempt);
    bool same = old.found && old.attempt == ld->base.attempt;
    if ((!same && !forget_lists(ld, err)) || !write_claim(ld, &old, same && old.done, err) ||
        !commit(ld, err))
        return false;
    *ret_done = same && old.done;
    return true;
}

static bool mdl_finish(struct loader *base, struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    int64_t touched = 0;
    strbuf_adds(&sql, "UPDATE crossfade_direct_load SET done = 1, ended_at = SYSDATE(6) WHERE ");
    mdl_add_pipeline(&sql, ld);
    strbuf_addf(&sql, " AND attempt = %" PRIu64 " AND owner = ", ld->base.attempt);
    maria_quote_literal(&sql, ld->base.owner);
    bool ok = strbuf_ok(&sql, "statement", err) && start(ld, err) &&
              md_exec_count(ld->mt, sql.data, &touched, err) && (touched == 1 || loader_taken_over(err)) &&
              commit(ld, err);
    strbuf_release(&sql);
    return ok;
}

/* --- tables --- */

static bool is_known(const struct md_loader *ld, size_t i, const struct loader_table *t)
{
    return i < ld->known_count && ld->known[i].of == t && ld->known[i].rows == t->rows;
}

bool mdl_tables(struct md_loader *ld, const struct loader_table *const *tables, size_t count, struct err *err)
{
    const struct table_schema *schemas[LOADER_TABLES];
    struct target_table *made[LOADER_TABLES];
    bool known = true;
    for (size_t i = 0; i < count; i++) {
        known = known && is_known(ld, i, tables[i]);
        schemas[i] = tables[i]->rows;
    }
    if (known && count == ld->known_count)
        return true;
    mdl_forget_tables(ld);
    size_t before = ld->mt->table_count;
    if (!md_prepare(&ld->mt->base, schemas, count, made, err)) {
        while (ld->mt->table_count > before) /* parts that came before */
            md_table_free(ld->mt->tables[--ld->mt->table_count]);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        ld->known[i] = (struct md_known){tables[i], tables[i]->rows, (struct md_table *)made[i]};
    ld->known_count = count;
    return true;
}

bool mdl_table(struct md_loader *ld, const struct loader_table *t, struct err *err)
{
    size_t i = 0;
    while (i < ld->known_count && !is_known(ld, i, t))
        i++;
    if (i == ld->known_count) {
        if (!mdl_tables(ld, &t, 1, err))
            return false;
        i = 0;
    }
    if (ld->tab != ld->known[i].tab) {
        ld->tab = ld->known[i].tab;
        ld->st = NULL;
        mdl_file_start(ld);
    }
    return true;
}

/* crossfade_loaded tells whose rows they are: of the shard that goes on with the table. */
static bool look_at_tables(struct md_loader *ld, const struct loader_table *const *tables, size_t count,
                           bool *ret_ours, bool *ret_filled, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    for (size_t i = 0; i < count; i++) {
        char shard[32];
        loader_shard_of(ld->shards, tables[i]->schema, tables[i]->name, shard);
        strbuf_addf(&sql, "%sSELECT %zu, EXISTS (SELECT 1 FROM crossfade_loaded WHERE ",
                    i > 0 ? " UNION ALL " : "", i);
        mdl_add_pipeline(&sql, ld);
        strbuf_adds(&sql, " AND shard = ");
        maria_quote_literal(&sql, shard);
        strbuf_adds(&sql, " AND schema_name = ");
        maria_quote_literal(&sql, tables[i]->schema);
        strbuf_adds(&sql, " AND table_name = ");
        maria_quote_literal(&sql, tables[i]->name);
        strbuf_addf(&sql, "), EXISTS (SELECT 1 FROM %s)", ld->known[i].tab->name);
    }
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(ld->mt, sql.data, &rows, err);
    strbuf_release(&sql);
    while (ok && md_next(&rows)) {
        size_t at = strtoul(rows.cell[0], NULL, 10);
        ret_ours[at] = strcmp(rows.cell[1], "0") != 0;
        ret_filled[at] = strcmp(rows.cell[2], "0") != 0;
    }
    return ok;
}

static bool empty_filled(struct md_loader *ld, const struct loader_table *const *tables, size_t count,
                         const bool *ours, const bool *filled, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!filled[i])
            continue;
        if (!ours[i] && !ld->base.truncate_nonempty)
            return err_set(err, ERR_SCHEMA,
                           "table=%s.%s: the target table holds rows that this pipeline did not write: empty "
                           "it, or set apply.on_nonempty: truncate",
                           tables[i]->schema, tables[i]->name);
        if (!md_empty(ld->mt, ld->known[i].tab, err))
            return err_wrap(err, "table=%s.%s", tables[i]->schema, tables[i]->name);
    }
    return true;
}

/* "(…, schema, table" of an INSERT. */
static void add_row(struct strbuf *sql, const struct md_loader *ld, bool first)
{
    strbuf_adds(sql, first ? "(" : ", (");
    maria_quote_literal(sql, ld->base.pipeline);
}

static void add_text(struct strbuf *sql, const char *text)
{
    strbuf_adds(sql, ", ");
    maria_quote_literal(sql, text);
}

static bool note_loaded(struct md_loader *ld, const struct loader_table *const *tables, size_t count,
                        const bool *ours, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    bool any = false;
    strbuf_adds(&sql,
                "INSERT INTO crossfade_loaded (pipeline, shard, schema_name, table_name, attempt) VALUES ");
    for (size_t i = 0; i < count; i++) {
        char shard[32];
        if (ours[i])
            continue;
        loader_shard_of(ld->shards, tables[i]->schema, tables[i]->name, shard);
        add_row(&sql, ld, !any);
        add_text(&sql, shard);
        add_text(&sql, tables[i]->schema);
        add_text(&sql, tables[i]->name);
        strbuf_addf(&sql, ", %" PRIu64 ")", ld->base.attempt);
        any = true;
    }
    if (any)
        return mdl_exec(ld, &sql, err);
    strbuf_release(&sql);
    return true;
}

static bool note_tables(struct md_loader *ld, const struct loader_table *const *tables, size_t count,
                        struct err *err)
{
    struct strbuf chunks = STRBUF_INIT(STRBUF_SQL_MAX), letters = STRBUF_INIT(STRBUF_SQL_MAX),
                  sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&chunks, "DELETE FROM crossfade_direct_chunk WHERE ");
    strbuf_adds(&letters, "DELETE FROM crossfade_direct_letter WHERE ");
    mdl_add_pipeline(&chunks, ld);
    mdl_add_pipeline(&letters, ld);
    strbuf_adds(&chunks, " AND source_oid IN (");
    strbuf_adds(&letters, " AND source_oid IN (");
    strbuf_adds(
        &sql,
        "REPLACE INTO crossfade_direct_table (pipeline, source_oid, schema_name, table_name, shape) VALUES ");
    for (size_t i = 0; i < count; i++) {
        strbuf_addf(&chunks, "%s%" PRIu32, i > 0 ? ", " : "", tables[i]->oid);
        strbuf_addf(&letters, "%s%" PRIu32, i > 0 ? ", " : "", tables[i]->oid);
        add_row(&sql, ld, i == 0);
        strbuf_addf(&sql, ", %" PRIu32, tables[i]->oid);
        add_text(&sql, tables[i]->schema);
        add_text(&sql, tables[i]->name);
        add_text(&sql, tables[i]->shape);
        strbuf_adds(&sql, ")");
    }
    strbuf_adds(&chunks, ")");
    strbuf_adds(&letters, ")");
    bool ok = mdl_exec(ld, &chunks, err) && mdl_exec(ld, &letters, err) && mdl_exec(ld, &sql, err);
    strbuf_release(&letters);
    strbuf_release(&sql);
    return ok;
}

static bool mdl_begin_tables(struct loader *base, const struct loader_table *const *tables, size_t count,
                             struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    bool ours[LOADER_TABLES] = {0}, filled[LOADER_TABLES] = {0};
    return mdl_tables(ld, tables, count, err) && begin(ld, err) &&
           look_at_tables(ld, tables, count, ours, filled, err) &&
           empty_filled(ld, tables, count, ours, filled, err) && note_loaded(ld, tables, count, ours, err) &&
           note_tables(ld, tables, count, err) && commit(ld, err);
}

static bool mdl_end_tables(struct loader *base, const struct loader_table *const *tables, size_t count,
                           struct err *err)
{
    (void)base;
    (void)tables;
    (void)count;
    (void)err;
    return true;
}

/* --- chunks --- */

static bool mdl_plan(struct loader *base, const struct loader_chunk *chunk, struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX), upper = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "INSERT INTO crossfade_direct_chunk SET ");
    mdl_add_pipeline(&sql, ld);
    strbuf_addf(&sql,
                ", source_oid = %" PRIu32 ", part_oid = %" PRIu32 ", number = %d, upper = ", chunk->table_oid,
                chunk->part_oid, chunk->number);
    loader_upper_write(&upper, chunk);
    if (chunk->upper == NULL)
        strbuf_adds(&sql, "NULL");
    else if (upper.data != NULL)
        maria_quote_literal(&sql, upper.data);
    bool ok =
        strbuf_ok(&upper, "statement", err) && begin(ld, err) && mdl_exec(ld, &sql, err) && commit(ld, err);
    strbuf_release(&upper);
    strbuf_release(&sql);
    return ok;
}

static bool mdl_begin(struct loader *base, const struct loader_table *const *tables, size_t count,
                      struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    strbuf_clear(&ld->file.rows); /* of what was given up */
    ld->file.count = 0;
    return mdl_tables(ld, tables, count, err) && begin(ld, err);
}

static bool mdl_start(struct loader *base, const struct loader_table *t, enum loader_form form,
                      struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    BUG_UNLESS(form == LOADER_ROWS);
    ld->count = ld->file.count = 0;
    strbuf_clear(&ld->file.rows);
    return mdl_table(ld, t, err) &&
           (ld->as_file || md_stmt_start(ld->mt, ld->tab, MD_INSERT, NULL, &ld->st, err));
}

static bool mdl_put_row(struct loader *base, const struct datum *values, lsn_t lsn, struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    const struct target_row row = {.op = TARGET_INSERT, .row = values, .commit_lsn = lsn};
    ld->count++;
    return ld->as_file ? mdl_file_add(ld, &row, err) : md_stmt_add(ld->mt, ld->st, &row, err);
}

static bool flush(struct md_loader *ld, struct err *err)
{
    return ld->as_file ? mdl_file_flush(ld, err)
                       : md_stmt_flush(ld->mt, ld->st, err) || md_table_err(ld->tab, err);
}

static bool mdl_stop(struct loader *base, int64_t *ret_rows, struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    *ret_rows = ld->count;
    return flush(ld, err);
}

/* Whole parts that were not planned: `IGNORE` so that one that is there already shows in the count. */
static void put_whole(struct strbuf *sql, const struct md_loader *ld, const struct loader_chunk *chunks,
                      size_t count, const char *lsn)
{
    strbuf_adds(sql,
                "INSERT IGNORE INTO crossfade_direct_chunk (pipeline, source_oid, part_oid, number, lsn, "
                "`rows`, done) VALUES ");
    for (size_t i = 0; i < count; i++) {
        add_row(sql, ld, i == 0);
        strbuf_addf(sql, ", %" PRIu32 ", %" PRIu32 ", 0, '%s', %" PRId64 ", 1)", chunks[i].table_oid,
                    chunks[i].part_oid, lsn, chunks[i].rows);
    }
}

static bool mdl_end(struct loader *base, const struct loader_chunk *chunks, size_t count, lsn_t lsn,
                    struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    char at[LSN_TEXT_MAX];
    int64_t noted = 0;
    if (!failpoint("capture.direct_copied", err))
        return false;
    (void)lsn_format(lsn, at);
    if (chunks[0].noted) {
        strbuf_addf(&sql,
                    "UPDATE crossfade_direct_chunk SET done = 1, lsn = '%s', `rows` = %" PRId64
                    " WHERE part_oid = %" PRIu32 " AND number = %d AND NOT done AND ",
                    at, chunks[0].rows, chunks[0].part_oid, chunks[0].number);
        mdl_add_ours(&sql, ld, chunks[0].table_oid);
    } else {
        put_whole(&sql, ld, chunks, count, at);
    }
    bool ok = strbuf_ok(&sql, "statement", err) && md_exec_count(ld->mt, sql.data, &noted, err);
    strbuf_release(&sql);
    if (!ok)
        return false;
    if (noted != (int64_t)count)
        return err_set(err, ERR_FENCED, "a chunk of the direct load is gone, or done already");
    return commit(ld, err);
}

static const struct loader_table_ops tables = {
    .look = mdl_look, .begin = mdl_begin_tables, .end = mdl_end_tables};

static const struct loader_chunk_ops chunks = {.plan = mdl_plan,
                                               .begin = mdl_begin,
                                               .start = mdl_start,
                                               .put_row = mdl_put_row,
                                               .stop = mdl_stop,
                                               .save = mdl_save,
                                               .restore = mdl_restore,
                                               .hold = mdl_hold,
                                               .end = mdl_end};

const struct loader_ops loader_mariadb = {
    .open = mdl_open,
    .close = mdl_close,
    .cancel = mdl_cancel,
    .places = mdl_places,
    .claim = mdl_claim,
    .finish = mdl_finish,
    .tables = &tables,
    .chunks = &chunks,
};
