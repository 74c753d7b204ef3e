/*
 * Owns: having capture publish rows once more. A marker of kind `copy` on the source names the table and keys; capture copies those
 * rows in a window, as any rows are that are copied beside the stream (docs/ARCHITECTURE.md, "The copy"). One request at a time: it
 * stands in each fence until it is done, so that a capture that is killed goes on with it.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change/copy_request.h"
#include "compare/control.h"
#include "compare/postgres/postgres.h"
#include "compare/repair/work.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/nonce.h"
#include "pg/conn.h"
#include "pg/source.h"

/* Capture may have to wait for long transactions of the source before it copies. */
#define WAIT_US  ((int64_t)10 * 60 * 1000000)
#define POLL_MS  50
#define OID_F4   700
#define OID_F8   701
#define OID_BYTE 17

/* --- the key --- */

static const struct source_column *key_column(const struct repair_run *run, const struct source_table *t,
                                              const char *published)
{
    for (size_t i = 0; i < t->column_count; i++) {
        if (strcmp(table_rules_rename(run->rules, t->schema, t->name, t->columns[i].name), published) == 0)
            return &t->columns[i];
    }
    return NULL;
}

static bool is_in_key(const struct source_table *t, const struct source_column *column)
{
    for (size_t k = 0; k < t->key_count; k++) {
        if (&t->columns[t->key[k]] == column)
            return true;
    }
    return false;
}

static char *why_not(const struct repair_run *run, const struct source_table *t, const struct plan_table *pt)
{
    const char *const *chosen = table_rules_key(run->rules, t->schema, t->name);
    if (t->key_count == 0)
        return xstrdup("capture publishes it without a key (no primary key, no replica identity by an "
                       "index): rows cannot be asked for. Use --sql, or copy it again");
    bool same = t->key_count == pt->key_count && chosen == NULL;
    for (size_t k = 0; same && k < pt->key_count; k++) {
        const struct source_column *c = key_column(run, t, pt->keys[k].name);
        same = c != NULL && is_in_key(t, c);
        if (same && table_rules_mask(run->rules, t->schema, t->name, c->name) != NULL)
            return xasprintf("column %s of its key is masked: rows cannot be asked for by what is published",
                             c->name);
        if (same && !pt->keys[k].native && (c->type_oid == OID_F4 || c->type_oid == OID_F8))
            return xasprintf("column %s of its key is a floating-point number", c->name);
    }
    return same ? NULL
                : xstrdup("it was compared by another key than the one by which capture publishes it: copy "
                          "it again (crossfade capture resnapshot)");
}

/* SQL that makes the key column's value of the text by which the comparison knows it. */
static void put_value(const struct plan_key *key, const struct source_column *column, const char *type,
                      const char *text, struct strbuf *sql)
{
    bool bytes = !key->native && column->type_oid == OID_BYTE;
    strbuf_adds(sql, key->native ? key->head[SIDE_SOURCE] : bytes ? "decode(" : "");
    pg_quote_literal(sql, text);
    if (key->native)
        strbuf_adds(sql, key->tail[SIDE_SOURCE]);
    else if (bytes)
        strbuf_adds(sql, ",'hex')");
    else
        strbuf_addf(sql, "::%s", type);
}

static bool type_name(struct pg_conn *conn, const struct source_column *c, char **ret, struct err *err)
{
    char oid[16];
    (void)snprintf(oid, sizeof oid, "%u", c->type_oid);
    const char *params[] = {oid};
    return pg_query_text(conn, "SELECT pg_catalog.format_type($1::oid, NULL)", 1, params, ret, err);
}

/* One column of all keys, as the source writes them: texts that any session of it reads. */
static bool read_column(struct repair_run *run, const struct repair_job *job, const struct source_column *c,
                        size_t k, struct pg_result **ret, struct err *err)
{
    struct pg_conn *conn = session_postgres_conn(run->side[SIDE_SOURCE]);
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    char *type CLEANUP(free_ptr) = NULL;
    bool ok = type_name(conn, c, &type, err);
    strbuf_adds(&sql, "VALUES ");
    for (size_t i = 0; ok && i < job->count; i++) {
        strbuf_addf(&sql, "%s(%zu, (", i > 0 ? "," : "", i);
        put_value(&job->pt->keys[k], c, type, job->rows[i].key[k], &sql);
        strbuf_adds(&sql, ")::text)");
    }
    strbuf_adds(&sql, " ORDER BY 1");
    ok = ok && strbuf_ok(&sql, "keys", err) && pg_query(conn, sql.data, 0, NULL, ret, err);
    strbuf_release(&sql);
    return ok;
}

