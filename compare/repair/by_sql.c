/*
 * Owns: repairing by statements: at a fence, where apply waits, rows are read on both sides by their keys, and what makes the target's
 * equal is written to a file, or carried out in a transaction of the target that holds apply's position: apply can go on only behind
 * it. So no change that is on its way is undone, and none undoes the repair.
 */
#include <stdlib.h>
#include <string.h>

#include "compare/control.h"
#include "compare/fence.h"
#include "compare/moved.h"
#include "compare/repair/statements.h"
#include "compare/repair/work.h"
#include "config/reverse.h"
#include "core/alloc.h"
#include "maria/names.h"

/* Rows of one fence, and of one transaction of the target: apply waits for them. */
#define PART_ROWS 1000
/* Rows that are read at once: values may be long. */
#define READ_ROWS 20

struct part {
    struct repair_run *run;
    const struct repair_job *job;
    const struct repair_statements *ops;
    struct repair_columns columns;
    size_t from, count;
    struct fence_run fence;
    struct pair pair;       /* the snapshots of both sides */
    struct session *writer; /* NULL: nothing is carried out */
    uint64_t repaired[DIFF_CHANGED + 1], left_alone;
};

static struct repair_table *table_of(const struct part *p)
{
    return &p->run->out->tables[p->job->table];
}

/* --- the fence --- */

/* REACHED: go on. */
static bool step(enum fence_outcome outcome, char *reason, struct err *err)
{
    if (outcome == FENCE_INCONCLUSIVE)
        (void)err_set(err, ERR_BUSY, "no fence to repair at: %s", reason);
    free(reason);
    return outcome == FENCE_REACHED;
}

static bool hold(struct part *p, struct err *err)
{
    char *reason = NULL;
    enum fence_outcome outcome = fence_hold(&p->fence, &reason, err);
    return step(outcome, reason, err);
}

static bool wait_at_fence(struct part *p, struct err *err)
{
    char *reason = NULL;
    enum fence_outcome outcome = fence_wait(&p->fence, &reason, err);
    return step(outcome, reason, err);
}

static bool stands_there(struct part *p, struct session *s, struct err *err)
{
    char *reason = NULL;
    enum fence_outcome outcome = fence_check(&p->fence, s, &reason, err);
    return step(outcome, reason, err);
}

/* Takes a place in front of apply: while the position is locked no batch of it is committed. */
static bool begin_writing(struct part *p, struct err *err)
{
    return p->writer == NULL || (session_exec(p->writer, p->ops->writing.begin, err) &&
                                 p->ops->writing.lock_position(p->writer, p->run->pipeline, err) &&
                                 stands_there(p, p->writer, err));
}

static const char slot_on_postgres[] =
    "SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE slot_name = "
    "'crossfade_' || $1 AND database = current_database()";
/* capture/maria/way_back.c */
static const char begun_on_mariadb[] =
    "SELECT COUNT(*) FROM crossfade_marker WHERE kind = '" MARIA_MARKER_BEGUN "' AND pipeline = $1";

/* A capture there would take these for an application's, and send them to the source, where they would be older rows. */
static bool nobody_sends_back(struct part *p, struct err *err)
{
    char other[64];
    const char *params[] = {other}, *marker[] = {"marker"};
    int64_t ways = 0, there = 1;
    bool mariadb = session_dialect(p->writer) == DIALECT_MARIADB;
    config_other_pipeline(p->run->cfg, other);
    if (other[0] == '\0')
        return true;
    if (mariadb && !session_int64(p->writer, control_mariadb.table_there, 1, marker, &there, err))
        return false;
    return (there == 0 ||
            session_int64(p->writer, mariadb ? begun_on_mariadb : slot_on_postgres, 1, params, &ways, err)) &&
           (ways == 0 ||
            err_set(err, ERR_REFUSED,
                    "pipeline %s would send what is written here back to the source. Hint: --through-journal",
                    other));
}

static bool come_to_fence(struct part *p, const struct compare_request *req, struct err *err)
{
    const struct config *cfg = p->run->cfg;
    const char *source = config_text(cfg, "source.url"), *target = config_text(cfg, "target.url");
    struct session **sides = p->pair.session;
    return fence_open(&p->fence, cfg, req, err) &&
           (!p->run->req->execute ||
            (session_open(target, "target", p->run->pipeline, &p->writer, err) && nobody_sends_back(p, err) &&
             p->ops->writing.prepare(p->writer, err))) &&
           session_open(source, "source", p->run->pipeline, &sides[SIDE_SOURCE], err) &&
           session_open(target, "target", p->run->pipeline, &sides[SIDE_TARGET], err) && hold(p, err) &&
           session_begin(sides[SIDE_SOURCE], p->fence.slot.snapshot, err) && fence_cut(&p->fence, err) &&
           wait_at_fence(p, err) && session_begin(sides[SIDE_TARGET], NULL, err) &&
           stands_there(p, sides[SIDE_TARGET], err) && begin_writing(p, err) &&
           (p->writer != NULL || fence_release_apply(&p->fence, err));
}

