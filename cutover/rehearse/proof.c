/*
 * Owns: what a rehearsal writes, and the proof that it is there. A table of the rehearsal's own is written to as an application would, so
 * that a side that is closed refuses it; of each table of the pipeline a few rows are updated and one is deleted, without triggers (what
 * they would do is not asked for). All rows of all tables are then counted and hashed, on the side that was written to and, behind the
 * switch, on the other one: independently of what a comparison says. Between PostgreSQL and MariaDB a row's text is made of the canonical
 * forms that a comparison has, and nothing else of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/fingerprint.h"
#include "config/table_filter.h"
#include "core/alloc.h"
#include "rehearsal.h"

#define TEXT_BYTES_MAX ((size_t)16 << 20)
#define CLOSED         "25006"

/* In schema public, which a database of MariaDB is, too. */
bool proof_prepare(struct rehearsal *r, struct err *err)
{
    char *sql CLEANUP(free_ptr) =
        xasprintf("CREATE TABLE public.%s (label varchar(40), number int, value text "
                  "NOT NULL, PRIMARY KEY (label, number))",
                  r->written);
    return pg_exec(r->sides[OLD].inside, sql, err) || err_wrap(err, "the rehearsal's own table");
}

static bool insert(struct rehearsal *r, int side, const char *label, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {label};
    if (scratch_is_mariadb(r, side))
        return proof_insert_mariadb(&r->sides[side], r->written, label, err);
    char *sql CLEANUP(free_ptr) = xasprintf(
        "INSERT INTO public.%s SELECT $1::text, i, md5($1::text || i) FROM generate_series(1, 100) i",
        r->written);
    return pg_query(r->sides[side].inside, sql, 1, params, &res, err);
}

static bool is_closed(struct rehearsal *r, int side, struct err *err)
{
    struct err why = ERR_INIT;
    if (insert(r, side, "must be refused", &why))
        return err_set(err, ERR_DATA, "the side that was left still takes writes");
    if (strcmp(why.sqlstate, CLOSED) == 0)
        return true;
    *err = why;
    return err_wrap(err, "whether the side that was left refuses writes");
}

static bool change_rows(struct pg_conn *conn, struct pg_result *tables, int row, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(1 << 16), name = STRBUF_INIT(1024);
    const char *only = pg_cell(tables, row, 3), *column = pg_cell(tables, row, 4);
    pg_quote_table(&name, pg_cell(tables, row, 0), pg_cell(tables, row, 1));
    /* A row of a partitioned table has its place in one of them: by both. */
    if (*column != '\0')
        strbuf_addf(&sql,
                    "UPDATE %s%s SET %s = %s WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM %s%s "
                    "LIMIT 10);",
                    only, name.data, column, column, only, name.data);
    strbuf_addf(&sql, "DELETE FROM %s%s WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM %s%s LIMIT 1)",
                only, name.data, only, name.data);
    bool ok = strbuf_ok(&sql, "statement", err) && pg_exec(conn, sql.data, err);
    strbuf_release(&sql);
    strbuf_release(&name);
    return ok || err_wrap(err, "table=%s.%s", pg_cell(tables, row, 0), pg_cell(tables, row, 1));
}

static bool change_all(struct rehearsal *r, int side, struct err *err)
{
    struct pg_conn *conn = r->sides[side].inside;
    PG_RESULT_AUTO tables = NULL;
    if (scratch_is_mariadb(r, side))
        return proof_change_mariadb(r, &r->sides[side], err);
    if (!sample_tables(conn, &tables, err) || !pg_exec(conn, "SET session_replication_role = replica", err))
        return false;
    for (int i = 0; i < pg_rows(tables); i++) {
        if (rehearsal_stop_asked(r))
            return err_set(err, ERR_INTERRUPTED, "stopped");
        if (!change_rows(conn, tables, i, err))
            return false;
    }
    return pg_exec(conn, "RESET session_replication_role", err);
}

bool proof_write(struct rehearsal *r, int side, const char *label, struct err *err)
{
    return is_closed(r, side == OLD ? NEW : OLD, err) &&
           (insert(r, side, label, err) || err_wrap(err, "the side that serves does not take writes")) &&
           change_all(r, side, err);
}

/* --- what is there --- */

static bool read_one(struct pg_conn *conn, const char *schema, const char *table, const char *only,
                     struct strbuf *out, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(1 << 16);
    strbuf_addf(&sql, "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM %s",
                only);
    pg_quote_table(&sql, schema, table);
    strbuf_adds(&sql, " t");
    bool ok = strbuf_ok(&sql, "statement", err) && pg_query(conn, sql.data, 0, NULL, &res, err);
    strbuf_release(&sql);
    if (!ok)
        return err_wrap(err, "table=%s.%s", schema, table);
    pg_quote_table(out, schema, table);
    strbuf_addf(out, ": %s rows (%s)\n", pg_cell(res, 0, 0), pg_cell(res, 0, 1));
    return true;
}

static bool read_all(struct rehearsal *r, int side, struct strbuf *out, struct err *err)
{
    PG_RESULT_AUTO tables = NULL;
    struct pg_conn *conn = r->sides[side].inside;
    bool ok = sample_tables(conn, &tables, err) && read_one(conn, "public", r->written, "ONLY ", out, err);
    for (int i = 0; ok && i < pg_rows(tables); i++)
        ok = read_one(conn, pg_cell(tables, i, 0), pg_cell(tables, i, 1), pg_cell(tables, i, 3), out, err);
    return ok;
}

static bool read_canonical(struct rehearsal *r, int side, struct strbuf *out, struct err *err)
{
    const char *const urls[SIDE_COUNT] = {r->sides[OLD].scratch_url, r->sides[NEW].scratch_url};
    struct table_filter *tables = NULL;
    bool ok = settings_filter(r, &tables, err) &&
              fingerprints_add(urls, tables, side == OLD ? SIDE_SOURCE : SIDE_TARGET, out, err);
    table_filter_free(tables);
    return ok;
}

bool proof_read(struct rehearsal *r, int side, char **ret, struct err *err)
{
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    bool ok = scratch_is_mariadb(r, NEW) ? read_canonical(r, side, &out, err) : read_all(r, side, &out, err);
    ok = ok && strbuf_ok(&out, "what all tables hold", err);
    if (ok)
        *ret = strbuf_detach(&out);
    strbuf_release(&out);
    return ok;
}

bool proof_same(const char *before, const char *after, struct err *err)
{
    while (*before != '\0' || *after != '\0') {
        size_t a = strcspn(before, "\n"), b = strcspn(after, "\n");
        if (a != b || strncmp(before, after, a) != 0)
            return err_set(err, ERR_DATA, "not all that was written is there: expected %.*s, found %.*s",
                           (int)a, before, (int)b, after);
        before += a + (before[a] != '\0');
        after += b + (after[b] != '\0');
    }
    return true;
}
