/*
 * Owns: crossfade_dead_letter (dead_letter.h), and the savepoints by which a batch is narrowed down to the row at fault.
 *
 * A deadlock (1213) rolls back the whole transaction and its savepoint with it, a lock wait timeout (1205) the statement alone:
 * both are ERR_TRANSIENT, nobody asks for the savepoint then, and the batch begins anew. That a transaction is still open is looked
 * at all the same before a row is held: with autocommit, what comes after one that is gone would stay by itself.
 */
#include "letters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/utf8.h"
#include "maria/wait.h"
#include "watch.h"

/* Records of a page: so many, and so many bytes (one may be larger). */
#define PAGE_ROWS      256
#define PAGE_BYTES     (4 << 20)
#define REFUSED_ROWS   16 /* whole rows, of any size */
#define IN_TRANSACTION 1U /* SERVER_STATUS_IN_TRANS of the protocol */

static bool check_open(struct md_target *mt, struct err *err)
{
    unsigned status = 0;
    if (mariadb_get_infov(mt->my, MARIADB_CONNECTION_SERVER_STATUS, &status) == 0 &&
        (status & IN_TRANSACTION) == 0)
        return err_set(err, ERR_TRANSIENT, "target: the server has rolled back the transaction by itself");
    return true;
}

static bool save(struct target *tgt, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    bool ok = md_begun(mt, err) && md_exec(mt, "SAVEPOINT crossfade_part", err) && check_open(mt, err);
    return ok || err_wrap(err, "target");
}

static bool restore(struct target *tgt, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    if (!md_exec(mt, "ROLLBACK TO SAVEPOINT crossfade_part", err))
        return err_wrap(err, "target");
    for (size_t i = 0; i < mt->table_count;
         i++) /* whether its row of crossfade_loaded is gone is not worth knowing */
        mt->tables[i]->loading = false;
    for (size_t i = 0; i < mt->table_count; i++) /* so for its row of crossfade_dual_write */
        md_watch_ended(mt->tables[i]->watch, false);
    return true;
}

/* Nothing waits: statements are executed as they come, and no constraint is deferrable. */
static bool carry_out(struct target *tgt, bool constraints, struct err *err)
{
    (void)constraints;
    return check_open((struct md_target *)tgt, err);
}

const void *md_cell_bytes(const struct md_rows *rows, size_t column, size_t *ret_len)
{
    const unsigned long *lengths = mysql_fetch_lengths(rows->res);
    *ret_len = rows->cell[column] != NULL ? lengths[column] : 0;
    return rows->cell[column];
}

const char *md_cell_text(const struct md_rows *rows, size_t column)
{
    return rows->cell[column] != NULL ? rows->cell[column] : "";
}

static bool failed(struct err *err)
{
    return err_wrap(err, "target: crossfade_dead_letter");
}

/* WHERE … our letters that are held */
static void add_held(struct strbuf *sql, const struct md_target *mt)
{
    strbuf_adds(sql, " WHERE pipeline = ");
    maria_quote_literal(sql, mt->pipeline);
    strbuf_adds(sql, " AND shard = ");
    maria_quote_literal(sql, mt->shard);
    strbuf_adds(sql, " AND state = 'held'");
}

/* The server's and others' texts, as the column takes them. */
static void add_message(struct strbuf *sql, const char *text)
{
    char *copy CLEANUP(free_ptr) = xstrdup(text);
    utf8_make_valid(copy);
    maria_quote_literal(sql, copy);
}

static bool run(struct md_target *mt, struct strbuf *sql, struct err *err)
{
    bool ok = strbuf_ok(sql, "statement", err) && md_begun(mt, err) && md_exec(mt, sql->data, err);
    strbuf_release(sql);
    return ok || failed(err);
}

static bool query(struct md_target *mt, struct strbuf *sql, struct md_rows *ret, struct err *err)
{
    bool ok = strbuf_ok(sql, "statement", err) && md_begun(mt, err) && md_query(mt, sql->data, ret, err);
    strbuf_release(sql);
    return ok || failed(err);
}