static bool read_keys(struct repair_run *run, struct repair_job *job, const struct source_table *t,
                      struct err *err)
{
    size_t keys = job->pt->key_count;
    job->cells = xcalloc(job->count * keys, sizeof *job->cells);
    for (size_t k = 0; job->count > 0 && k < keys; k++) {
        PG_RESULT_AUTO res = NULL;
        const struct source_column *c = key_column(run, t, job->pt->keys[k].name);
        if (!read_column(run, job, c, k, &res, err))
            return err_wrap(err, "key column %s", c->name);
        for (size_t i = 0; i < job->count; i++)
            job->cells[i * keys + k] = xstrdup(pg_cell(res, (int)i, 1));
    }
    for (size_t i = 0; i < job->count; i++)
        job->rows[i].key = &job->cells[i * keys];
    return true;
}

bool repair_journal_check(struct repair_run *run, struct repair_job *job, char **ret_why, struct err *err)
{
    struct source_table t = {0};
    bool there = false;
    *ret_why = NULL;
    if (!source_table_load(session_postgres_conn(run->side[SIDE_SOURCE]), job->pt->oid[SIDE_SOURCE], &t,
                           &there, err))
        return false;
    if (!there)
        *ret_why = xstrdup("it is gone from the source");
    else if ((*ret_why = why_not(run, &t, job->pt)) == NULL) {
        struct err found = ERR_INIT;
        if (!read_keys(run, job, &t, &found))
            *ret_why = xasprintf("its keys cannot be said to the source: %s", found.text);
    }
    source_table_release(&t);
    return true;
}

/* --- asking --- */

static bool insert_marker(struct repair_run *run, const char *kind, const char *nonce, const char *detail,
                          struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {run->pipeline, nonce, kind, detail};
    return pg_query(session_postgres_conn(run->side[SIDE_SOURCE]),
                    "INSERT INTO crossfade.marker (pipeline, nonce, kind, detail) VALUES ($1, $2, $3, $4)", 4,
                    params, &res, err) ||
           err_wrap(err, "source: marker %s", kind);
}

/* Apply stands behind the request when its fence is behind *ret_lsn and complete: from the request's fence on fences are not
 * complete until its rows are there. One that is at *ret_lsn may have come just before the request's own, with what it held till
 * then. The ping sees to it that there is one behind. */
static bool send_request(struct repair_run *run, struct copy_request *req, lsn_t *ret_lsn, struct err *err)
{
    char ping[NONCE_MAX];
    char *lsn CLEANUP(free_ptr) = NULL;
    nonce_make(req->nonce);
    nonce_make(ping);
    json_auto_t *object = copy_request_to_json(req);
    char *detail CLEANUP(free_ptr) = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    if (detail == NULL)
        return err_set(err, ERR_DATA, "a key is not text in UTF-8");
    if (!insert_marker(run, "copy", req->nonce, detail, err) ||
        !pg_query_text(session_postgres_conn(run->side[SIDE_SOURCE]),
                       "SELECT pg_catalog.pg_current_wal_insert_lsn()::text", 0, NULL, &lsn, err))
        return false;
    if (lsn == NULL || !lsn_parse(lsn, ret_lsn))
        return err_set(err, ERR_PROTOCOL, "source: no position");
    return insert_marker(run, "ping", ping, NULL, err);
}

