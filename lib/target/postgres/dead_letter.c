/* Owns: crossfade.dead_letter (dead_letter.h), and the savepoints by which a batch is narrowed down to the row at fault. */
#include "target/dead_letter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postgres.h"

#define LETTER_PARAMS 23
/* Records of a page: so many, and so many bytes (one may be larger). */
#define PAGE_ROWS    "256"
#define PAGE_BYTES   "4194304"
#define REFUSED_ROWS "16" /* whole rows, of any size */

bool pgt_recover(struct pg_target *pt, struct err *err)
{
    struct err ignored = ERR_INIT;
    if (pt->copy != NULL)
        pg_copy_in_abort(pt->conn, "begun anew");
    pt->copy = NULL;
    if (!pg_pipeline_active(pt->conn))
        return true;
    bool synced = pg_pipeline_queued(pt->conn) == 0 || pg_pipeline_sync(pt->conn, NULL, NULL, NULL, &ignored);
    bool lost = !synced && ignored.code == ERR_CONNECT;
    pgt_statements_settled(pt, synced);
    pt->queued_count = 0;
    pt->must_look = false;
    if (!lost && pg_pipeline_end(pt->conn, &ignored))
        return true;
    *err = ignored;
    return false;
}

bool pgt_save(struct target *tgt, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    bool ok = pgt_plain(pt, err) &&
              (!pt->saved || pg_exec(pt->conn, "RELEASE SAVEPOINT crossfade_part", err)) &&
              pg_exec(pt->conn, "SAVEPOINT crossfade_part", err);
    pt->saved = ok;
    return ok || err_wrap(err, "target");
}

/* What was made since the savepoint is gone: whether a staging table was is not worth knowing. */
static void forget_part(struct pg_target *pt)
{
    for (size_t i = 0; i < pt->table_count; i++) {
        struct pg_table *tab = pt->tables[i];
        tab->loading = false;
        pgt_stages_forgotten(tab);
        pgt_watch_restored(tab->watch);
    }
    pt->deferred = false;
}

bool pgt_restore(struct target *tgt, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    if (!pgt_recover(pt, err) || !pg_exec(pt->conn, "ROLLBACK TO SAVEPOINT crossfade_part", err) ||
        !pgt_statements_tidy(pt, err))
        return err_wrap(err, "target");
    forget_part(pt);
    return true;
}

bool pgt_settle(struct target *tgt, bool constraints, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    if (!pgt_plain(pt, err))
        return err_wrap(err, "target");
    if (!constraints)
        return true;
    pt->deferred = false;
    if (!pg_exec(pt->conn, "SET CONSTRAINTS ALL IMMEDIATE", err) ||
        !pg_exec(pt->conn, "SET CONSTRAINTS ALL DEFERRED", err))
        return err_wrap(err, "target");
    pt->deferred = true;
    return true;
}

/* A statement with text parameters inside of the transaction; *ret may be NULL. */
static bool query(struct target *tgt, const char *sql, int count, const char *const *params,
                  struct pg_result **ret, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    PG_RESULT_AUTO res = NULL;
    if (!pgt_plain(pt, err) || !pg_query(pt->conn, sql, count, params, &res, err))
        return err_wrap(err, "target: crossfade.dead_letter");
    if (ret != NULL) {
        *ret = res;
        res = NULL;
    }
    return true;
}

const char *pgt_hex(struct strbuf *sb, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;
    if (bytes == NULL)
        return NULL;
    strbuf_adds(sb, "\\x");
    char *to = strbuf_reserve(sb, 2 * len);
    if (to == NULL)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        to[2 * i] = digits[p[i] >> 4];
        to[2 * i + 1] = digits[p[i] & 15];
    }
    sb->len += 2 * len;
    sb->data[sb->len] = '\0';
    return sb->data;
}

