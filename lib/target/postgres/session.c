/*
 * Owns: what a session of the target may hold. Of its prepared statements there are at most STATEMENTS_MAX: a slot that has not been used
 * since the hand came by last is given to the next one (second chance). They are prepared inside of the pipeline that uses them; when a
 * pipeline fails nobody knows which of them it has reached, so all are given up before the next transaction. A number is never used twice.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "postgres.h"

struct pgt_slot {
    uint64_t number; /* 0: empty */
    bool recent;
};

void pgt_statement_name(const struct pgt_prepared *stmt, char out[64])
{
    (void)snprintf(out, 64, "crossfade_s%" PRIu64, stmt->number);
}

bool pgt_statement_there(struct pg_target *pt, const struct pgt_prepared *stmt)
{
    if (stmt->number == 0 || pt->slots[stmt->slot].number != stmt->number)
        return false;
    pt->slots[stmt->slot].recent = true;
    return true;
}

static unsigned free_slot(struct pg_target *pt)
{
    if (pt->slots == NULL)
        pt->slots = xcalloc(STATEMENTS_MAX, sizeof *pt->slots);
    for (;; pt->slot_hand = (pt->slot_hand + 1) % STATEMENTS_MAX) {
        struct pgt_slot *slot = &pt->slots[pt->slot_hand];
        if (slot->number == 0 || !slot->recent)
            return (unsigned)pt->slot_hand;
        slot->recent = false;
    }
}

/* What waits for this statement's place goes. */
static bool give_up(struct pg_target *pt, unsigned slot, struct err *err)
{
    char name[64], sql[96];
    struct pgt_prepared old = {.slot = slot, .number = pt->slots[slot].number};
    if (old.number == 0)
        return true;
    pgt_statement_name(&old, name);
    (void)snprintf(sql, sizeof sql, "DEALLOCATE %s", name);
    return pgt_queue_text(pt, sql, 0, NULL, err);
}

bool pgt_statement_make(struct pg_target *pt, const struct pg_table *tab, struct pgt_prepared *stmt,
                        struct strbuf *sql, struct err *err)
{
    char name[64];
    bool ok = strbuf_ok(sql, "statement", err) && pgt_pipeline(pt, err);
    if (ok) {
        unsigned slot = free_slot(pt);
        pt->statements_open = true;
        ok = give_up(pt, slot, err);
        *stmt = (struct pgt_prepared){.slot = slot, .number = ++pt->last_statement};
        pt->slots[slot] = (struct pgt_slot){.number = stmt->number, .recent = true};
        pgt_statement_name(stmt, name);
        ok = ok && pgt_queue_prepare(pt, tab, name, sql->data, err);
    }
    strbuf_release(sql);
    return ok || pgt_table_err(tab, err);
}

static void forget_statements(struct pg_target *pt)
{
    if (pt->slots != NULL)
        memset(pt->slots, 0, STATEMENTS_MAX * sizeof *pt->slots);
    pt->prepared_position = pt->prepared_decide = false;
}

void pgt_statements_settled(struct pg_target *pt, bool ok)
{
    if (!ok && pt->statements_open) {
        pt->statements_doubtful = true;
        if (pt->slots != NULL)
            memset(pt->slots, 0, STATEMENTS_MAX * sizeof *pt->slots);
    }
    pt->statements_open = false;
}

void pgt_stages_forgotten(struct pg_table *tab)
{
    memset(tab->staged, 0, sizeof tab->staged);
    for (size_t i = 0; i < tab->set_count; i++)
        tab->sets[i].staged = false;
}

static void drop_stages(struct pg_target *pt)
{
    for (size_t i = 0; i < pt->table_count; i++) {
        pgt_stages_forgotten(pt->tables[i]);
        pt->tables[i]->held = false;
        pgt_watch_restored(pt->tables[i]->watch);
    }
    pt->stage_count = pt->stages_age = 0;
}

bool pgt_statements_tidy(struct pg_target *pt, struct err *err)
{
    if (!pt->statements_doubtful)
        return true;
    if (!pg_exec(pt->conn, "DEALLOCATE ALL", err))
        return false;
    forget_statements(pt);
    pt->statements_doubtful = false;
    return true;
}

bool pgt_stages_tidy(struct pg_target *pt, struct err *err)
{
    pt->stages_age++;
    if (pt->stage_count <= pt->stages_max)
        return true;
    if (pt->stages_age < STAGES_YOUNG && pt->stages_max < STAGES_LIMIT) {
        pt->stages_max = MIN_OF(2 * pt->stages_max, (size_t)STAGES_LIMIT);
        return true;
    }
    if (!pg_exec(pt->conn, "DISCARD TEMP", err))
        return false;
    drop_stages(pt);
    return true;
}

void pgt_touch(struct pg_target *pt, struct pg_table *tab)
{
    if (tab->touched)
        return;
    if (pt->touched_count == pt->touched_cap) {
        pt->touched_cap = pt->touched_cap == 0 ? 64 : 2 * pt->touched_cap;
        pt->touched = xrealloc(pt->touched, pt->touched_cap * sizeof(struct pg_table *));
    }
    pt->touched[pt->touched_count++] = tab;
    tab->touched = true;
}
