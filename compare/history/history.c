/* Owns: which proofs a comparison builds on, and the proofs that it makes. See history.h. */
#include "history/history.h"

#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "history/proof_sql.h"
#include "topic_names.h"

#define SAVE_EVERY_US INT64_C(2000000)

static void key_free(char **key)
{
    for (size_t i = 0; key != NULL && key[i] != NULL; i++)
        free(key[i]);
    free(key);
}

static size_t key_length(char *const *key)
{
    size_t n = 0;
    while (key[n] != NULL)
        n++;
    return n;
}

static char **key_copy(char *const *key)
{
    size_t n = key_length(key);
    char **copy = xcalloc(n + 1, sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = xstrdup(key[i]);
    return copy;
}

void table_history_free(struct table_history *h)
{
    if (h == NULL)
        return;
    proof_release(&h->base);
    key_set_release(&h->keys);
    for (size_t i = 0; i < h->part_count; i++)
        key_free(h->parts[i].upper);
    free(h->parts);
    key_free(h->upper);
    free(h->key_names);
    free(h->topic);
    free(h);
}

/* --- what there is --- */

/* Where both sides stand; *ret false: the pipeline has no position, or is not complete. */
static bool read_place(struct history *h, struct session *session, bool *ret, struct err *err)
{
    ROWSET_AUTO res = NULL;
    int64_t there = 0;
    const char *name = "position";
    *ret = false;
    if (!session_int64(session, control_of(session)->table_there, 1, &name, &there, err))
        return false;
    if (there == 0)
        return true;
    if (!session_ask(session, proof_sql_of(session)->place, 1, &h->pipeline, &res, err))
        return false;
    if (rowset_rows(res) == 0)
        return true;
    h->at = (struct fence_place){.id = (uint64_t)rowset_int64(res, 0, 0),
                                 .offset = (uint64_t)rowset_int64(res, 0, 1),
                                 .attempt = (uint64_t)rowset_int64(res, 0, 3)};
    *ret = lsn_parse(rowset_cell(res, 0, 2), &h->at.lsn) && rowset_bool(res, 0, 4) && h->at.id > 0;
    return true;
}

static bool name_topics(struct history *h, struct err *err)
{
    struct topic_names names;
    if (!topic_names_open(h->cfg, &names, err))
        return false;
    for (size_t i = 0; i < h->plan->count; i++) {
        struct plan_table *pt = h->plan->tables[i];
        if (!pt->comparable)
            continue;
        struct table_history *th = pt->history = xcalloc(1, sizeof *th);
        th->topic = topic_names_of(&names, pt->out.schema, pt->out.table);
        th->key_names = xcalloc(pt->key_count + 1, sizeof *th->key_names);
        for (size_t k = 0; k < pt->key_count; k++)
            th->key_names[k] = pt->keys[k].name;
    }
    topic_names_close(&names);
    return true;
}

static struct plan_table *find_table(const struct history *h, const char *schema, const char *table)
{
    struct plan_table *pt = plan_find(h->plan, schema, table);
    return pt != NULL && pt->history != NULL ? pt : NULL;
}

/* Nothing is kept of the tables that `sql` names, if there is the control table of that name. */
static bool leave_named(struct history *h, const char *name, const char *sql, struct err *err)
{
    ROWSET_AUTO res = NULL;
    int64_t there = 0;
    if (!session_int64(h->session, control_of(h->session)->table_there, 1, &name, &there, err))
        return false;
    if (there == 0)
        return true;
    if (!session_ask(h->session, sql, 1, &h->pipeline, &res, err))
        return err_wrap(err, "target: crossfade.%s", name);
    for (int row = 0; row < rowset_rows(res); row++) {
        struct plan_table *pt = find_table(h, rowset_cell(res, row, 0), rowset_cell(res, row, 1));
        if (pt != NULL)
            pt->history->kept = false;
    }
    return true;
}

/* What is written to these on the target is not all in the journal: applications write there, or dead letters will be taken up. */
static bool leave_other_writes(struct history *h, struct err *err)
{
    const struct control *control = control_of(h->session);
    return leave_named(h, "dual_write", control->dual_writes, err) &&
           leave_named(h, "dead_letter", control->dead_letters, err);
}

static void take_proof(void *ctx, const char *schema, const char *table, struct proof *proof)
{
    struct history *h = ctx;
    struct plan_table *pt = find_table(h, schema, table);
    if (pt == NULL)
        return;
    pt->history->stale =
        !pt->history->kept || proof->read_us < h->floor_us || proof->at.id > h->at.id ||
        proof->at.attempt != h->at.attempt ||
        (!proof->whole && (!pt->ranges || proof->upper == NULL || key_length(proof->upper) != pt->key_count));
    if (!pt->history->kept)
        table_add_note(&pt->out,
                       "read whole: nothing can be built on this table now (not published, written on "
                       "both sides, with dead letters, or altered on the target just before)");
    if (pt->history->stale)
        return;
    pt->history->base = *proof;
    *proof = (struct proof){0};
}

/* Against the shape after the snapshot: what was the same before the first reading and is now was the same all the time. */
static void judge_base(struct plan_table *pt)
{
    struct proof *base = &pt->history->base;
    if (!base->there)
        return;
    if (strcmp(base->shape, pt->history->shape_now) != 0) {
        table_add_note(
            &pt->out,
            "read whole: the table's definition, its storage (TRUNCATE, a rewrite) or how it is compared "
            "changed since fence %llu",
            (unsigned long long)base->at.id);
        proof_release(base);
        pt->history->stale = true;
        return;
    }
    pt->out.built = base->whole ? BUILT_CHANGED : BUILT_REST;
    pt->out.since_fence = base->at.id;
    pt->out.rows_kept = base->rows;
    pt->out.read_us = base->read_us;
}

static bool find_bases(struct history *h, struct err *err)
{
    int64_t end_us = 0;
    if (!h->build)
        return true;
    if (h->resume && !state_last_end(h->session, h->pipeline, &end_us, err))
        return false;
    h->floor_us = MAX_OF(h->floor_us, end_us + 1);
    if (!state_load(h->session, h->pipeline, take_proof, h, err))
        return false;
    for (size_t i = 0; i < h->plan->count; i++) {
        if (h->plan->tables[i]->history != NULL)
            judge_base(h->plan->tables[i]);
    }
    return true;
}

bool history_open(struct history *h, struct session *session, struct err *err)
{
    bool placed = false;
    if (!read_place(h, session, &placed, err))
        return err_wrap(err, "target: crossfade.position");
    if (!placed) /* and no table is made behind snapshots that could not read it */
        return true;
    if (h->session == NULL && !session_open(h->target_url, "target", h->pipeline, &h->session, err))
        return false;
    if (!proof_sql_of(h->session)->ensure(h->session, &h->kept, err))
        return !err_is_set(err);
    if (!h->kept)
        return true;
    h->saved_us = clock_mono_us();
    return name_topics(h, err) && table_shapes(h, err) && leave_other_writes(h, err) && find_bases(h, err);
}

void history_close(struct history *h)
{
    session_close(h->session);
    h->session = NULL;
}

/* --- what is proven now --- */

/* Takes over the part, which is the next one. */
static void adopt(struct table_history *h, struct proven_part *part)
{
    h->proven_seq++;
    h->rows += part->range ? part->rows : 0;
    if (part->range) {
        key_free(h->upper);
        h->upper = part->upper;
        h->any_range = true;
    } else {
        key_free(part->upper);
    }
}

static void adopt_waiting(struct table_history *h)
{
    for (size_t i = 0; i < h->part_count;) {
        if (h->parts[i].seq != h->proven_seq) {
            i++;
            continue;
        }
        struct proven_part part = h->parts[i];
        h->parts[i] = h->parts[--h->part_count];
        adopt(h, &part);
        i = 0;
    }
}

void history_part_done(struct plan_table *pt, uint64_t seq, bool same, bool range, char *const *upper,
                       uint64_t rows)
{
    struct table_history *h = pt->history;
    if (h == NULL || !h->kept || !same)
        return;
    struct proven_part part = {
        .seq = seq, .range = range, .rows = rows, .upper = upper != NULL ? key_copy(upper) : NULL};
    pthread_mutex_lock(&pt->lock);
    if (seq == h->proven_seq) {
        adopt(h, &part);
        adopt_waiting(h);
    } else {
        h->parts = xrealloc(h->parts, (h->part_count + 1) * sizeof *h->parts);
        h->parts[h->part_count++] = part;
    }
    pthread_mutex_unlock(&pt->lock);
}

static struct proof begin_proof(const struct history *h, const struct plan_table *pt,
                                const struct compare_table *out)
{
    const struct table_history *th = pt->history;
    struct proof proof = {.there = true, .at = h->at, .read_us = h->read_us};
    memcpy(proof.shape, th->shape, sizeof proof.shape);
    if (out->built != BUILT_NONE) {
        proof.read_us = th->base.read_us;
        proof.links = th->base.links + 1;
        proof.rows = th->base.rows;
    }
    return proof;
}

static struct proof whole_proof(const struct history *h, const struct plan_table *pt,
                                const struct compare_table *out)
{
    struct proof proof = begin_proof(h, pt, out);
    proof.whole = true;
    proof.rows = out->built == BUILT_NONE ? out->rows_source : proof.rows + pt->history->rows;
    return proof;
}

/* Of a table that is not done: all below a key, if the parts up to there are done. */
static bool partial_proof(const struct history *h, struct plan_table *pt, struct proof *ret)
{
    struct table_history *th = pt->history;
    char *const *upper = th->any_range ? th->upper : pt->out.built == BUILT_REST ? th->base.upper : NULL;
    if (!pt->ranges || !th->keys_planned || th->proven_seq < th->key_parts ||
        th->proven_seq == th->saved_seq || pt->out.verdict != VERDICT_UNKNOWN ||
        pt->out.chunks_differing > 0 || upper == NULL)
        return false;
    *ret = begin_proof(h, pt, &pt->out);
    ret->upper = key_copy(upper);
    ret->rows += th->rows;
    th->saved_seq = th->proven_seq;
    return true;
}

struct changed_rows {
    struct proof_row *save, *forget;
    size_t save_count, forget_count;
};

static struct changed_rows make_rows(const struct history *h)
{
    return (struct changed_rows){.save = xcalloc(h->plan->count + 1, sizeof(struct proof_row)),
                                 .forget = xcalloc(h->plan->count + 1, sizeof(struct proof_row))};
}

/* Names are the caller's. */
static bool write_rows(struct history *h, struct changed_rows *rows, struct err *err)
{
    bool ok = (rows->forget_count == 0 ||
               state_forget(h->session, h->pipeline, rows->forget, rows->forget_count, err)) &&
              (rows->save_count == 0 ||
               state_save(h->session, h->pipeline, rows->save, rows->save_count, h->floor_us, err));
    for (size_t i = 0; i < rows->save_count; i++)
        proof_release(&rows->save[i].proof);
    free(rows->save);
    free(rows->forget);
    h->saved_us = clock_mono_us();
    return ok;
}

static void add_table(struct history *h, struct plan_table *pt, struct changed_rows *rows)
{
    struct proof_row row = {.schema = pt->out.schema, .table = pt->out.table};
    bool differs = pt->done ? pt->out.verdict == VERDICT_FAIL : pt->out.chunks_differing > 0;
    if (differs && !pt->history->forgotten) { /* at once: nobody may be told of it, if the run is stopped */
        rows->forget[rows->forget_count++] = row;
        pt->history->forgotten = true;
    } else if (pt->done && pt->out.verdict == VERDICT_PASS && !pt->history->saved_end) {
        row.proof = whole_proof(h, pt, &pt->out);
        rows->save[rows->save_count++] = row;
        pt->history->saved_end = true;
        h->progress = h->progress || pt->out.built != BUILT_CHANGED;
    } else if (!pt->done && partial_proof(h, pt, &row.proof)) {
        if (pt->history->stale)
            rows->forget[rows->forget_count++] = (struct proof_row){.schema = row.schema, .table = row.table};
        pt->history->stale = false;
        rows->save[rows->save_count++] = row;
        h->progress = h->progress || pt->history->any_range;
    }
}

bool history_save(struct history *h, bool all, struct err *err)
{
    struct err later = ERR_INIT;
    if (!h->kept || (!all && clock_mono_us() - h->saved_us < SAVE_EVERY_US))
        return true;
    struct changed_rows rows = make_rows(h);
    for (size_t i = 0; i < h->plan->count; i++) {
        struct plan_table *pt = h->plan->tables[i];
        if (pt->history == NULL || !pt->history->kept)
            continue;
        pthread_mutex_lock(&pt->lock);
        add_table(h, pt, &rows);
        pthread_mutex_unlock(&pt->lock);
    }
    return write_rows(h, &rows, all ? err : &later) || !all;
}

bool history_has_come_further(struct history *h)
{
    (void)!history_save(h, true, NULL);
    return !h->kept || h->progress;
}

/* By a comparison that keeps nothing itself (counts alone): what it has found ends the chains of these tables all the same. */
static bool forget_failed(struct history *h, const struct compare_table *tables, struct err *err)
{
    bool there = false, ok = true;
    struct changed_rows rows = make_rows(h);
    for (size_t i = 0; i < h->plan->count; i++) {
        if (tables[i].verdict == VERDICT_FAIL)
            rows.forget[rows.forget_count++] =
                (struct proof_row){.schema = tables[i].schema, .table = tables[i].table};
    }
    if (rows.forget_count > 0 && h->session == NULL)
        ok = session_open(h->target_url, "target", h->pipeline, &h->session, err);
    ok = ok && (rows.forget_count == 0 || proof_sql_of(h->session)->ensure(h->session, &there, err));
    rows.forget_count = ok && there ? rows.forget_count : 0;
    return write_rows(h, &rows, ok ? err : NULL) && ok;
}

bool history_conclude(struct history *h, const struct compare_table *tables, struct err *err)
{
    if (!h->kept)
        return forget_failed(h, tables, err);
    struct changed_rows rows = make_rows(h);
    for (size_t i = 0; i < h->plan->count; i++) {
        struct plan_table *pt = h->plan->tables[i];
        struct proof_row row = {.schema = tables[i].schema, .table = tables[i].table};
        bool kept = pt->history != NULL && pt->history->kept;
        if (kept && tables[i].verdict == VERDICT_PASS) {
            row.proof = whole_proof(h, pt, &tables[i]);
            rows.save[rows.save_count++] = row;
        } else if (tables[i].verdict == VERDICT_FAIL || tables[i].chunks_differing > 0 || pt->done || !kept) {
            rows.forget[rows.forget_count++] = row;
        }
    }
    return write_rows(h, &rows, err);
}
