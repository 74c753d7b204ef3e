/* Owns: the course of looking up causes: table by table, rows in batches. See causes.h. */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "cause/causes.h"
#include "cause/evidence.h"
#include "cause/held.h"
#include "cause/judge_row.h"
#include "cause/probe.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "topic_names.h"

#define JOURNAL_US   INT64_C(20000000) /* for all tables together */
#define ALL_US       INT64_C(30000000)
#define FROZEN_US    INT64_C(3000000) /* the source's writers wait */
#define STATEMENT_MS 5000

struct explaining {
    const struct causes *causes;
    struct topic_names topics;
    struct journal_rows *journal;
    char *no_journal; /* why it is not read */
    int64_t journal_until_us, until_us;
};

/* A table, and what is known of it. */
struct table_work {
    struct explaining *x;
    const struct plan_table *pt;
    struct compare_table *out;
    struct table_probe probe;
    struct held held;
    struct journal_look look;
    char *topic;
    char **journal_keys; /* of each difference, where it is not key_texts; see journal_key() */
    size_t *journal_key_lens;
    bool keys_sure; /* a key that is not found is not there */
};

static bool stopped(void *ctx)
{
    const struct explaining *x = ctx;
    struct pollfd fd = {.fd = x->causes->stop_fd, .events = POLLIN};
    return fd.fd >= 0 && poll(&fd, 1, 0) > 0;
}

static void say(struct compare_table *out, struct compare_difference *d, enum cause_kind kind, char *evidence)
{
    d->cause = (struct compare_cause){kind, evidence};
    out->causes[kind]++;
}

/* Of all that nothing was said of. */
static void say_unknown(struct compare_table *out, const char *why)
{
    for (size_t i = 0; i < out->difference_count; i++) {
        if (out->differences[i].cause.evidence == NULL)
            say(out, &out->differences[i], CAUSE_UNKNOWN, xstrdup(why));
    }
}

/* ---- the journal ---- */

static void open_journal(struct explaining *x)
{
    struct err why = ERR_INIT;
    if (x->causes->lsn == 0)
        x->no_journal = xstrdup("the journal is not read while both sides stand still");
    else if (!journal_rows_open(x->causes->cfg, x->causes->lsn, &x->journal, &why))
        x->no_journal = xasprintf("the journal cannot be read: %s", why.text);
    x->journal_until_us = clock_mono_us() + JOURNAL_US;
}

static const char *journal_key(const struct table_work *w, size_t i, size_t *ret_len)
{
    const struct compare_difference *d = &w->out->differences[i];
    *ret_len = w->journal_keys[i] != NULL ? w->journal_key_lens[i] : d->key_texts_len;
    return w->journal_keys[i] != NULL ? w->journal_keys[i] : d->key_texts[0];
}

/* Keys that the sides write in two ways are not compared with the journal's as they stand. */
static void make_journal_keys(struct table_work *w)
{
    w->keys_sure = true;
    for (size_t k = 0; k < w->pt->key_count && !w->pt->as_text; k++)
        w->keys_sure =
            w->keys_sure && strcmp(w->pt->keys[k].tail[SIDE_SOURCE], w->pt->keys[k].tail[SIDE_TARGET]) == 0;
    for (size_t i = 0; w->pt->as_text && i < w->out->difference_count; i++) {
        char *const *cells = w->out->differences[i].key_texts;
        if (cells == NULL)
            continue;
        w->journal_keys[i] =
            probe_journal_key(&w->probe, (const char *const *)cells, &w->journal_key_lens[i]);
        w->keys_sure = w->keys_sure && w->journal_keys[i] != NULL;
    }
}

static void look_into_journal(struct table_work *w)
{
    struct explaining *x = w->x;
    w->topic = topic_names_of(&x->topics, w->pt->out.schema, w->pt->out.table);
    w->look = (struct journal_look){.pt = w->pt, .topic = w->topic};
    if (x->journal == NULL && x->no_journal == NULL)
        open_journal(x);
    if (x->journal == NULL)
        return;
    make_journal_keys(w);
    w->look.rows = xcalloc(w->out->difference_count, sizeof *w->look.rows);
    for (size_t i = 0; i < w->out->difference_count; i++) {
        struct wanted_row *row = &w->look.rows[w->look.row_count];
        if (w->out->differences[i].key_texts == NULL)
            continue;
        row->key = journal_key(w, i, &row->key_len);
        row->two = w->out->differences[i].kind != DIFF_MISSING;
        w->look.row_count++;
    }
    journal_look_sort(&w->look);
    journal_rows_look(x->journal, &w->look, x->journal_until_us, stopped, x);
    if (w->look.partial != NULL)
        table_add_note(w->out, "causes of differences: %s", w->look.partial);
}