/* --- holding one --- */

struct param {
    const void *bytes; /* NULL = null */
    size_t len;
    bool binary;
};

static struct param text_param(const char *text)
{
    return (struct param){.bytes = text, .len = text != NULL ? strlen(text) : 0};
}

static struct param bytes_param(const void *bytes, size_t len)
{
    return (struct param){.bytes = bytes, .len = len, .binary = true};
}

static const char INSERT_LETTER[] =
    "INSERT INTO crossfade_dead_letter (chain, pipeline, shard, behind, schema_name, table_name, op, "
    "key_shown, `key`, other_key, key_shape, stream, `partition`, record_offset, record_time_ms, record_key, "
    "record_value, record_headers, commit_lsn, total_order, fence_id, `sqlstate`, message) VALUES "
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
#define LETTER_PARAMS 23

static bool insert(struct md_target *mt, const struct param *params, int64_t *ret_id, struct err *err)
{
    MYSQL_BIND binds[LETTER_PARAMS] = {0};
    MYSQL_STMT *stmt = mysql_stmt_init(mt->my);
    if (stmt == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a statement");
    for (size_t i = 0; i < LETTER_PARAMS; i++)
        binds[i] = (MYSQL_BIND){.buffer_type = params[i].bytes == NULL ? MYSQL_TYPE_NULL
                                               : params[i].binary      ? MYSQL_TYPE_BLOB
                                                                       : MYSQL_TYPE_STRING,
                                .buffer = (void *)(uintptr_t)params[i].bytes,
                                .buffer_length = params[i].len};
    bool ok = mysql_stmt_prepare(stmt, INSERT_LETTER, sizeof INSERT_LETTER - 1) == 0 &&
              mysql_stmt_bind_param(stmt, binds) == 0 && maria_wait_execute(stmt) == 0;
    if (ok)
        *ret_id = (int64_t)mysql_stmt_insert_id(stmt);
    else
        (void)maria_fail(mysql_stmt_errno(stmt), mysql_stmt_sqlstate(stmt), mysql_stmt_error(stmt),
                         "holding a dead letter", err);
    (void)mysql_stmt_close(stmt);
    return ok;
}

static bool put(struct target *tgt, const struct dead_letter *l, int64_t *ret_id, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    char chain[24], partition[24], offset[24], time_ms[24], lsn[24], order[24], fence[24];
    const char op[] = {l->op, '\0'};
    char *message CLEANUP(free_ptr) = l->message != NULL ? xstrdup(l->message) : NULL;
    if (message != NULL)
        utf8_make_valid(message);
    (void)snprintf(chain, sizeof chain, "%" PRId64, l->chain);
    (void)snprintf(partition, sizeof partition, "%d", (int)l->partition);
    (void)snprintf(offset, sizeof offset, "%" PRIu64, l->offset);
    (void)snprintf(time_ms, sizeof time_ms, "%" PRId64, l->timestamp_ms);
    (void)snprintf(lsn, sizeof lsn, "%" PRIu64, (uint64_t)l->commit_lsn);
    (void)snprintf(order, sizeof order, "%" PRIu64, l->total_order);
    (void)snprintf(fence, sizeof fence, "%" PRIu64, l->fence_id);
    const struct param params[LETTER_PARAMS] = {text_param(chain),
                                                text_param(mt->pipeline),
                                                text_param(mt->shard),
                                                text_param(l->behind ? "1" : "0"),
                                                text_param(l->schema_name),
                                                text_param(l->table_name),
                                                text_param(op),
                                                text_param(l->key_shown),
                                                bytes_param(l->key, l->key_len),
                                                bytes_param(l->other_key, l->other_key_len),
                                                text_param(l->key_shape),
                                                text_param(l->stream),
                                                text_param(partition),
                                                text_param(offset),
                                                text_param(time_ms),
                                                bytes_param(l->record_key, l->record_key_len),
                                                bytes_param(l->value, l->value_len),
                                                bytes_param(l->headers, l->headers_len),
                                                text_param(lsn),
                                                text_param(order),
                                                text_param(fence),
                                                text_param(l->sqlstate[0] != '\0' ? l->sqlstate : NULL),
                                                text_param(message)};
    if (!md_begun(mt, err) || !check_open(mt, err) || !insert(mt, params, ret_id, err))
        return failed(err);
    if (l->chain != 0)
        return true;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&sql, "UPDATE crossfade_dead_letter SET chain = id WHERE id = %" PRId64, *ret_id);
    return run(mt, &sql, err);
}

