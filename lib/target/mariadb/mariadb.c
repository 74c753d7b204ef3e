/* Owns: life of the MariaDB target, its transaction and its position. */
#include "mariadb.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "letters.h"
#include "maria/script.h"
#include "sql/embedded.h"
#include "target/target_impl.h"
#include "watch.h"

bool md_begun(struct md_target *mt, struct err *err)
{
    if (mt->begun || !mt->in_transaction)
        return true;
    mt->begun = mt->writer > 0 ? md_xa_start(mt, err) : md_exec(mt, "START TRANSACTION", err);
    return mt->begun;
}

bool md_run_script(struct md_target *mt, const char *script, struct err *err)
{
    bool ok = true;
    for (char *sql; ok && (sql = maria_script_next(&script)) != NULL; free(sql))
        ok = md_exec(mt, sql, err);
    return ok;
}

/* Since when writers may be several. Not in the script: ALTER needs its right even where there is nothing to do. */
static bool add_pending_column(struct md_target *mt, struct err *err)
{
    int64_t there = 0;
    return md_query_int64(mt,
                          "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() "
                          "AND TABLE_NAME = 'crossfade_position' AND COLUMN_NAME = 'pending'",
                          &there, err) &&
           (there > 0 || md_exec(mt,
                                 "ALTER TABLE crossfade_position ADD COLUMN IF NOT EXISTS pending longtext "
                                 "NULL COMMENT 'decided, and the rows of some writers are still to be "
                                 "committed' AFTER offsets",
                                 err));
}

/* A role with few rights may use what is there, not make it: look first. */
static bool make_control_tables(struct md_target *mt, struct err *err)
{
    int64_t there = 0;
    return md_query_int64(
               mt,
               "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
               "TABLE_NAME IN "
               "('crossfade_position', 'crossfade_loaded', 'crossfade_release', 'crossfade_dead_letter')",
               &there, err) &&
           (there == 4 || md_run_script(mt, embedded_sql_target_mariadb_sql, err)) &&
           add_pending_column(mt, err);
}

void md_close(struct target *tgt)
{
    struct md_target *mt = (struct md_target *)tgt;
    for (size_t i = 0; i < mt->table_count; i++)
        md_table_free(mt->tables[i]);
    md_halt_release(mt);
    md_disconnect(mt);
    (void)pthread_mutex_destroy(&mt->lock);
    pg_type_catalog_free(mt->types);
    strbuf_release(&mt->array.bytes);
    free(mt->array.indicators);
    free(mt->array.values);
    free(mt->array.floats);
    free(mt->array.offsets);
    free(mt->array.lengths);
    free(mt->tables);
    free(mt->touched);
    free(mt->pipeline);
    free(mt->shard);
    free(mt->database);
    free(mt->offsets);
    free(mt);
}

static struct md_target *new_target(const struct target_options *options)
{
    struct md_target *mt = xcalloc(1, sizeof *mt);
    mt->base.ops = &target_mariadb;
    mt->fd = -1;
    (void)pthread_mutex_init(&mt->lock, NULL);
    mt->pipeline = xstrdup(options->pipeline);
    mt->shard = xstrdup(options->shard);
    mt->truncate_nonempty = options->truncate_nonempty;
    mt->unfit = options->unfit;
    mt->types = pg_type_catalog_new();
    strbuf_init(&mt->array.bytes, MD_TEXT_MAX);
    return mt;
}

bool md_open_loading(const struct target_options *options, struct md_target **ret, struct err *err)
{
    struct md_target *mt = new_target(options);
    bool there = false;
    mt->loads = true;
    if (!md_connect(mt, options->url, err) || !make_control_tables(mt, err) ||
        !md_direct_there(mt, &there, err) ||
        (!there && !md_run_script(mt, embedded_sql_target_mariadb_direct_sql, err))) {
        md_close(&mt->base);
        return false;
    }
    *ret = mt;
    return true;
}

bool md_open_as(const struct target_options *options, unsigned writer, struct md_target **ret,
                struct err *err)
{
    struct md_target *mt = new_target(options);
    mt->writer = writer;
    mt->crewed = options->writers > 1;
    if (!md_connect(mt, options->url, err) || (writer == 0 && !make_control_tables(mt, err)) ||
        !md_take_lock(mt, err)) {
        md_close(&mt->base);
        return err_wrap(err, "target");
    }
    *ret = mt;
    return true;
}