/* Why a row that was not found may be there all the same; malloc'd, NULL = it is not. */
static char *why_unsure(const struct table_work *w)
{
    const struct journal_look *look = &w->look;
    if (w->x->journal == NULL)
        return xstrdup(w->x->no_journal);
    if (look->partial != NULL)
        return xasprintf("%s; %s", look->partial, look->span);
    if (look->unreadable > 0)
        return xasprintf("%" PRIu64 " records do not tell their key; %s", look->unreadable, look->span);
    return w->keys_sure ? NULL : xasprintf("the journal may write this key in another way; %s", look->span);
}

/* ---- a row ---- */

static void take_record_facts(const struct table_work *w, const struct values *v, size_t row,
                              const struct wanted_row *wanted, struct cause_facts *facts, struct evidence *e,
                              char **ret_journal)
{
    size_t earlier = 0;
    *ret_journal = NULL;
    if (wanted != NULL && wanted->image_count > 0) {
        facts->seen = SEEN_RECORD;
        e->last = &wanted->images[0].at;
        e->passed = &w->held.passed;
        judge_records(v, row, wanted, facts, &earlier);
        facts->passed = e->last->commit_lsn < w->held.passed.lsn;
        e->earlier = earlier > 0 ? &wanted->images[earlier].at : NULL;
        return;
    }
    *ret_journal = why_unsure(w);
    facts->seen = *ret_journal != NULL ? SEEN_UNREAD : w->look.whole ? SEEN_NONE : SEEN_NONE_KEPT;
    if (*ret_journal == NULL)
        *ret_journal = xstrdup(w->look.span);
    e->journal = *ret_journal;
}

static bool is_found(const struct values *v, size_t row, enum compare_kind kind)
{
    return (kind == DIFF_EXTRA || v->row_of[SIDE_SOURCE][row] >= 0) &&
           (kind == DIFF_MISSING || v->row_of[SIDE_TARGET][row] >= 0);
}

static void explain_row(struct table_work *w, const struct values *v, size_t row,
                        struct compare_difference *d, const struct wanted_row *wanted, const char *const *key)
{
    struct cause_facts facts = {.kind = d->kind, .key_alike = d->key_alike, .direct = w->held.direct};
    struct evidence e = {.topic = w->topic, .triggers_hidden = w->probe.triggers_hidden};
    char *held = held_conflict(&w->held, w->pt, key), *writer = NULL, *journal = NULL;
    facts.conflict = held != NULL;
    if (held == NULL)
        held = held_letter(&w->held, w->topic, wanted);
    facts.dead_letter = held != NULL && !facts.conflict;
    if (d->kind == DIFF_EXTRA)
        facts.filtered = probe_left_out(&w->probe, key);
    if (d->kind != DIFF_MISSING)
        writer = probe_writer(&w->probe, key, &facts);
    if (d->kind == DIFF_CHANGED)
        facts.placeholder = judge_placeholder(v, row);
    probe_values(&w->probe, v, row, key, &facts);
    e.held = held;
    e.writer = writer;
    e.trigger = probe_trigger(&w->probe, d->kind);
    facts.trigger = e.trigger != NULL;
    take_record_facts(w, v, row, wanted, &facts, &e, &journal);
    const struct cause_rule *rule = cause_judge(&facts);
    say(w->out, d, rule->kind, evidence_text(rule, &e));
    free(held);
    free(writer);
    free(journal);
}

/* ---- rows in batches ---- */

struct batch {
    size_t indexes[VALUES_BATCH]; /* of differences */
    const struct wanted_row *rows[VALUES_BATCH];
    const char **keys;
    size_t count;
};

static void fill_batch(struct table_work *w, struct batch *b)
{
    for (size_t n = 0; n < b->count; n++) {
        size_t len = 0;
        for (size_t k = 0; k < w->pt->key_count; k++)
            b->keys[n * w->pt->key_count + k] = w->out->differences[b->indexes[n]].key_texts[k];
        const char *key = journal_key(w, b->indexes[n], &len);
        b->rows[n] = journal_look_find(&w->look, key, len);
    }
}

static bool explain_batch(struct table_work *w, struct batch *b, struct err *err)
{
    struct values v;
    size_t keys = w->pt->key_count;
    fill_batch(w, b);
    if (!values_fetch(w->probe.causes->pair, w->pt, b->keys, b->rows, b->count, &v, err))
        return false;
    for (size_t n = 0; n < b->count && clock_mono_us() < w->x->until_us; n++) {
        struct compare_difference *d = &w->out->differences[b->indexes[n]];
        if (is_found(&v, n, d->kind))
            explain_row(w, &v, n, d, b->rows[n], &b->keys[n * keys]);
        else
            say(w->out, d, CAUSE_UNKNOWN,
                xstrdup(d->key_alike
                            ? "the target has the row under another form of its key, by which causes are "
                              "not looked up"
                            : "the row is not found again by its key"));
    }
    values_release(&v);
    return true;
}