static bool tie(struct target *tgt, int64_t from, int64_t into, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&sql, "UPDATE crossfade_dead_letter SET chain = %" PRId64, into);
    add_held(&sql, mt);
    strbuf_addf(&sql, " AND chain = %" PRId64, from);
    return run(mt, &sql, err);
}

static bool supersede(struct target *tgt, const char *schema_name, const char *table_name, const char *reason,
                      struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "UPDATE crossfade_dead_letter SET state = 'superseded', request = NULL, settled_at = "
                      "SYSDATE(6), reason = ");
    maria_quote_literal(&sql, reason);
    add_held(&sql, mt);
    if (schema_name != NULL) {
        strbuf_adds(&sql, " AND schema_name = ");
        maria_quote_literal(&sql, schema_name);
        strbuf_adds(&sql, " AND table_name = ");
        maria_quote_literal(&sql, table_name);
    }
    return run(mt, &sql, err);
}

/* --- reading them --- */

static void read_letter(const struct md_rows *rows, bool whole, struct dead_letter *l)
{
    char **cell = rows->cell;
    *l = (struct dead_letter){.id = strtoll(cell[0], NULL, 10),
                              .chain = strtoll(cell[1], NULL, 10),
                              .schema_name = cell[2],
                              .table_name = cell[3],
                              .op = cell[4][0],
                              .key_shape = cell[7]};
    l->key = md_cell_bytes(rows, 5, &l->key_len);
    l->other_key = md_cell_bytes(rows, 6, &l->other_key_len);
    if (!whole)
        return;
    l->stream = cell[8];
    l->partition = (int32_t)strtol(cell[9], NULL, 10);
    l->offset = strtoull(cell[10], NULL, 10);
    l->timestamp_ms = strtoll(cell[11], NULL, 10);
    l->record_key = md_cell_bytes(rows, 12, &l->record_key_len);
    l->value = md_cell_bytes(rows, 13, &l->value_len);
    l->headers = md_cell_bytes(rows, 14, &l->headers_len);
    l->commit_lsn = strtoull(cell[15], NULL, 10);
    l->total_order = strtoull(cell[16], NULL, 10);
    l->fence_id = strtoull(cell[17], NULL, 10);
}

static void add_query_held(struct strbuf *sql, const struct md_target *mt)
{
    strbuf_adds(sql, "SELECT id, chain, schema_name, table_name, op, `key`, other_key, key_shape FROM "
                     "crossfade_dead_letter");
    add_held(sql, mt);
    strbuf_adds(sql, " ORDER BY id");
}