static const char INSERT_LETTER[] = "WITH n AS (SELECT nextval('crossfade.dead_letter_id'::regclass) AS id) "
                                    "INSERT INTO crossfade.dead_letter (id, chain, pipeline, shard, "
                                    "schema_name, table_name, op, key_shown, key, other_key, "
                                    "stream, partition, record_offset, record_time_ms, record_key, "
                                    "record_value, record_headers, commit_lsn, total_order, "
                                    "fence_id, behind, sqlstate, message, key_shape) "
                                    "SELECT n.id, coalesce(nullif($1::bigint, 0), n.id), $2, $3, $4, $5, $6, "
                                    "$7, $8::bytea, $9::bytea, $10, $11::integer, "
                                    "$12::numeric, $13::bigint, $14::bytea, $15::bytea, $16::bytea, "
                                    "$17::pg_lsn, $18::bigint, $19::bigint, $20::boolean, "
                                    "$21, $22, $23 FROM n RETURNING id";

static bool put(struct target *tgt, const struct dead_letter *l, int64_t *ret_id, struct err *err)
{
    const struct pg_target *pt = (struct pg_target *)tgt;
    struct strbuf bytes[5];
    const void *const from[] = {l->key, l->other_key, l->record_key, l->value, l->headers};
    const size_t lens[] = {l->key_len, l->other_key_len, l->record_key_len, l->value_len, l->headers_len};
    const char *hexed[5];
    bool ok = true;
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
        strbuf_init(&bytes[i], VALUE_MAX);
        hexed[i] = pgt_hex(&bytes[i], from[i], lens[i]);
        ok = strbuf_ok(&bytes[i], "dead letter", ok ? err : NULL) && ok;
    }
    char chain[24], partition[24], offset[24], time_ms[24], order[24], fence[24], lsn[LSN_TEXT_MAX];
    (void)snprintf(chain, sizeof chain, "%" PRId64, l->chain);
    (void)snprintf(partition, sizeof partition, "%d", (int)l->partition);
    (void)snprintf(offset, sizeof offset, "%" PRIu64, l->offset);
    (void)snprintf(time_ms, sizeof time_ms, "%" PRId64, l->timestamp_ms);
    (void)snprintf(order, sizeof order, "%" PRIu64, l->total_order);
    (void)snprintf(fence, sizeof fence, "%" PRIu64, l->fence_id);
    const char op[] = {l->op, '\0'};
    const char *params[LETTER_PARAMS] = {chain,
                                         pt->pipeline,
                                         pt->shard,
                                         l->schema_name,
                                         l->table_name,
                                         op,
                                         l->key_shown,
                                         hexed[0],
                                         hexed[1],
                                         l->stream,
                                         partition,
                                         offset,
                                         time_ms,
                                         hexed[2],
                                         hexed[3],
                                         hexed[4],
                                         lsn_format(l->commit_lsn, lsn),
                                         order,
                                         fence,
                                         l->behind ? "t" : "f",
                                         l->sqlstate[0] != '\0' ? l->sqlstate : NULL,
                                         l->message,
                                         l->key_shape};
    PG_RESULT_AUTO res = NULL;
    ok = ok && query(tgt, INSERT_LETTER, LETTER_PARAMS, params, &res, err);
    if (ok)
        *ret_id = pg_cell_int64(res, 0, 0);
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++)
        strbuf_release(&bytes[i]);
    return ok;
}

static bool tie(struct target *tgt, int64_t from, int64_t into, struct err *err)
{
    const struct pg_target *pt = (struct pg_target *)tgt;
    char a[24], b[24];
    (void)snprintf(a, sizeof a, "%" PRId64, from);
    (void)snprintf(b, sizeof b, "%" PRId64, into);
    const char *params[] = {pt->pipeline, pt->shard, a, b};
    return query(
        tgt,
        "UPDATE crossfade.dead_letter SET chain = $4::bigint WHERE pipeline = $1 AND shard = $2 AND state = "
        "'held' AND chain = $3::bigint",
        4, params, NULL, err);
}

