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
                             "'crossfade_direct_chunk', 'crossfade_direct_letter')",
                             &count, err);
    *ret = count == 4;
    return ok;
}

/* --- what is there --- */

static void add_oids(struct strbuf *sql, const struct loader_table *const *tables, size_t count)
{
    strbuf_adds(sql, " AND source_oid IN (");
    for (size_t i = 0; i < count; i++)
        strbuf_addf(sql, "%s%" PRIu32, i > 0 ? ", " : "", tables[i]->oid);
    strbuf_adds(sql, ")");
}

struct place {
    uint32_t oid;
    size_t at;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return (x->oid > y->oid) - (x->oid < y->oid);
}

static void find_places(const struct loader_table *const *tables, size_t count, struct place *ret)
{
    for (size_t i = 0; i < count; i++)
        ret[i] = (struct place){tables[i]->oid, i};
    qsort(ret, count, sizeof *ret, compare_places);
}

static size_t place_of(const struct place *places, size_t count, const char *oid)
{
    const struct place key = {.oid = (uint32_t)strtoul(oid, NULL, 10)}, *found = NULL;
    found = bsearch(&key, places, count, sizeof *places, compare_places);
    return found != NULL ? found->at : 0; /* it was asked for */
}

static bool read_chunk(char **cell, struct loader_chunk *ret, struct err *err)
{
    *ret = (struct loader_chunk){.table_oid = (uint32_t)strtoul(cell[0], NULL, 10),
                                 .part_oid = (uint32_t)strtoul(cell[1], NULL, 10),
                                 .number = (int)strtol(cell[2], NULL, 10),
                                 .noted = true,
                                 .done = strcmp(cell[4], "0") != 0,
                                 .rows = cell[5] != NULL ? strtoll(cell[5], NULL, 10) : 0};
    bool ok = (!ret->done || (cell[6] != NULL && lsn_parse(cell[6], &ret->lsn))) &&
              (cell[3] == NULL || loader_upper_read(cell[3], ret));
    if (ok)
        return true;
    loader_chunk_release(ret);
    return err_set(err, ERR_PROTOCOL, "crossfade_direct_chunk: part %s, chunk %s does not parse", cell[1],
                   cell[2]);
}

static bool look_at_shapes(struct md_loader *ld, const struct loader_table *const *tables, size_t count,
                           const struct place *places, struct loader_seen *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    strbuf_adds(&sql, "SELECT source_oid, shape FROM crossfade_direct_table WHERE ");
    mdl_add_pipeline(&sql, ld);
    add_oids(&sql, tables, count);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(ld->mt, sql.data, &rows, err);
    strbuf_release(&sql);
    while (ok && md_next(&rows)) {
        size_t at = place_of(places, count, rows.cell[0]);
        ret[at].same = strcmp(rows.cell[1], tables[at]->shape) == 0;
    }
    return ok;
}

static bool read_chunks(struct md_loader *ld, const struct loader_table *const *tables, size_t count,
                        const struct place *places, struct loader_seen *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    size_t *room CLEANUP(free_ptr) = xcalloc(count, sizeof *room);
    strbuf_adds(&sql, "SELECT source_oid, part_oid, number, upper, done, `rows`, lsn FROM "
                      "crossfade_direct_chunk WHERE ");
    mdl_add_pipeline(&sql, ld);
    add_oids(&sql, tables, count);
    strbuf_adds(&sql, " ORDER BY source_oid, part_oid, number");
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(ld->mt, sql.data, &rows, err);
    strbuf_release(&sql);
    while (ok && md_next(&rows)) {
        size_t at = place_of(places, count, rows.cell[0]);
        struct loader_seen *seen = &ret[at];
        if (seen->chunk_count == room[at]) {
            room[at] = room[at] != 0 ? room[at] * 2 : 16;
            seen->chunks = xrealloc(seen->chunks, room[at] * sizeof *seen->chunks);
        }
        ok = read_chunk(rows.cell, &seen->chunks[seen->chunk_count], err);
        seen->chunk_count += ok;
    }
    return ok;
}

bool mdl_look(struct loader *base, const struct loader_table *const *tables, size_t count,
              struct loader_seen *ret, struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    struct place *places CLEANUP(free_ptr) = xcalloc(count, sizeof *places);
    find_places(tables, count, places);
    if (!mdl_tables(ld, tables, count, err) || !look_at_shapes(ld, tables, count, places, ret, err) ||
        !read_chunks(ld, tables, count, places, ret, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct md_table *tab = ld->known[i].tab;
        ret[i].form = LOADER_ROWS;
        ret[i].mixable = tab->key_count > 0 && tab->one_unique;
    }
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