/* One row that a server refuses must not cost the others: then each goes alone. */
static void explain_some(struct table_work *w, struct batch *b)
{
    struct err why = ERR_INIT;
    size_t count = b->count, indexes[VALUES_BATCH];
    if (count == 0 || explain_batch(w, b, &why))
        return;
    memcpy(indexes, b->indexes, sizeof indexes);
    for (size_t n = 0; n < count && clock_mono_us() < w->x->until_us; n++) {
        b->count = 1;
        b->indexes[0] = indexes[n];
        err_clear(&why);
        if (!explain_batch(w, b, &why))
            say(w->out, &w->out->differences[indexes[n]], CAUSE_UNKNOWN,
                xasprintf("the row could not be read again: %s", why.text));
    }
}

static void explain_rows(struct table_work *w)
{
    struct batch b = {.count = 0};
    b.keys = xcalloc(VALUES_BATCH * w->pt->key_count, sizeof *b.keys);
    for (size_t i = 0; i < w->out->difference_count && !stopped(w->x); i++) {
        if (w->out->differences[i].key_texts == NULL)
            continue;
        b.indexes[b.count++] = i;
        if (b.count < VALUES_BATCH)
            continue;
        explain_some(w, &b);
        b.count = 0;
    }
    explain_some(w, &b);
    free(b.keys);
}

static void table_work_release(struct table_work *w)
{
    journal_look_release(&w->look);
    for (size_t i = 0; i < w->out->difference_count; i++)
        free(w->journal_keys[i]);
    free(w->journal_keys);
    free(w->journal_key_lens);
    free(w->look.rows);
    free(w->topic);
    held_release(&w->held);
    table_probe_close(&w->probe);
}

static void explain_table(struct explaining *x, const struct plan_table *pt, struct compare_table *out)
{
    struct table_work w = {.x = x, .pt = pt, .out = out};
    struct err why = ERR_INIT;
    if (pt->key_count == 0) {
        say_unknown(out, "the table has no key to look its rows up by");
        return;
    }
    w.journal_keys = xcalloc(out->difference_count, sizeof *w.journal_keys);
    w.journal_key_lens = xcalloc(out->difference_count, sizeof *w.journal_key_lens);
    table_probe_open(x->causes, pt, &w.probe);
    if (held_read(x->causes->pair->session[SIDE_TARGET], x->causes->pipeline, pt, &w.held, &why)) {
        look_into_journal(&w);
        explain_rows(&w);
        say_unknown(out, stopped(x) ? "the comparison was asked to stop"
                                    : "the time for looking up causes was over");
    } else {
        char *text = xasprintf("conflicts and dead letters could not be read: %s", why.text);
        say_unknown(out, text);
        free(text);
    }
    table_work_release(&w);
}

static bool any_difference(const struct causes *causes, const struct compare_table *tables)
{
    for (size_t i = 0; i < causes->plan->count; i++) {
        if (tables[i].difference_count > 0)
            return true;
    }
    return false;
}

static void explain_all(struct explaining *x, struct compare_table *tables)
{
    const struct causes *causes = x->causes;
    for (size_t i = 0; i < causes->plan->count; i++) {
        struct plan_table *pt = causes->plan->tables[i];
        if (tables[i].difference_count == 0)
            continue;
        if (clock_mono_us() > x->until_us || stopped(x)) {
            say_unknown(&tables[i], "the time for looking up causes was over");
            continue;
        }
        pt->out = tables[i]; /* names and verdict stand there for as long as a table is worked on */
        explain_table(x, pt, &pt->out);
        tables[i] = pt->out;
        pt->out = (struct compare_table){0};
    }
}

void causes_explain(const struct causes *causes, struct compare_table *tables)
{
    struct explaining x = {.causes = causes};
    struct err why = ERR_INIT;
    if (!any_difference(causes, tables))
        return;
    x.until_us = clock_mono_us() + (causes->lsn == 0 ? FROZEN_US : ALL_US);
    bool ready = session_limit_time(causes->pair->session[SIDE_SOURCE], STATEMENT_MS, &why) &&
                 session_limit_time(causes->pair->session[SIDE_TARGET], STATEMENT_MS, &why) &&
                 topic_names_open(causes->cfg, &x.topics, &why);
    if (ready)
        explain_all(&x, tables);
    for (size_t i = 0; !ready && i < causes->plan->count; i++)
        say_unknown(&tables[i], why.text);
    topic_names_close(&x.topics);
    journal_rows_close(x.journal);
    free(x.no_journal);
}
