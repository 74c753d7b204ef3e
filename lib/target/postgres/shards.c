/* Owns: from n shards to m. The first process of the new layout turns the positions of the old one into those of the new one, in one
 * transaction, and only when all of the old ones stand at the same fence: what one of them had not applied yet would be lost to the
 * tables that change hands. It holds the locks of the old shards from then on, so that none of them can come back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "postgres.h"
#include "target/shard.h"

static const char OTHERS[] =
    "SELECT shard, fence_id, complete AND pending IS NULL FROM crossfade.position WHERE pipeline = $1 AND "
    "split_part(shard, '/', 2) <> split_part($2, '/', 2) ORDER BY shard";

static bool refuse(const struct pg_target *pt, const struct pg_result *old, struct err *err)
{
    struct strbuf where = STRBUF_INIT(2000);
    for (int i = 0; i < pg_rows(old) && i < 20; i++)
        strbuf_addf(&where, "%s%s at fence %s", i > 0 ? ", " : "", pg_cell(old, i, 0), pg_cell(old, i, 1));
    err_set(err, ERR_CONFIG,
            "apply.shard: %s: the shards of pipeline %s are others so far, and do not all stand at the same "
            "fence of a "
            "complete copy: %s. Hint: stop capture, run all of them until they have applied everything, stop "
            "them, and "
            "start this one again",
            pt->shard, pt->pipeline, where.data);
    strbuf_release(&where);
    return false;
}

static bool all_at_one_fence(const struct pg_result *old)
{
    for (int i = 0; i < pg_rows(old); i++) {
        if (!pg_cell_bool(old, i, 2) || strcmp(pg_cell(old, i, 1), pg_cell(old, 0, 1)) != 0 ||
            target_shards_in(pg_cell(old, i, 0)) != (unsigned)pg_rows(old))
            return false;
    }
    return true;
}

/* Nobody of the old layout is there, and nothing of theirs is left prepared. */
static bool take_over(struct pg_target *pt, const struct pg_result *old, struct err *err)
{
    bool ok = true;
    char *mine = pt->shard;
    for (int i = 0; ok && i < pg_rows(old); i++) {
        char shard[32];
        (void)snprintf(shard, sizeof shard, "%s", pg_cell(old, i, 0));
        pt->shard = shard;
        ok = pgt_take_lock(pt, err) && pgt_crew.recover(&pt->base, err);
        pt->shard = mine;
    }
    return ok;
}

/* What is remembered of tables goes where the tables go. */
static bool move_tables(struct pg_target *pt, const struct target_options *options, struct err *err)
{
    PG_RESULT_AUTO tables = NULL;
    const char *params[] = {pt->pipeline, pt->shard};
    if (!pg_query(pt->conn,
                  "SELECT schema_name, table_name FROM crossfade.loaded WHERE pipeline = $1 AND "
                  "split_part(shard, '/', 2) <> "
                  "split_part($2, '/', 2) UNION SELECT schema_name, table_name FROM crossfade.dead_letter "
                  "WHERE pipeline = $1 "
                  "AND state = 'held' AND split_part(shard, '/', 2) <> split_part($2, '/', 2)",
                  2, params, &tables, err))
        return false;
    for (int i = 0; i < pg_rows(tables); i++) {
        PG_RESULT_AUTO loaded = NULL;
        PG_RESULT_AUTO letters = NULL;
        char to[32];
        unsigned count = target_shards_in(pt->shard);
        (void)snprintf(to, sizeof to, "%u/%u",
                       options->table_shard(count, pg_cell(tables, i, 0), pg_cell(tables, i, 1)), count);
        const char *row[] = {pt->pipeline, to, pg_cell(tables, i, 0), pg_cell(tables, i, 1)};
        if (!pg_query(pt->conn,
                      "UPDATE crossfade.loaded SET shard = $2 WHERE pipeline = $1 AND schema_name = $3 AND "
                      "table_name = $4",
                      4, row, &loaded, err) ||
            !pg_query(pt->conn,
                      "UPDATE crossfade.dead_letter SET shard = $2 WHERE pipeline = $1 AND schema_name = $3 "
                      "AND table_name = "
                      "$4 AND state = 'held'",
                      4, row, &letters, err))
            return false;
    }
    return true;
}

static bool move_positions(struct pg_target *pt, const char *from, struct err *err)
{
    PG_RESULT_AUTO made = NULL;
    PG_RESULT_AUTO gone = NULL;
    const char *params[] = {pt->pipeline, pt->shard, from};
    return pg_query(pt->conn,
                    "INSERT INTO crossfade.position (pipeline, shard, " POSITION_NAMES
                    ") SELECT pipeline, k || '/' || split_part($2, '/', 2), " POSITION_NAMES
                    " FROM crossfade.position, generate_series(1, split_part($2, '/', 2)::int) k WHERE "
                    "pipeline = $1 AND shard "
                    "= $3",
                    3, params, &made, err) &&
           pg_query(pt->conn,
                    "DELETE FROM crossfade.position WHERE pipeline = $1 AND split_part(shard, '/', 2) <> "
                    "split_part($2, '/', 2)",
                    2, params, &gone, err);
}

static bool in_transaction(struct pg_target *pt, const struct target_options *options, struct err *err)
{
    PG_RESULT_AUTO old = NULL;
    const char *params[] = {pt->pipeline, pt->shard};
    if (!pg_exec(pt->conn, "LOCK TABLE crossfade.position IN SHARE ROW EXCLUSIVE MODE", err) ||
        !pg_query(pt->conn, OTHERS, 2, params, &old, err))
        return false;
    if (pg_rows(old) == 0)
        return true; /* another process of the new layout has done it meanwhile */
    if (!all_at_one_fence(old))
        return refuse(pt, old, err);
    log_event(LOG_LEVEL_INFO, "shards_changed", "from=%d to=%u fence=%s", pg_rows(old),
              target_shards_in(pt->shard), pg_cell(old, 0, 1));
    return move_tables(pt, options, err) && move_positions(pt, pg_cell(old, 0, 0), err);
}

bool pgt_change_shards(struct pg_target *pt, const struct target_options *options, struct err *err)
{
    PG_RESULT_AUTO old = NULL;
    struct err ignored = ERR_INIT;
    const char *params[] = {pt->pipeline, pt->shard};
    if (!pg_query(pt->conn, OTHERS, 2, params, &old, err))
        return false;
    if (pg_rows(old) == 0 || options->table_shard == NULL)
        return true;
    if (!take_over(pt, old, err) || !pg_exec(pt->conn, "BEGIN", err))
        return false;
    if (in_transaction(pt, options, err))
        return pg_exec(pt->conn, "COMMIT", err);
    (void)!pg_exec(pt->conn, "ROLLBACK", &ignored);
    return false;
}
