/* Owns: whether rows of a source's table can be loaded into MariaDB, and what is loaded already. See target/loader.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "loader_mariadb.h"

/* Not kept: rights on a new table may come with it. */
bool md_direct_there(struct md_target *mt, bool *ret, struct err *err)
{
    int64_t count = 0;
    bool ok = md_query_int64(mt,
                             "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
                             "AND TABLE_NAME IN ('crossfade_direct_load', 'crossfade_direct_table', "
                             "'crossfade_direct_chunk')",
                             &count, err);
    *ret = count == 3;
    return ok;
}

bool mdl_fits(struct loader *base, const struct loader_table *t, enum loader_form *ret, struct err *err)
{
    *ret = LOADER_ROWS;
    return mdl_table((struct md_loader *)base, t, err);
}

/* --- what is there --- */

void mdl_put_upper(struct strbuf *sb, const struct loader_chunk *chunk)
{
    for (size_t i = 0; chunk->upper != NULL && i < chunk->upper_count; i++)
        strbuf_addf(sb, "%zu:%s,", strlen(chunk->upper[i]), chunk->upper[i]);
}

static bool read_upper(const char *text, struct loader_chunk *chunk)
{
    size_t left = strlen(text);
    while (left > 0) {
        char *after;
        unsigned long long len = strtoull(text, &after, 10);
        left -= (size_t)(after - text);
        if (left < 2 || *after != ':' || len > left - 2 || after[1 + len] != ',')
            return false;
        chunk->upper = xrealloc(chunk->upper, (chunk->upper_count + 1) * sizeof *chunk->upper);
        chunk->upper[chunk->upper_count++] = xstrndup(after + 1, (size_t)len);
        text = after + len + 2;
        left -= (size_t)len + 2;
    }
    return chunk->upper_count > 0;
}

static bool read_chunk(const struct loader_table *t, char **cell, struct loader_chunk *ret, struct err *err)
{
    *ret = (struct loader_chunk){.table_oid = t->oid,
                                 .part_oid = (uint32_t)strtoul(cell[0], NULL, 10),
                                 .number = (int)strtol(cell[1], NULL, 10),
                                 .done = strcmp(cell[3], "0") != 0,
                                 .rows = cell[4] != NULL ? strtoll(cell[4], NULL, 10) : 0};
    bool ok = (!ret->done || (cell[5] != NULL && lsn_parse(cell[5], &ret->lsn))) &&
              (cell[2] == NULL || read_upper(cell[2], ret));
    return ok || err_set(err, ERR_PROTOCOL, "crossfade_direct_chunk: part %s, chunk %s does not parse",
                         cell[0], cell[1]);
}

static bool look_at_shape(struct md_loader *ld, const struct loader_table *t, bool *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    int64_t count = 0;
    strbuf_adds(&sql, "SELECT COUNT(*) FROM crossfade_direct_table WHERE ");
    mdl_add_ours(&sql, ld, t->oid);
    strbuf_adds(&sql, " AND shape = ");
    maria_quote_literal(&sql, t->shape);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query_int64(ld->mt, sql.data, &count, err);
    strbuf_release(&sql);
    *ret = count > 0;
    return ok;
}

static bool read_chunks(struct md_loader *ld, const struct loader_table *t, struct loader_chunk **ret,
                        size_t *ret_count, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    strbuf_adds(&sql, "SELECT part_oid, number, upper, done, `rows`, lsn FROM crossfade_direct_chunk WHERE ");
    mdl_add_ours(&sql, ld, t->oid);
    strbuf_adds(&sql, " ORDER BY part_oid, number");
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(ld->mt, sql.data, &rows, err);
    strbuf_release(&sql);
    size_t room = 0;
    while (ok && md_next(&rows)) {
        if (*ret_count == room) {
            room = room != 0 ? room * 2 : 16;
            *ret = xrealloc(*ret, room * sizeof **ret);
        }
        ok = read_chunk(t, rows.cell, &(*ret)[(*ret_count)++], err);
    }
    return ok;
}

bool mdl_look(struct loader *base, const struct loader_table *t, struct loader_chunk **ret, size_t *ret_count,
              bool *ret_same, bool *ret_mixable, struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    *ret = NULL;
    bool ok = mdl_table(ld, t, err) && look_at_shape(ld, t, ret_same, err) &&
              read_chunks(ld, t, ret, ret_count, err);
    if (!ok) {
        while (*ret_count > 0)
            loader_chunk_release(&(*ret)[--*ret_count]);
        free(*ret);
        *ret = NULL;
        return false;
    }
    *ret_mixable = ld->tab->key_count > 0 && ld->tab->one_unique;
    return true;
}

/* --- apply's side --- */

static bool read_tables(struct md_target *mt, struct target_direct *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    strbuf_adds(&sql,
                "SELECT DISTINCT t.source_oid, schema_name, table_name, c.lsn FROM crossfade_direct_table t "
                "JOIN crossfade_direct_chunk c USING (pipeline, source_oid) WHERE c.done AND pipeline = ");
    maria_quote_literal(&sql, mt->pipeline);
    strbuf_adds(&sql, " ORDER BY t.source_oid");
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, &rows, err);
    strbuf_release(&sql);
    size_t room = 0;
    uint64_t last_oid = 0;
    while (ok && md_next(&rows)) {
        lsn_t lsn = 0;
        uint64_t oid = strtoull(rows.cell[0], NULL, 10);
        if (rows.cell[3] == NULL || !lsn_parse(rows.cell[3], &lsn))
            return err_set(err, ERR_PROTOCOL, "crossfade_direct_chunk.lsn does not parse");
        if (ret->table_count > 0 && oid == last_oid) { /* the lowest of its chunks */
            struct target_direct_table *t = &ret->tables[ret->table_count - 1];
            t->from_lsn = MIN_OF(t->from_lsn, lsn);
            continue;
        }
        if (ret->table_count == room) {
            room = room != 0 ? room * 2 : 64;
            ret->tables = xrealloc(ret->tables, room * sizeof *ret->tables);
        }
        ret->tables[ret->table_count++] =
            (struct target_direct_table){xstrdup(rows.cell[1]), xstrdup(rows.cell[2]), lsn};
        last_oid = oid;
    }
    return ok;
}

bool md_direct_look(struct target *tgt, uint64_t attempt, struct target_direct *ret, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    struct err failed = ERR_INIT;
    strbuf_adds(&sql, "SELECT done FROM crossfade_direct_load WHERE pipeline = ");
    maria_quote_literal(&sql, mt->pipeline);
    strbuf_addf(&sql, " AND attempt = %" PRIu64, attempt);
    bool ok = strbuf_ok(&sql, "statement", &failed) && md_query(mt, sql.data, &rows, &failed);
    strbuf_release(&sql);
    if (!ok && strcmp(failed.sqlstate, "42P01") ==
                   0) /* no load has been here yet; asked again and again, so not the catalog */
        return true;
    if (!ok) {
        *err = failed;
        return err_wrap(err, "target");
    }
    ret->there = md_next(&rows);
    ret->done = ret->there && strcmp(rows.cell[0], "0") != 0;
    if (!ret->done || read_tables(mt, ret, err))
        return true;
    target_direct_release(ret);
    return err_wrap(err, "target");
}
