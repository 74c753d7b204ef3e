/* Owns: from n shards to m. The first process of the new layout turns the positions of the old one into those of the new one, in one
 * transaction, and only when all of the old ones stand at the same fence: what one of them had not applied yet would be lost to the
 * tables that change hands. It holds the locks of the old shards from then on, so that none of them can come back. (Foreign keys do
 * not fire in these sessions: each table counts by its own name.) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "mariadb.h"
#include "target/layout.h"
#include "target/shard.h"

static const char NAMES[] =
    "fence_id, fence_offset, lsn, source_system_id, attempt, complete, commit_time, marker_kind, "
    "marker_nonce, offsets, applied_at";

static void add_others(struct strbuf *sql, const struct md_target *mt)
{
    strbuf_adds(sql, "pipeline = ");
    maria_quote_literal(sql, mt->pipeline);
    strbuf_adds(sql, " AND SUBSTRING_INDEX(shard, '/', -1) <> SUBSTRING_INDEX(");
    maria_quote_literal(sql, mt->shard);
    strbuf_adds(sql, ", '/', -1)");
}

/* Positions of another number of shards. lock: until the end of the transaction nobody moves them. In Debezium's topics places are
 * compared, not ids (each process counts its own), and without what depends on when a process looked. */
static bool read_places(struct md_target *mt, bool lock, struct target_place **ret, size_t *ret_count,
                        struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    strbuf_adds(&sql,
                "SELECT shard, IFNULL(MD5(JSON_REMOVE(offsets, '$.late')), fence_id), complete AND pending "
                "IS NULL FROM crossfade_position WHERE ");
    add_others(&sql, mt);
    strbuf_adds(&sql, lock ? " ORDER BY shard FOR UPDATE" : " ORDER BY shard");
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, &rows, err);
    strbuf_release(&sql);
    if (!ok)
        return false;
    struct target_place *places = NULL;
    size_t count = 0;
    while (md_next(&rows)) {
        places = xrealloc(places, (count + 1) * sizeof *places);
        struct target_place *place = &places[count++];
        *place = (struct target_place){.whole = strcmp(rows.cell[2], "0") != 0};
        (void)snprintf(place->shard, sizeof place->shard, "%s", rows.cell[0]);
        (void)snprintf(place->fence, sizeof place->fence, "%s", rows.cell[1]);
    }
    *ret = places;
    *ret_count = count;
    return true;
}

/* Nobody of the old layout is there, and nothing of theirs is left prepared. The lock's name is that of XA transactions, too. */
static bool take_over(struct md_target *mt, const struct target_place *old, struct err *err)
{
    char *mine = mt->shard, shard[32], lock_name[sizeof mt->lock_name];
    memcpy(lock_name, mt->lock_name, sizeof lock_name);
    memcpy(shard, old->shard, sizeof shard);
    mt->shard = shard;
    bool ok = md_take_lock(mt, err) && md_crew.recover(&mt->base, err);
    mt->shard = mine;
    memcpy(mt->lock_name, lock_name, sizeof lock_name);
    return ok;
}

static bool run(struct md_target *mt, struct strbuf *sql, struct err *err)
{
    bool ok = strbuf_ok(sql, "statement", err) && md_exec(mt, sql->data, err);
    strbuf_clear(sql);
    return ok;
}

static void add_move(struct strbuf *sql, const struct md_target *mt, const char *control, const char *to,
                     char *const *name)
{
    strbuf_addf(sql, "UPDATE %s SET shard = '%s' WHERE pipeline = ", control, to);
    maria_quote_literal(sql, mt->pipeline);
    strbuf_adds(sql, " AND schema_name = ");
    maria_quote_literal(sql, name[0]);
    strbuf_adds(sql, " AND table_name = ");
    maria_quote_literal(sql, name[1]);
}