/* In the order of their changes, which within a batch need not be that in which they were held: those after `last`. */
static void add_query_page(struct strbuf *sql, const struct md_target *mt, int64_t chain,
                           const struct dead_letter *last)
{
    int change = last->op != CHANGE_DELETE;
    strbuf_adds(
        sql, "SELECT d.id, d.chain, d.schema_name, d.table_name, d.op, d.`key`, d.other_key, "
             "d.key_shape, d.stream, d.`partition`, d.record_offset, d.record_time_ms, d.record_key, "
             "d.record_value, d.record_headers, d.commit_lsn, d.total_order, d.fence_id FROM "
             "crossfade_dead_letter d "
             "JOIN (SELECT id, SUM(bytes) OVER (ORDER BY fence_id, commit_lsn, total_order, chg, id) - bytes "
             "AS earlier FROM (SELECT id, fence_id, commit_lsn, total_order, op <> 'd' AS chg, "
             "LENGTH(record_value) AS bytes FROM crossfade_dead_letter");
    add_held(sql, mt);
    strbuf_addf(sql, " AND chain = %" PRId64, chain);
    if (last->id != 0)
        strbuf_addf(sql,
                    " AND (fence_id > %" PRIu64 " OR (fence_id = %" PRIu64 " AND (commit_lsn > %" PRIu64
                    " OR (commit_lsn = %" PRIu64 " AND (total_order > %" PRIu64 " OR (total_order = %" PRIu64
                    " AND ((op <> 'd') > %d OR ((op <> 'd') = %d AND id > %" PRId64 "))))))))",
                    last->fence_id, last->fence_id, (uint64_t)last->commit_lsn, (uint64_t)last->commit_lsn,
                    last->total_order, last->total_order, change, change, last->id);
    strbuf_addf(sql,
                " ORDER BY fence_id, commit_lsn, total_order, chg, id LIMIT %d) n) p ON p.id = d.id WHERE "
                "p.earlier < %d "
                "ORDER BY d.fence_id, d.commit_lsn, d.total_order, d.op <> 'd', d.id",
                PAGE_ROWS, PAGE_BYTES);
}

static bool each_row(struct md_rows *rows, bool whole,
                     bool (*each_letter)(void *ctx, const struct dead_letter *letter, struct err *err),
                     void *ctx, struct dead_letter *ret_last, size_t *ret_count, struct err *err)
{
    *ret_count = 0;
    while (md_next(rows)) {
        struct dead_letter letter;
        read_letter(rows, whole, &letter);
        if (!each_letter(ctx, &letter, err))
            return false;
        *ret_last = letter;
        (*ret_count)++;
    }
    return true;
}

static bool each(struct target *tgt, enum letters_list what, int64_t chain,
                 bool (*each_letter)(void *ctx, const struct dead_letter *letter, struct err *err), void *ctx,
                 struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct dead_letter last = {0};
    bool whole = what == LETTERS_CHAIN;
    size_t count = 0;
    do {
        MD_ROWS rows = {0};
        struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
        if (whole)
            add_query_page(&sql, mt, chain, &last);
        else
            add_query_held(&sql, mt);
        if (!query(mt, &sql, &rows, err) || !each_row(&rows, whole, each_letter, ctx, &last, &count, err))
            return false;
    } while (whole && count > 0);
    return true;
}

/* --- settling them --- */

static bool asked(struct target *tgt, int64_t *ret_discards, int64_t *ret_chain, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    strbuf_adds(&sql,
                "SELECT COUNT(IF(request = 'discard', 1, NULL)), MIN(IF(request = 'retry', chain, NULL)) "
                "FROM crossfade_dead_letter");
    add_held(&sql, mt);
    strbuf_adds(&sql, " AND request IS NOT NULL");
    if (!query(mt, &sql, &rows, err))
        return false;
    if (!md_next(&rows))
        return err_set(err, ERR_PROTOCOL, "target: crossfade_dead_letter: a count without a row");
    *ret_discards = strtoll(md_cell_text(&rows, 0), NULL, 10);
    *ret_chain = strtoll(md_cell_text(&rows, 1), NULL, 10);
    return true;
}