/* --- rows --- */

static bool put_statement(struct part *p, enum compare_kind kind, const struct strbuf *sql, struct err *err)
{
    int64_t changed = 1;
    if (!strbuf_ok(sql, "statement", err))
        return false;
    if (p->run->file != NULL && fprintf(p->run->file, "%s;\n", sql->data) < 0)
        return err_set(err, ERR_IO, "%s: could not be written", p->run->req->file);
    if (p->writer != NULL && !p->ops->writing.carry_out(p->writer, sql->data, &changed, err))
        return err_wrap(err, "target");
    p->repaired[kind] += (uint64_t)changed;
    return true;
}

/* row_s, row_t: -1 = the side has none. */
static bool repair_row(struct part *p, struct rowset *const results[SIDE_COUNT], int row_s, int row_t,
                       struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    const struct repair_cells s = {results[SIDE_SOURCE], row_s}, t = {results[SIDE_TARGET], row_t};
    enum compare_kind kind = DIFF_UNKNOWN;
    if (row_s >= 0 && row_t < 0) {
        kind = DIFF_MISSING;
        repair_insert_row(p->ops, &p->columns, &s, &sql);
    } else if (row_s < 0 && row_t >= 0 && p->run->req->delete_extra) {
        kind = DIFF_EXTRA;
        repair_delete_row(p->ops, &p->columns, &t, &sql);
    } else if (row_s >= 0 && row_t >= 0 && repair_update_row(p->ops, &p->columns, &s, &t, &sql)) {
        kind = DIFF_CHANGED;
    }
    bool ok = kind == DIFF_UNKNOWN || put_statement(p, kind, &sql, err);
    p->left_alone += kind == DIFF_UNKNOWN;
    strbuf_release(&sql);
    return ok;
}

/* The row whose first cell is n, -1 = none; *pos moves behind. False: there are several. */
static bool take_row(const struct rowset *res, int64_t n, int *pos, int *ret)
{
    *ret = -1;
    int first = *pos;
    while (*pos < rowset_rows(res) && rowset_int64(res, *pos, 0) == n)
        *ret = (*pos)++;
    return *pos - first <= 1;
}

static bool repair_rows(struct part *p, size_t count, struct rowset *const results[SIDE_COUNT],
                        struct err *err)
{
    int pos[SIDE_COUNT] = {0}, row[SIDE_COUNT];
    for (size_t i = 0; i < count; i++) {
        for (int side = 0; side < SIDE_COUNT; side++) {
            if (!take_row(results[side], (int64_t)i + 1, &pos[side], &row[side]))
                return err_set(err, ERR_DATA, "the %s has several rows under one key: which one is meant?",
                               side_name((enum side)side));
        }
        if (!repair_row(p, results, row[SIDE_SOURCE], row[SIDE_TARGET], err))
            return false;
    }
    return true;
}

static bool read_and_repair(struct part *p, size_t from, size_t count, struct err *err)
{
    size_t key_count = p->job->pt->key_count;
    const char **cells = xcalloc(count * key_count, sizeof *cells);
    struct statement st[SIDE_COUNT];
    struct rowset *results[SIDE_COUNT] = {NULL};
    for (size_t i = 0; i < count * key_count; i++)
        cells[i] = p->job->rows[from + i / key_count].key[i % key_count];
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        st[side] = (struct statement){.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
        p->ops->read_rows(&p->columns, side, &(struct key_list){cells, count}, &st[side].sql);
    }
    bool ok = pair_query(&p->pair, st, results, err) && repair_rows(p, count, results, err);
    pair_results_free(results);
    for (int side = 0; side < SIDE_COUNT; side++)
        strbuf_release(&st[side].sql);
    free(cells);
    return ok;
}

static bool write_head(struct part *p, struct err *err)
{
    struct strbuf head = STRBUF_INIT(STRBUF_SQL_MAX);
    if (p->run->file == NULL)
        return true;
    p->ops->head(&p->columns, p->fence.fence_id, p->fence.slot.consistent_lsn, &head);
    bool ok = strbuf_ok(&head, "statement", err) &&
              (fputs(head.data, p->run->file) >= 0 ||
               err_set(err, ERR_IO, "%s: could not be written", p->run->req->file));
    strbuf_release(&head);
    return ok;
}