static bool md_open(const struct target_options *options, struct target **ret, struct err *err)
{
    struct md_target *mt = NULL;
    if (!md_open_as(options, 0, &mt, err))
        return false;
    if (!md_change_shards(mt, options, err)) {
        md_close(&mt->base);
        return err_wrap(err, "target");
    }
    *ret = &mt->base;
    return true;
}

void md_forget_transaction(struct md_target *mt, bool committed)
{
    for (size_t i = 0; i < mt->touched_count; i++) {
        struct md_table *tab = mt->touched[i];
        tab->loaded = tab->loaded || (committed && tab->loading);
        tab->loading = tab->emptied = tab->touched = false;
        md_watch_ended(tab->watch, committed);
    }
    mt->touched_count = 0;
    mt->begun = mt->in_transaction = false;
}

static bool md_begin(struct target *tgt, uint64_t attempt, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    if (mt->begun && !(mt->writer > 0 ? md_xa_abandon(mt, err) : md_exec(mt, "ROLLBACK", err)))
        return err_wrap(err, "target");
    md_forget_transaction(mt, false);
    if (!md_temporary_tidy(mt, err))
        return err_wrap(err, "target");
    mt->attempt = attempt;
    mt->in_transaction = true;
    return true;
}

static bool md_abandon(struct target *tgt, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    if (!md_begin(tgt, mt->attempt, err)) /* a transaction begins with its first statement */
        return false;
    mt->in_transaction = false;
    return true;
}

static bool md_write(struct target *tgt, enum target_mode mode, const struct target_batch *batches,
                     size_t count, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    bool ok = false;
    switch (mode) {
    case TARGET_SET:
    case TARGET_REPLACE:
        ok = md_write_set(mt, mode, batches, count, err);
        break;
    case TARGET_ORDERED:
        ok = md_write_ordered(mt, batches, count, err);
        break;
    case TARGET_RESET:
        ok = md_reset(mt, err);
        break;
    case TARGET_MODE_UNKNOWN:
        BUG("write without mode");
    }
    return ok || err_wrap(err, "target");
}

static void add_text(struct strbuf *sb, const char *text)
{
    if (text == NULL)
        strbuf_adds(sb, "NULL");
    else
        maria_quote_literal(sb, text);
}

static void add_commit_time(struct strbuf *sb, const struct target_position *pos)
{
    if (pos->commit_time_us != 0)
        strbuf_addf(sb, "TIMESTAMPADD(MICROSECOND, %" PRId64 ", '1970-01-01 00:00:00.000000')",
                    pos->commit_time_us);
    else
        strbuf_adds(sb, "NULL");
}

/* How the row's fields are written: "fence_id = …, " in a statement, "'fence_id', …, " as arguments of JSON_OBJECT. */
struct form {
    const char *before, *between; /* around a name */
};
static const struct form AS_COLUMNS = {"", " = "}, AS_JSON = {"'", "', "};

static void add_name(struct strbuf *sb, const struct form *form, const char *name)
{
    strbuf_addf(sb, "%s%s%s", form->before, name, form->between);
}

static void add_count(struct strbuf *sb, const struct form *form, const char *name, uint64_t n)
{
    add_name(sb, form, name);
    strbuf_addf(sb, "%" PRIu64 ", ", n);
}

static void add_label(struct strbuf *sb, const struct form *form, const char *name, const char *text)
{
    add_name(sb, form, name);
    add_text(sb, text);
    strbuf_adds(sb, ", ");
}