static bool begun(struct target *tgt, int64_t chain, int64_t *ret_begun, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    strbuf_adds(&sql, "UPDATE crossfade_dead_letter SET begun = begun + 1");
    add_held(&sql, mt);
    strbuf_addf(&sql, " AND chain = %" PRId64 " AND request = 'retry'", chain);
    if (!run(mt, &sql, err))
        return false;
    strbuf_adds(&sql, "SELECT MAX(begun) FROM crossfade_dead_letter");
    add_held(&sql, mt);
    strbuf_addf(&sql, " AND chain = %" PRId64 " AND request = 'retry'", chain);
    if (!query(mt, &sql, &rows, err))
        return false;
    *ret_begun = md_next(&rows) ? strtoll(md_cell_text(&rows, 0), NULL, 10) : 0;
    return true;
}

static bool discard(struct target *tgt, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "UPDATE crossfade_dead_letter SET state = 'discarded', settled_at = SYSDATE(6)");
    add_held(&sql, mt);
    strbuf_adds(&sql, " AND request = 'discard'");
    return run(mt, &sql, err);
}

static bool settle(struct target *tgt, int64_t chain, const struct err *why, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "UPDATE crossfade_dead_letter SET request = NULL, attempts = attempts + 1, ");
    if (why == NULL) {
        strbuf_adds(&sql, "state = 'applied', settled_at = SYSDATE(6)");
    } else {
        strbuf_adds(&sql, "tried_at = SYSDATE(6), message = IF(behind, message, ");
        add_message(&sql, why->text);
        strbuf_adds(&sql, "), `sqlstate` = IF(behind, `sqlstate`, ");
        if (why->sqlstate[0] != '\0')
            maria_quote_literal(&sql, why->sqlstate);
        else
            strbuf_adds(&sql, "NULL");
        strbuf_adds(&sql, "), last_error = ");
        add_message(&sql, why->text);
    }
    add_held(&sql, mt);
    strbuf_addf(&sql, " AND chain = %" PRId64, chain);
    return run(mt, &sql, err);
}

/* --- rows that a direct load left --- */

static void add_refused(struct strbuf *sql, const struct md_target *mt)
{
    strbuf_adds(sql, " FROM crossfade_direct_letter WHERE pipeline = ");
    maria_quote_literal(sql, mt->pipeline);
    strbuf_adds(sql, " AND shard = ");
    maria_quote_literal(sql, mt->shard);
}

static bool refused(struct target *tgt, int64_t after,
                    bool (*each_letter)(void *ctx, const struct dead_letter *letter, struct err *err),
                    void *ctx, int64_t *ret_last, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    bool there = false;
    *ret_last = after;
    if (!md_begun(mt, err) || !md_direct_there(mt, &there, err) || !there)
        return !there && !err_is_set(err);
    strbuf_adds(&sql, "SELECT id, stream, record_time_ms, record_key, record_value, record_headers");
    add_refused(&sql, mt);
    strbuf_addf(&sql, " AND id > %" PRId64 " ORDER BY id LIMIT %d", after, REFUSED_ROWS);
    if (!query(mt, &sql, &rows, err))
        return false;
    while (md_next(&rows)) {
        struct dead_letter l = {.id = strtoll(rows.cell[0], NULL, 10),
                                .stream = md_cell_text(&rows, 1),
                                .timestamp_ms = strtoll(rows.cell[2], NULL, 10)};
        l.record_key = md_cell_bytes(&rows, 3, &l.record_key_len);
        l.value = md_cell_bytes(&rows, 4, &l.value_len);
        l.headers = md_cell_bytes(&rows, 5, &l.headers_len);
        *ret_last = l.id;
        if (!each_letter(ctx, &l, err))
            return false;
    }
    return true;
}

static bool forget_refused(struct target *tgt, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "DELETE");
    add_refused(&sql, mt);
    return run(mt, &sql, err);
}

const struct target_letters_ops md_letters = {
    .put = put,
    .tie = tie,
    .supersede = supersede,
    .each = each,
    .asked = asked,
    .begun = begun,
    .discard = discard,
    .settle = settle,
    .refused = refused,
    .forget_refused = forget_refused,
};

const struct target_narrow_ops md_narrow = {.save = save, .restore = restore, .settle = carry_out};