static bool work(struct part *p, struct err *err)
{
    if (!session_savepoint(p->pair.session[SIDE_SOURCE], err) ||
        !session_savepoint(p->pair.session[SIDE_TARGET], err) || !write_head(p, err))
        return false;
    for (size_t at = 0; at < p->count; at += READ_ROWS) {
        if (!read_and_repair(p, p->from + at, MIN_OF((size_t)READ_ROWS, p->count - at), err))
            return false;
    }
    if (p->run->file != NULL && fputs("COMMIT;\n\n", p->run->file) < 0)
        return err_set(err, ERR_IO, "%s: could not be written", p->run->req->file);
    return p->writer == NULL ||
           (session_exec(p->writer, "COMMIT", err) && fence_release_apply(&p->fence, err));
}

/* What is not committed goes with the session. */
static void close_part(struct part *p)
{
    session_close(p->writer);
    pair_close(&p->pair);
    fence_close(&p->fence);
}

static void count_part(const struct part *p)
{
    struct repair_table *rt = table_of(p);
    for (enum compare_kind kind = DIFF_MISSING; p->writer != NULL && kind <= DIFF_CHANGED; kind++)
        rt->repaired[kind] += p->repaired[kind];
    rt->left_alone += p->left_alone;
}

static bool repair_part(struct part *p, struct err *err)
{
    const struct compare_request req = {.stop_fd = p->run->req->stop_fd,
                                        .progress = p->run->req->progress,
                                        .progress_ctx = p->run->req->progress_ctx};
    bool ok = come_to_fence(p, &req, err) && work(p, err);
    if (ok)
        count_part(p);
    close_part(p);
    return ok;
}

/* --- tables --- */

static bool has_tsquery(const struct cat_table *t)
{
    for (size_t i = 0; i < t->column_count; i++) {
        if (strstr(t->columns[i].type, "tsquery") != NULL)
            return true;
    }
    return false;
}

/* NULL: it can be done. */
static const char *why_not(const struct repair_run *run, const struct repair_job *job)
{
    const struct plan_table *pt = job->pt;
    struct compare_table notes = {0};
    struct cat_table moved = {0};
    const struct cat_table *source = catalog_find(&run->cats[SIDE_SOURCE], pt->out.schema, pt->out.table);
    char *from = moved_table(source, run->rules, NULL, &moved, &notes);
    bool filtered = from != NULL;
    free(from);
    moved_release(&moved);
    table_release(&notes);
    if (pt->dialect[SIDE_TARGET] == DIALECT_MARIADB && has_tsquery(source))
        return "it has a column of type tsquery, whose text MariaDB compares without parentheses: repair it "
               "through the journal (--through-journal)";
    if (filtered)
        return "source.filters changes what is moved of it: repair it through the journal "
               "(--through-journal)";
    if (!pt->target_indexed)
        return "the target has no unique index for the key: make one, or repair it through the journal";
    return NULL;
}

static bool repair_table(struct repair_run *run, const struct repair_job *job, struct err *err)
{
    struct repair_table *rt = &run->out->tables[job->table];
    const char *why = why_not(run, job);
    if (why != NULL) {
        free(rt->refused);
        rt->refused = xstrdup(why);
        return true;
    }
    for (size_t at = 0; at < job->count; at += PART_ROWS) {
        struct part p = {.run = run,
                         .job = job,
                         .ops = job->pt->dialect[SIDE_TARGET] == DIALECT_MARIADB
                                    ? &repair_statements_mariadb
                                    : &repair_statements_postgres,
                         .columns = {.pt = job->pt,
                                     .source = catalog_find(&run->cats[SIDE_SOURCE], rt->schema, rt->table),
                                     .target = catalog_find(&run->cats[SIDE_TARGET], rt->schema, rt->table)},
                         .from = at,
                         .count = MIN_OF((size_t)PART_ROWS, job->count - at)};
        if (!repair_part(&p, err))
            return false;
    }
    return true;
}

bool repair_by_sql(struct repair_run *run, struct err *err)
{
    for (size_t j = 0; j < run->job_count; j++) {
        char *name CLEANUP(free_ptr) = repair_table_name(&run->out->tables[run->jobs[j].table]);
        if (!repair_table(run, &run->jobs[j], err))
            return err_wrap(err, "table=%s", name);
    }
    return true;
}