static bool supersede(struct target *tgt, const char *schema_name, const char *table_name, const char *reason,
                      struct err *err)
{
    const struct pg_target *pt = (struct pg_target *)tgt;
    const char *params[] = {pt->pipeline, pt->shard, schema_name, table_name, reason};
    return query(
        tgt,
        "UPDATE crossfade.dead_letter SET state = 'superseded', reason = $5, request = NULL, settled_at = "
        "clock_timestamp() WHERE pipeline = $1 AND shard = $2 AND state = 'held' AND ($3::text IS NULL OR "
        "(schema_name = $3 AND table_name = $4))",
        5, params, NULL, err);
}

static int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* The server's hex form of a bytea, in place. NULL for null. */
const void *pgt_unhex(const struct pg_result *res, int row, int column, size_t *ret_len)
{
    *ret_len = 0;
    if (pg_is_null(res, row, column) || pg_cell_len(res, row, column) < 2)
        return NULL;
    char *text = (char *)(uintptr_t)pg_cell(res, row, column);
    size_t len = (pg_cell_len(res, row, column) - 2) / 2;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(nibble(text[2 + 2 * i]) << 4 | nibble(text[3 + 2 * i]));
    *ret_len = len;
    return text;
}

/* One row of HELD or PAGE: the record's columns are there with LETTERS_CHAIN only. */
static bool read_letter(const struct pg_result *res, int row, bool whole, struct dead_letter *l,
                        struct err *err)
{
    *l = (struct dead_letter){.id = pg_cell_int64(res, row, 0),
                              .chain = pg_cell_int64(res, row, 1),
                              .schema_name = pg_cell(res, row, 2),
                              .table_name = pg_cell(res, row, 3),
                              .op = pg_cell(res, row, 4)[0]};
    l->key = pgt_unhex(res, row, 5, &l->key_len);
    l->other_key = pgt_unhex(res, row, 6, &l->other_key_len);
    l->key_shape = pg_is_null(res, row, 7) ? NULL : pg_cell(res, row, 7);
    if (!whole)
        return true;
    l->stream = pg_cell(res, row, 8);
    l->partition = (int32_t)pg_cell_int64(res, row, 9);
    l->offset = strtoull(pg_cell(res, row, 10), NULL, 10);
    l->timestamp_ms = pg_cell_int64(res, row, 11);
    l->record_key = pgt_unhex(res, row, 12, &l->record_key_len);
    l->value = pgt_unhex(res, row, 13, &l->value_len);
    l->headers = pgt_unhex(res, row, 14, &l->headers_len);
    l->total_order = (uint64_t)pg_cell_int64(res, row, 16);
    l->fence_id = (uint64_t)pg_cell_int64(res, row, 17);
    return lsn_parse(pg_cell(res, row, 15), &l->commit_lsn) ||
           err_set(err, ERR_PROTOCOL, "target: crossfade.dead_letter id=%" PRId64 " holds no LSN", l->id);
}

static const char HELD[] =
    "SELECT id, chain, schema_name, table_name, op, key, other_key, key_shape FROM "
    "crossfade.dead_letter WHERE pipeline = $1 AND shard = $2 AND state = 'held' ORDER BY id";
/* In the order of their changes, which within a batch need not be that in which they were held: after the one of $4 to $8. */
static const char PAGE[] =
    "SELECT d.id, chain, schema_name, table_name, op, key, other_key, key_shape, stream, partition, "
    "record_offset, record_time_ms, record_key, record_value, record_headers, d.commit_lsn, d.total_order, "
    "d.fence_id "
    "FROM crossfade.dead_letter d JOIN (SELECT id, sum(bytes) OVER (ORDER BY fence_id, commit_lsn, "
    "total_order, "
    "change, "
    "id) - bytes AS before FROM (SELECT id, fence_id, commit_lsn, total_order, (op <> 'd')::int AS change, "
    "octet_length(record_value) AS bytes FROM crossfade.dead_letter WHERE pipeline = $1 AND shard = $2 AND "
    "state = 'held' AND chain = $3::bigint AND (fence_id, commit_lsn, total_order, (op <> 'd')::int, id) > "
    "($8::bigint, $4::pg_lsn, "
    "$5::bigint, $6::int, $7::bigint) ORDER BY fence_id, commit_lsn, total_order, 5, id LIMIT " PAGE_ROWS
    ") n) p ON "
    "p.id = d.id WHERE p.before < " PAGE_BYTES
    " ORDER BY d.fence_id, d.commit_lsn, d.total_order, (op <> 'd')::int, d.id";