/* All of NAMES (writers.c), the last one without a comma behind it. */
static void add_fields(struct strbuf *sb, const struct form *form, const struct target_position *pos)
{
    char lsn[LSN_TEXT_MAX], system_id[24];
    (void)snprintf(system_id, sizeof system_id, "%" PRIu64, pos->source_system_id);
    add_count(sb, form, "fence_id", pos->fence_id);
    add_count(sb, form, "fence_offset", pos->fence_offset);
    add_label(sb, form, "lsn", lsn_format(pos->lsn, lsn));
    add_label(sb, form, "source_system_id", system_id);
    add_count(sb, form, "attempt", pos->attempt);
    add_count(sb, form, "complete", pos->complete);
    add_label(sb, form, "marker_kind",
              pos->marker_kind != MARKER_NONE ? marker_kind_name(pos->marker_kind) : NULL);
    add_label(sb, form, "marker_nonce", pos->marker_nonce[0] != '\0' ? pos->marker_nonce : NULL);
    add_label(sb, form, "offsets", pos->offsets);
    add_name(sb, form, "applied_at");
    strbuf_adds(sb, "SYSDATE(6), ");
    add_name(sb, form, "commit_time");
    add_commit_time(sb, pos);
}

void md_add_ours(struct strbuf *sb, const struct md_target *mt, const char *between)
{
    strbuf_adds(sb, "pipeline = ");
    maria_quote_literal(sb, mt->pipeline);
    strbuf_addf(sb, "%sshard = ", between);
    maria_quote_literal(sb, mt->shard);
}

static bool moved_on(struct md_target *mt, struct err *err)
{
    return err_set(err, ERR_FENCED,
                   "target: the position of pipeline %s is not the one that this process wrote last: another "
                   "apply has taken over",
                   mt->pipeline);
}

/* Compare and set: exactly the row that this process wrote or read last. */
static bool move_position(struct md_target *mt, const struct target_position *pos, const char *token,
                          struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    char lsn[LSN_TEXT_MAX];
    int64_t touched = 0;
    if (mt->position_found) {
        strbuf_adds(&sql, "UPDATE crossfade_position SET ");
        if (token != NULL) {
            strbuf_adds(&sql, "pending = JSON_OBJECT(");
            add_label(&sql, &AS_JSON, "token", token);
        }
        add_fields(&sql, token != NULL ? &AS_JSON : &AS_COLUMNS, pos);
        strbuf_adds(&sql, token != NULL ? ") WHERE " : " WHERE ");
        md_add_ours(&sql, mt, " AND ");
        strbuf_addf(&sql, " AND fence_id = %" PRIu64 " AND lsn = '%s' AND pending IS NULL", mt->last.fence_id,
                    lsn_format(mt->last.lsn, lsn));
    } else {
        strbuf_adds(&sql, "INSERT INTO crossfade_position SET ");
        md_add_ours(&sql, mt, ", ");
        strbuf_adds(&sql, ", ");
        add_fields(&sql, &AS_COLUMNS, pos);
    }
    bool ok = strbuf_ok(&sql, "statement", err) && md_exec_count(mt, sql.data, &touched, err);
    strbuf_release(&sql);
    if (!ok)
        return strcmp(err->sqlstate, "23505") == 0 ? moved_on(mt, err) : err_wrap(err, "target");
    return touched == 1 || moved_on(mt, err);
}

static bool commit_with(struct md_target *mt, const struct target_position *position, const char *token,
                        struct err *err)
{
    if (!md_begun(mt, err) || !md_check_unaltered(mt, err) || !failpoint("apply.before_commit", err))
        return err_wrap(err, "target");
    if (!move_position(mt, position, token, err))
        return false;
    if (!md_exec(mt, "COMMIT", err))
        return err_wrap(err, "target");
    md_forget_transaction(mt, true);
    return true;
}

bool md_decide(struct target *lead, const struct target_position *position, const char *token,
               struct err *err)
{
    return commit_with((struct md_target *)lead, position, token, err);
}

static bool md_commit(struct target *tgt, const struct target_position *position, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    if (!commit_with(mt, position, NULL, err))
        return false;
    mt->last = *position;
    mt->last.offsets = NULL; /* the caller's */
    mt->position_found = true;
    return true;
}