static bool is_behind(struct repair_run *run, lsn_t lsn, bool *ret, char **ret_text, struct err *err)
{
    ROWSET_AUTO res = NULL;
    struct session *target = run->side[SIDE_TARGET];
    free(*ret_text);
    *ret_text = xstrdup("apply has no position");
    *ret = false;
    if (!session_ask(target, control_of(target)->position, 1, &run->pipeline, &res, err))
        return err_wrap(err, "target: position");
    *ret = rowset_rows(res) > 0;
    for (int row = 0; row < rowset_rows(res); row++) {
        lsn_t at = 0;
        bool behind = lsn_parse(rowset_cell(res, row, 1), &at) && at > lsn && rowset_bool(res, row, 5) &&
                      !rowset_bool(res, row, 6);
        if (behind)
            continue;
        *ret = false;
        free(*ret_text);
        *ret_text = xasprintf("waiting for apply to have the rows: the target stands at fence %s, lsn %s%s",
                              rowset_cell(res, row, 0), rowset_cell(res, row, 1),
                              rowset_bool(res, row, 5) ? "" : ", rows are being copied");
    }
    return true;
}

static bool wait_for(struct repair_run *run, lsn_t lsn, struct err *err)
{
    int64_t since_us = clock_mono_us();
    char *text = NULL;
    bool there = false, ok = true;
    while (ok && !there) {
        ok = is_behind(run, lsn, &there, &text, err);
        if (ok && !there && clock_mono_us() - since_us > WAIT_US)
            ok =
                err_set(err, ERR_TIMEOUT,
                        "%s. Do capture and apply run? The rows come as soon as they do; compare then", text);
        if (ok && !there && !repair_pause(run, text, since_us, POLL_MS))
            ok = err_set(err, ERR_INTERRUPTED,
                         "stopped; rows that were asked for come all the same, compare then");
    }
    free(text);
    return ok;
}

/* As many keys as one request may carry, from `from` on. */
static size_t part_of(const struct repair_job *job, size_t from)
{
    size_t n = 0, bytes = 0;
    while (from + n < job->count && n < COPY_KEYS_MAX) {
        for (size_t k = 0; k < job->pt->key_count; k++)
            bytes += strlen(job->rows[from + n].key[k]) + 3;
        if (n > 0 && bytes > COPY_KEYS_BYTES_MAX)
            break;
        n++;
    }
    return n;
}

bool repair_is_one_request(const struct repair_job *job)
{
    return part_of(job, 0) == job->count;
}

static bool ask_part(struct repair_run *run, const struct repair_job *job, size_t from, size_t count,
                     struct err *err)
{
    const struct plan_table *pt = job->pt;
    struct repair_table *rt = &run->out->tables[job->table];
    struct copy_keys keys = {.column_count = pt->key_count,
                             .count = count,
                             .columns = xcalloc(pt->key_count, sizeof *keys.columns),
                             .cells = xcalloc(count * pt->key_count, sizeof *keys.cells),
                             .delete_gone = run->req->delete_extra};
    for (size_t k = 0; k < pt->key_count; k++)
        keys.columns[k] = pt->keys[k].name;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < pt->key_count; k++)
            keys.cells[i * pt->key_count + k] = job->rows[from + i].key[k];
    }
    struct copy_request req = {
        .oid = pt->oid[SIDE_SOURCE], .schema = rt->schema, .table = rt->table, .keys = &keys};
    lsn_t lsn = 0;
    bool ok = send_request(run, &req, &lsn, err) && wait_for(run, lsn, err);
    for (size_t i = 0; ok && i < count; i++)
        rt->repaired[job->rows[from + i].kind]++;
    free(keys.columns);
    free(keys.cells);
    return ok;
}

/* Requests of earlier days. */
static bool clean_up(struct repair_run *run, struct err *err)
{
    return control_delete_old(
        run->side[SIDE_SOURCE],
        "DELETE FROM crossfade.marker WHERE id IN (SELECT id FROM crossfade.marker WHERE "
        "pipeline = $1 AND kind = 'copy' AND detail LIKE '%\"keys\"%' AND created_at < "
        "now() - interval '1 day' ORDER BY id LIMIT 1000)",
        run->pipeline, err);
}

bool repair_through_journal(struct repair_run *run, struct err *err)
{
    if (!clean_up(run, err))
        return false;
    for (size_t j = 0; j < run->job_count; j++) {
        const struct repair_job *job = &run->jobs[j];
        char *name CLEANUP(free_ptr) = repair_table_name(&run->out->tables[job->table]);
        for (size_t at = 0, n = 0; at < job->count; at += n) {
            n = part_of(job, at);
            if (!ask_part(run, job, at, n, err))
                return err_wrap(err, "table=%s", name);
        }
    }
    return true;
}