struct page {
    const struct pg_target *pt;
    int64_t chain;
    struct dead_letter last; /* its strings are gone */
};

static bool read_page(struct target *tgt, const struct page *page, struct pg_result **ret, struct err *err)
{
    char chain[24], order[24], id[24], fence[24], lsn[LSN_TEXT_MAX];
    (void)snprintf(chain, sizeof chain, "%" PRId64, page->chain);
    (void)snprintf(order, sizeof order, "%" PRId64,
                   page->last.id == 0 ? -1 : (int64_t)page->last.total_order);
    (void)snprintf(id, sizeof id, "%" PRId64, page->last.id);
    (void)snprintf(fence, sizeof fence, "%" PRIu64, page->last.fence_id);
    const char *params[] = {page->pt->pipeline,
                            page->pt->shard,
                            chain,
                            lsn_format(page->last.commit_lsn, lsn),
                            order,
                            page->last.op != CHANGE_DELETE ? "1" : "0",
                            id,
                            fence};
    return query(tgt, PAGE, 8, params, ret, err);
}

static bool each_row(const struct pg_result *res, bool whole,
                     bool (*each_letter)(void *ctx, const struct dead_letter *letter, struct err *err),
                     void *ctx, struct dead_letter *ret_last, struct err *err)
{
    for (int row = 0; row < pg_rows(res); row++) {
        struct dead_letter letter;
        if (!read_letter(res, row, whole, &letter, err) || !each_letter(ctx, &letter, err))
            return false;
        *ret_last = letter;
    }
    return true;
}

static bool each(struct target *tgt, enum letters_list what, int64_t chain,
                 bool (*each_letter)(void *ctx, const struct dead_letter *letter, struct err *err), void *ctx,
                 struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    struct page page = {.pt = pt, .chain = chain};
    const char *params[] = {pt->pipeline, pt->shard};
    bool whole = what == LETTERS_CHAIN;
    int rows = 0;
    if (!pgt_plain(pt, err) || !pg_exec(pt->conn, "SET bytea_output = 'hex'", err))
        return err_wrap(err, "target");
    do {
        PG_RESULT_AUTO res = NULL;
        if (!(whole ? read_page(tgt, &page, &res, err) : query(tgt, HELD, 2, params, &res, err)) ||
            !each_row(res, whole, each_letter, ctx, &page.last, err))
            return false;
        rows = pg_rows(res);
    } while (whole && rows > 0);
    return true;
}

static bool asked(struct target *tgt, int64_t *ret_discards, int64_t *ret_chain, struct err *err)
{
    const struct pg_target *pt = (struct pg_target *)tgt;
    const char *params[] = {pt->pipeline, pt->shard};
    PG_RESULT_AUTO res = NULL;
    if (!query(
            tgt,
            "SELECT count(*) FILTER (WHERE request = 'discard'), coalesce(min(chain) FILTER (WHERE request = "
            "'retry'), 0) FROM crossfade.dead_letter WHERE pipeline = $1 AND shard = $2 AND state = 'held' "
            "AND request "
            "IS NOT NULL",
            2, params, &res, err))
        return false;
    *ret_discards = pg_cell_int64(res, 0, 0);
    *ret_chain = pg_cell_int64(res, 0, 1);
    return true;
}

static bool begun(struct target *tgt, int64_t chain, int64_t *ret_begun, struct err *err)
{
    const struct pg_target *pt = (struct pg_target *)tgt;
    char number[24];
    (void)snprintf(number, sizeof number, "%" PRId64, chain);
    const char *params[] = {pt->pipeline, pt->shard, number};
    PG_RESULT_AUTO res = NULL;
    if (!query(tgt,
               "WITH noted AS (UPDATE crossfade.dead_letter SET begun = begun + 1 WHERE pipeline = $1 AND "
               "shard = $2 AND state = 'held' AND chain = $3::bigint AND request = 'retry' RETURNING begun) "
               "SELECT coalesce(max(begun), 0) FROM noted",
               3, params, &res, err))
        return false;
    *ret_begun = pg_cell_int64(res, 0, 0);
    return true;
}