static bool parse_position(char **cell, struct target_position *pos)
{
    *pos = (struct target_position){
        .fence_id = strtoull(cell[0], NULL, 10),
        .fence_offset = strtoull(cell[1], NULL, 10),
        .source_system_id = strtoull(cell[3], NULL, 10),
        .attempt = strtoull(cell[4], NULL, 10),
        .complete = strcmp(cell[5], "0") != 0,
        .commit_time_us = cell[6] != NULL ? strtoll(cell[6], NULL, 10) : 0,
        .marker_kind = marker_kind_parse(cell[7] != NULL ? cell[7] : ""),
        .released = strcmp(cell[9], "0") != 0,
        .age_us = strtoll(cell[10], NULL, 10),
    };
    (void)snprintf(pos->marker_nonce, sizeof pos->marker_nonce, "%s", cell[8] != NULL ? cell[8] : "");
    return lsn_parse(cell[2], &pos->lsn);
}

static bool md_position(struct target *tgt, struct target_position *ret, bool *ret_found, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct target_position pos = {0};
    MD_ROWS rows = {0};
    strbuf_adds(
        &sql,
        "SELECT fence_id, fence_offset, lsn, source_system_id, attempt, complete, "
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00.000000', commit_time), marker_kind, marker_nonce, "
        "EXISTS (SELECT 1 FROM crossfade_release r WHERE r.pipeline = p.pipeline AND r.nonce = "
        "p.marker_nonce), "
        "TIMESTAMPDIFF(MICROSECOND, applied_at, SYSDATE(6)), offsets FROM crossfade_position p WHERE ");
    md_add_ours(&sql, mt, " AND ");
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, &rows, err);
    strbuf_release(&sql);
    if (!ok)
        return err_wrap(err, "target");
    bool found = md_next(&rows);
    if (found && !parse_position(rows.cell, &pos))
        return err_set(err, ERR_PROTOCOL, "target: crossfade_position holds no LSN");
    free(mt->offsets);
    mt->offsets = found && rows.cell[11] != NULL ? xstrdup(rows.cell[11]) : NULL;
    mt->last = pos;
    mt->position_found = found;
    pos.offsets = mt->offsets;
    *ret = pos;
    *ret_found = found;
    return true;
}

static bool md_verdict(struct target *tgt, struct target_verdict *ret, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct target_verdict found = {.full_pass_age_us = -1};
    MD_ROWS rows = {0};
    strbuf_adds(&sql,
                "SELECT v.verdict, TIMESTAMPDIFF(MICROSECOND, v.finished_at, SYSDATE(6)), COALESCE((SELECT "
                "MIN(TIMESTAMPDIFF(MICROSECOND, f.finished_at, SYSDATE(6))) FROM crossfade_verdict f WHERE "
                "f.pipeline = v.pipeline AND f.verdict = 'PASS' AND f.scope IN ('full', 'changed')), -1) "
                "FROM crossfade_verdict v WHERE v.pipeline = ");
    maria_quote_literal(&sql, mt->pipeline);
    strbuf_adds(&sql, " ORDER BY v.id DESC LIMIT 1");
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, &rows, err);
    strbuf_release(&sql);
    if (!ok)
        return err_wrap(err, "target: crossfade_verdict");
    if (md_next(&rows)) {
        (void)snprintf(found.last, sizeof found.last, "%s", rows.cell[0]);
        found.age_us = strtoll(rows.cell[1], NULL, 10);
        found.full_pass_age_us = strtoll(rows.cell[2], NULL, 10);
    }
    *ret = found;
    return true;
}

/* The call that waits for the server fails; the server rolls back when it sees that. */
static void md_cancel(struct target *tgt)
{
    struct md_target *mt = (struct md_target *)tgt;
    (void)pthread_mutex_lock(&mt->lock);
    if (mt->fd >= 0)
        (void)shutdown(mt->fd, SHUT_RDWR);
    (void)pthread_mutex_unlock(&mt->lock);
}

static const struct target_write_ops writing = {
    .begin = md_begin, .write = md_write, .commit = md_commit, .abandon = md_abandon};

const struct target_ops target_mariadb = {
    .name = "mariadb",
    .open = md_open,
    .prepare = md_prepare,
    .position = md_position,
    .verdict = md_verdict,
    .cancel = md_cancel,
    .close = md_close,
    .writing = &writing,
    .crew = &md_crew,
    .narrow = &md_narrow,
    .letters = &md_letters,
    .desk = &md_desk,
    .direct_look = md_direct_look,
    .conflicts = &md_conflicts,
};
