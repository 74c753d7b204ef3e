/* Owns: how tables are shared out over shards, and the change from one layout to another (layout.h): another number of shards, or other
 * foreign keys where these fire. The first process of the new layout turns what the old one has left into its own, in one transaction, and
 * only when all of the old ones stand at the same fence: what one of them had not applied yet would be lost to the tables that change
 * hands. It holds the locks of the old shards meanwhile, and those of another number for good, so that none of them can come back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "postgres.h"
#include "target/shard.h"

struct relayout {
    const struct target_options *options;
    unsigned count;              /* of shards, from now on */
    size_t others;               /* positions of another number of shards */
    bool laid_out;               /* the stored homes are there, though they may be none */
    struct target_layout edges;  /* foreign keys that fire */
    struct target_layout wanted; /* homes from now on, if they change */
};

/* --- looking --- */

static bool read_pairs(struct pg_target *pt, const char *sql, int param_count, struct target_layout *ret,
                       bool *ret_any, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {pt->pipeline};
    if (!pg_query(pt->conn, sql, param_count, params, &res, err))
        return false;
    *ret_any = pg_rows(res) > 0;
    for (int i = 0; i < pg_rows(res); i++) {
        if (pg_cell_len(res, i, 1) > 0)
            target_layout_add(ret, pg_cell(res, i, 0), pg_cell(res, i, 1), pg_cell(res, i, 2),
                              pg_cell(res, i, 3));
    }
    target_layout_sort(ret);
    return true;
}

/* A row with empty names says that the pipeline's tables have been shared out. */
static bool read_homes(struct pg_target *pt, bool *ret_laid_out, struct err *err)
{
    target_layout_release(&pt->layout);
    return read_pairs(pt,
                      "SELECT schema_name, table_name, home_schema, home_table FROM crossfade.shard_home "
                      "WHERE pipeline = $1",
                      1, &pt->layout, ret_laid_out, err);
}

/* Partitions have the foreign keys of their table as rows of their own. */
static bool read_edges(struct pg_target *pt, struct target_layout *ret, struct err *err)
{
    bool any;
    return read_pairs(
        pt,
        "SELECT an.nspname, a.relname, bn.nspname, b.relname FROM pg_constraint k JOIN pg_class a ON a.oid = "
        "k.conrelid JOIN pg_namespace an ON an.oid = a.relnamespace JOIN pg_class b ON b.oid = k.confrelid "
        "JOIN pg_namespace bn ON bn.oid = b.relnamespace WHERE k.contype = 'f' AND k.conrelid <> "
        "k.confrelid AND a.relpersistence <> 't'",
        0, ret, &any, err);
}

static bool count_others(struct pg_target *pt, size_t *ret, struct err *err)
{
    const char *params[] = {pt->pipeline, pt->shard};
    int64_t count = 0;
    bool ok = pg_query_int64(pt->conn,
                             "SELECT count(*) FROM crossfade.position WHERE pipeline = $1 AND "
                             "split_part(shard, '/', 2) <> split_part($2, '/', 2)",
                             2, params, &count, err);
    *ret = (size_t)count;
    return ok;
}

/* The positions of the layout that is left: of another number of shards, or of this one. In Debezium's topics places are compared, not
 * ids (each process counts its own), and without what depends on when a process looked. */
static bool read_places(struct pg_target *pt, bool others, struct target_place **ret, size_t *ret_count,
                        struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {pt->pipeline, pt->shard, others ? "t" : "f"};
    if (!pg_query(
            pt->conn,
            "SELECT shard, coalesce(md5((offsets::jsonb - 'late')::text), fence_id::text), complete AND "
            "pending IS NULL FROM crossfade.position WHERE pipeline = $1 "
            "AND (split_part(shard, '/', 2) <> split_part($2, '/', 2)) = $3::boolean ORDER BY shard",
            3, params, &res, err))
        return false;
    *ret_count = (size_t)pg_rows(res);
    *ret = xcalloc(*ret_count + 1, sizeof **ret);
    for (int i = 0; i < pg_rows(res); i++) {
        struct target_place *place = &(*ret)[i];
        (void)snprintf(place->shard, sizeof place->shard, "%s", pg_cell(res, i, 0));
        (void)snprintf(place->fence, sizeof place->fence, "%s", pg_cell(res, i, 1));
        place->whole = pg_cell_bool(res, i, 2);
    }
    return true;
}

/* --- the change --- */

/* Nobody of that shard is there, and nothing of it is left prepared. */
static bool take_over(struct pg_target *pt, const char *shard, struct err *err)
{
    char *mine = pt->shard, text[32];
    (void)snprintf(text, sizeof text, "%s", shard);
    pt->shard = text;
    bool ok = (strcmp(mine, shard) == 0 || pgt_take_lock(pt, err)) && pgt_crew.recover(&pt->base, err);
    pt->shard = mine;
    return ok;
}