static bool discard(struct target *tgt, struct err *err)
{
    const struct pg_target *pt = (struct pg_target *)tgt;
    const char *params[] = {pt->pipeline, pt->shard};
    return query(tgt,
                 "UPDATE crossfade.dead_letter SET state = 'discarded', request = NULL, settled_at = "
                 "clock_timestamp() "
                 "WHERE pipeline = $1 AND shard = $2 AND state = 'held' AND request = 'discard'",
                 2, params, NULL, err);
}

static bool settle(struct target *tgt, int64_t chain, const struct err *why, struct err *err)
{
    const struct pg_target *pt = (struct pg_target *)tgt;
    char number[24], whole[ERR_WHOLE_MAX];
    (void)snprintf(number, sizeof number, "%" PRId64, chain);
    const char *params[] = {pt->pipeline, pt->shard, number, why != NULL ? err_whole(why, whole) : NULL,
                            why != NULL && why->sqlstate[0] != '\0' ? why->sqlstate : NULL};
    if (why == NULL)
        return query(
            tgt,
            "UPDATE crossfade.dead_letter SET state = 'applied', request = NULL, attempts = attempts + 1, "
            "settled_at = clock_timestamp() WHERE pipeline = $1 AND shard = $2 AND state = 'held' AND chain "
            "= "
            "$3::bigint",
            3, params, NULL, err);
    return query(
        tgt,
        "UPDATE crossfade.dead_letter SET request = NULL, attempts = attempts + 1, tried_at = "
        "clock_timestamp(), "
        "message = CASE WHEN behind THEN message ELSE $4 END, sqlstate = CASE WHEN behind THEN sqlstate ELSE "
        "$5 END, last_error = $4 WHERE pipeline = $1 AND shard = $2 AND state = 'held' AND chain = "
        "$3::bigint",
        5, params, NULL, err);
}

/* --- rows that a direct load left --- */

static bool refused(struct target *tgt, int64_t after,
                    bool (*each_letter)(void *ctx, const struct dead_letter *letter, struct err *err),
                    void *ctx, int64_t *ret_last, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    PG_RESULT_AUTO res = NULL;
    char id[24];
    (void)snprintf(id, sizeof id, "%" PRId64, after);
    const char *params[] = {pt->pipeline, pt->shard, id};
    *ret_last = after;
    if (!pgt_plain(pt, err) || !pg_exec(pt->conn, "SET bytea_output = 'hex'", err) ||
        !query(tgt,
               "SELECT id, stream, record_time_ms, record_key, record_value, record_headers FROM "
               "crossfade.direct_letter WHERE pipeline = $1 AND shard = $2 AND id > $3::bigint ORDER BY id "
               "LIMIT " REFUSED_ROWS,
               3, params, &res, err))
        return false;
    for (int row = 0; row < pg_rows(res); row++) {
        struct dead_letter l = {.id = pg_cell_int64(res, row, 0),
                                .stream = pg_cell(res, row, 1),
                                .timestamp_ms = pg_cell_int64(res, row, 2)};
        l.record_key = pgt_unhex(res, row, 3, &l.record_key_len);
        l.value = pgt_unhex(res, row, 4, &l.value_len);
        l.headers = pgt_unhex(res, row, 5, &l.headers_len);
        *ret_last = l.id;
        if (!each_letter(ctx, &l, err))
            return false;
    }
    return true;
}

static bool forget_refused(struct target *tgt, struct err *err)
{
    const struct pg_target *pt = (struct pg_target *)tgt;
    const char *params[] = {pt->pipeline, pt->shard};
    return query(tgt, "DELETE FROM crossfade.direct_letter WHERE pipeline = $1 AND shard = $2", 2, params,
                 NULL, err);
}

const struct target_letters_ops pgt_letters = {
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