/* What is remembered of tables goes where the tables go. */
static bool move_tables(struct md_target *mt, const struct target_options *options, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS tables = {0};
    unsigned count = target_shards_in(mt->shard);
    strbuf_adds(&sql, "SELECT schema_name, table_name FROM crossfade_loaded WHERE ");
    add_others(&sql, mt);
    strbuf_adds(&sql,
                " UNION SELECT schema_name, table_name FROM crossfade_dead_letter WHERE state = 'held' AND ");
    add_others(&sql, mt);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, &tables, err);
    strbuf_clear(&sql);
    while (ok && md_next(&tables)) {
        char to[32];
        (void)snprintf(to, sizeof to, "%u/%u", options->table_shard(count, tables.cell[0], tables.cell[1]),
                       count);
        add_move(&sql, mt, "crossfade_loaded", to, tables.cell);
        ok = run(mt, &sql, err);
        add_move(&sql, mt, "crossfade_dead_letter", to, tables.cell);
        strbuf_adds(&sql, " AND state = 'held'");
        ok = ok && run(mt, &sql, err);
        strbuf_clear(&sql);
    }
    strbuf_release(&sql);
    return ok;
}

/* Letters are replayed in the order of their fences' ids, whichever process has counted them: those still to come are behind all that
 * are held. */
static bool raise_ids(struct md_target *mt, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql,
                "UPDATE crossfade_position SET fence_id = (SELECT highest FROM (SELECT MAX(fence_id) AS "
                "highest FROM crossfade_position WHERE pipeline = ");
    maria_quote_literal(&sql, mt->pipeline);
    strbuf_adds(&sql, ") p) WHERE offsets IS NOT NULL AND pipeline = ");
    maria_quote_literal(&sql, mt->pipeline);
    bool ok = run(mt, &sql, err);
    strbuf_release(&sql);
    return ok;
}

static bool move_positions(struct md_target *mt, const char *from, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    unsigned count = target_shards_in(mt->shard);
    bool ok = true;
    for (unsigned k = 1; ok && k <= count; k++) {
        strbuf_addf(&sql,
                    "INSERT INTO crossfade_position (pipeline, shard, %s) SELECT pipeline, '%u/%u', %s FROM "
                    "crossfade_position WHERE shard = ",
                    NAMES, k, count, NAMES);
        maria_quote_literal(&sql, from);
        strbuf_adds(&sql, " AND pipeline = ");
        maria_quote_literal(&sql, mt->pipeline);
        ok = run(mt, &sql, err);
    }
    strbuf_adds(&sql, "DELETE FROM crossfade_position WHERE ");
    add_others(&sql, mt);
    ok = ok && run(mt, &sql, err);
    strbuf_release(&sql);
    return ok;
}

static bool in_transaction(struct md_target *mt, const struct target_options *options, struct err *err)
{
    struct target_place *old = NULL;
    size_t count = 0;
    if (!read_places(mt, true, &old, &count, err))
        return false;
    bool ok = count == 0 || target_places_agree(old, count, mt->pipeline, mt->shard, err);
    if (ok && count > 0) { /* else another process of the new layout has done it meanwhile */
        log_event(LOG_LEVEL_INFO, "shards_changed", "from=%zu to=%u fence=%s", count,
                  target_shards_in(mt->shard), old[0].fence);
        ok = move_tables(mt, options, err) && raise_ids(mt, err) && move_positions(mt, old[0].shard, err);
    }
    free(old);
    return ok && failpoint("apply.shards_before_commit", err);
}

bool md_change_shards(struct md_target *mt, const struct target_options *options, struct err *err)
{
    struct target_place *old = NULL;
    struct err ignored = ERR_INIT;
    size_t count = 0;
    if (options->table_shard == NULL || !read_places(mt, false, &old, &count, err))
        return options->table_shard == NULL;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = take_over(mt, &old[i], err);
    free(old);
    if (!ok || count == 0)
        return ok;
    if (!md_exec(mt, "START TRANSACTION", err))
        return false;
    if (in_transaction(mt, options, err))
        return md_exec(mt, "COMMIT", err) && failpoint("apply.shards_committed", err);
    (void)!md_exec(mt, "ROLLBACK", &ignored);
    return false;
}