static bool take_over_all(struct pg_target *pt, const struct relayout *ch, struct err *err)
{
    struct target_place *places = NULL;
    size_t count = 0;
    if (ch->others > 0 && !read_places(pt, true, &places, &count, err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = take_over(pt, places[i].shard, err);
    free(places);
    for (unsigned k = 1; ok && ch->others == 0 && k <= ch->count; k++) {
        char shard[32];
        (void)snprintf(shard, sizeof shard, "%u/%u", k, ch->count);
        ok = take_over(pt, shard, err);
    }
    return ok;
}

/* Their processes may start now: they find the new layout. */
static bool release_others(struct pg_target *pt, const struct relayout *ch, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char count[16];
    (void)snprintf(count, sizeof count, "%u", ch->count);
    const char *params[] = {pt->pipeline, pt->shard, count};
    return pg_query(
        pt->conn,
        "SELECT pg_advisory_unlock(hashtextextended('crossfade apply ' || $1::text || ' ' || k || '/' || "
        "$3::text, 0)) FROM generate_series(1, $3::text::int) k WHERE k || '/' || $3::text <> $2::text",
        3, params, &res, err);
}

/* What is remembered of tables goes where the tables go. */
static bool move_tables(struct pg_target *pt, const struct relayout *ch, struct err *err)
{
    PG_RESULT_AUTO tables = NULL;
    const char *params[] = {pt->pipeline};
    if (!pg_query(pt->conn,
                  "SELECT schema_name, table_name FROM crossfade.loaded WHERE pipeline = $1 UNION SELECT "
                  "schema_name, table_name FROM crossfade.dead_letter WHERE pipeline = $1 AND state = 'held'",
                  1, params, &tables, err))
        return false;
    for (int i = 0; i < pg_rows(tables); i++) {
        PG_RESULT_AUTO loaded = NULL;
        PG_RESULT_AUTO letters = NULL;
        char to[32];
        (void)snprintf(to, sizeof to, "%u/%u",
                       target_layout_shard(&ch->wanted, ch->options, ch->count, pg_cell(tables, i, 0),
                                           pg_cell(tables, i, 1)),
                       ch->count);
        const char *row[] = {pt->pipeline, to, pg_cell(tables, i, 0), pg_cell(tables, i, 1)};
        if (!pg_query(pt->conn,
                      "UPDATE crossfade.loaded SET shard = $2 WHERE pipeline = $1 AND schema_name = $3 AND "
                      "table_name = $4 AND shard <> $2",
                      4, row, &loaded, err) ||
            !pg_query(pt->conn,
                      "UPDATE crossfade.dead_letter SET shard = $2 WHERE pipeline = $1 AND schema_name = $3 "
                      "AND table_name = $4 AND state = 'held' AND shard <> $2",
                      4, row, &letters, err))
            return false;
    }
    return true;
}

/* Letters are replayed in the order of their fences' ids, whichever process has counted them: those still to come are behind all that
 * are held. */
static bool raise_ids(struct pg_target *pt, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {pt->pipeline};
    return pg_query(pt->conn,
                    "UPDATE crossfade.position SET fence_id = (SELECT max(fence_id) FROM crossfade.position "
                    "WHERE pipeline = $1) WHERE pipeline = $1 AND offsets IS NOT NULL",
                    1, params, &res, err);
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
                    "pipeline = $1 AND shard = $3",
                    3, params, &made, err) &&
           pg_query(pt->conn,
                    "DELETE FROM crossfade.position WHERE pipeline = $1 AND split_part(shard, '/', 2) <> "
                    "split_part($2, '/', 2)",
                    2, params, &gone, err);
}

static bool write_home(struct pg_target *pt, const struct target_home *home, struct err *err)
{
    PG_RESULT_AUTO made = NULL;
    const char *row[] = {pt->pipeline, home->schema, home->table, home->home_schema, home->home_table};
    return pg_query(
        pt->conn,
        "INSERT INTO crossfade.shard_home (pipeline, schema_name, table_name, home_schema, home_table) "
        "VALUES ($1, $2, $3, $4, $5)",
        5, row, &made, err);
}

static bool write_homes(struct pg_target *pt, const struct relayout *ch, struct err *err)
{
    static const struct target_home laid_out = {
        .schema = "", .table = "", .home_schema = "", .home_table = ""};
    PG_RESULT_AUTO gone = NULL;
    const char *params[] = {pt->pipeline};
    bool ok =
        pg_query(pt->conn, "DELETE FROM crossfade.shard_home WHERE pipeline = $1", 1, params, &gone, err) &&
        (ch->count == 1 || write_home(pt, &laid_out, err));
    for (size_t i = 0; ok && i < ch->wanted.count; i++)
        ok = write_home(pt, &ch->wanted.homes[i], err);
    if (ok && ch->wanted.count > 0)
        log_event(LOG_LEVEL_INFO, "shards_connected",
                  "tables=%zu text=\"tables that foreign keys connect are of one shard\"", ch->wanted.count);
    return ok;
}

static bool to_another_number(struct pg_target *pt, const struct relayout *ch, struct err *err)
{
    struct target_place *places = NULL;
    size_t count = 0;
    if (!read_places(pt, true, &places, &count, err))
        return false;
    bool ok = count == 0 || target_places_agree(places, count, pt->pipeline, pt->shard, err);
    if (ok && count > 0) { /* else another process of the new layout has done it meanwhile */
        log_event(LOG_LEVEL_INFO, "shards_changed", "from=%zu to=%u fence=%s", count, ch->count,
                  places[0].fence);
        ok = move_tables(pt, ch, err) && raise_ids(pt, err) && move_positions(pt, places[0].shard, err) &&
             write_homes(pt, ch, err);
    }
    free(places);
    return ok;
}

static bool to_other_homes(struct pg_target *pt, struct relayout *ch, struct err *err)
{
    struct target_place *places = NULL;
    size_t count = 0;
    bool was = ch->laid_out;
    if (!read_homes(pt, &ch->laid_out, err))
        return false;
    bool torn = target_layout_torn(&pt->layout, &ch->edges, ch->options, ch->count) != NULL;
    if (!was && ch->laid_out) /* two processes are the first ones, and the other one was faster */
        return !torn || err_set(err, ERR_TRANSIENT, "the tables have just been shared out by another shard");
    if (!read_places(pt, false, &places, &count, err))
        return false;
    bool ok = !torn || count == 0 ||
              (target_places_agree(places, count, pt->pipeline, pt->shard, err) && raise_ids(pt, err));
    free(places);
    return ok && move_tables(pt, ch, err) && write_homes(pt, ch, err);
}

static bool in_transaction(struct pg_target *pt, struct relayout *ch, struct err *err)
{
    struct err ignored = ERR_INIT;
    if (!pg_exec(pt->conn, "BEGIN", err))
        return false;
    bool ok = pg_exec(pt->conn, "LOCK TABLE crossfade.position IN SHARE ROW EXCLUSIVE MODE", err) &&
              (ch->others > 0 ? to_another_number(pt, ch, err) : to_other_homes(pt, ch, err)) &&
              failpoint("apply.shards_before_commit", err);
    if (ok)
        return pg_exec(pt->conn, "COMMIT", err) && failpoint("apply.shards_committed", err);
    (void)!pg_exec(pt->conn, "ROLLBACK", &ignored);
    return false;
}

/* With positions there may be processes that go by the layout that is left; without any, nobody has one yet. */
static bool change(struct pg_target *pt, struct relayout *ch, struct err *err)
{
    struct target_place *places = NULL;
    size_t count = 0;
    if (ch->others == 0 && !read_places(pt, false, &places, &count, err))
        return false;
    free(places);
    const struct target_home *torn =
        ch->others > 0 ? NULL : target_layout_torn(&pt->layout, &ch->edges, ch->options, ch->count);
    bool locks = ch->others > 0 || (torn != NULL && (ch->laid_out || count > 0));
    if (torn != NULL && locks)
        log_event(LOG_LEVEL_INFO, "shards_torn",
                  "table=%s.%s references=%s.%s text=\"a foreign key that fires connects tables of two "
                  "shards: they "
                  "are shared out anew\"",
                  torn->schema, torn->table, torn->home_schema, torn->home_table);
    return (!locks || take_over_all(pt, ch, err)) && in_transaction(pt, ch, err) &&
           (!locks || ch->others > 0 || release_others(pt, ch, err));
}

static bool look_and_change(struct pg_target *pt, struct relayout *ch, struct err *err)
{
    bool fires = pt->base.triggers_fire && ch->count > 1;
    if (!count_others(pt, &ch->others, err) || !read_homes(pt, &ch->laid_out, err) ||
        (fires && !read_edges(pt, &ch->edges, err)))
        return false;
    target_layout_connect(&ch->edges, &ch->wanted);
    bool torn = target_layout_torn(&pt->layout, &ch->edges, ch->options, ch->count) != NULL;
    if (ch->others == 0 && !torn && (ch->laid_out || ch->count == 1))
        return true;
    return change(pt, ch, err) && read_homes(pt, &ch->laid_out, err);
}

bool pgt_change_shards(struct pg_target *pt, const struct target_options *options, struct err *err)
{
    struct relayout ch = {.options = options, .count = target_shards_in(pt->shard)};
    bool ok = options->table_shard == NULL || look_and_change(pt, &ch, err);
    target_layout_release(&ch.edges);
    target_layout_release(&ch.wanted);
    pt->base.layout = &pt->layout;
    return ok;
}
