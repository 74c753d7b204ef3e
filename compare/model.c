/* Owns: memory of a comparison's result, its sums and its overall verdict. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "journal_reach.h"
#include "standing.h"

#define VALUE_SHOWN_BYTES 160
#define VALUE_LEAD_BYTES  24

#define CHECK_DIFFERENCES_LISTED 100

const char *compare_verdict_name(enum compare_verdict verdict)
{
    static const char *const names[] = {"UNKNOWN", "PASS", "FAIL", "INCONCLUSIVE"};
    return names[verdict];
}

const char *compare_kind_name(enum compare_kind kind)
{
    static const char *const names[] = {"unknown", "missing", "extra", "changed"};
    return names[kind];
}

const char *cause_kind_name(enum cause_kind kind)
{
    static const char *const names[] = {"unknown",         "type_rule",   "collation", "trigger",
                                        "rogue_writer",    "dead_letter", "conflict",  "toast",
                                        "lost_in_journal", "not_applied", "filter"};
    return names[kind];
}

const char *compare_method_name(enum compare_method method)
{
    static const char *const names[] = {"none", "ranges", "buckets", "keys", "counts"};
    return names[method];
}

const char *compare_level_name(enum compare_level level)
{
    static const char *const names[] = {"unknown", "counts", "digests", "full"};
    return names[level];
}

enum compare_level compare_level_named(const char *name)
{
    for (enum compare_level level = LEVEL_COUNTS; level <= LEVEL_FULL; level++) {
        if (strcmp(compare_level_name(level), name) == 0)
            return level;
    }
    return LEVEL_UNKNOWN;
}

const char *check_kind_name(enum check_kind kind)
{
    static const char *const names[] = {"unknown", "count", "query",   "aggregate",
                                        "sample",  "rule",  "contract"};
    return names[kind];
}

const char *check_state_name(enum check_state state)
{
    static const char *const names[] = {"UNKNOWN", "PASS", "FAIL", "FINDING", "INCONCLUSIVE"};
    return names[state];
}

const char *compare_wait_name(enum compare_wait wait)
{
    static const char *const names[] = {"none",        "rows_per_second", "source_busy",
                                        "source_load", "source_latency",  "replica_lag"};
    return names[wait];
}

int compare_exit_code(enum compare_verdict verdict)
{
    return verdict == VERDICT_PASS ? 0 : verdict == VERDICT_FAIL ? 1 : 3;
}

static PRINTF_LIKE(1, 0) char *vtext(const char *fmt, va_list ap)
{
    struct strbuf sb = STRBUF_INIT(1 << 16);
    strbuf_vaddf(&sb, fmt, ap);
    return strbuf_detach(&sb);
}

void table_add_note(struct compare_table *table, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    table->notes = xrealloc(table->notes, (table->note_count + 1) * sizeof *table->notes);
    table->notes[table->note_count++] = vtext(fmt, ap);
    va_end(ap);
}

void table_leave_out(struct compare_table *table, const char *column, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct compare_left_out left = {xstrdup(column), vtext(fmt, ap)};
    va_end(ap);
    table->left_out = xrealloc(table->left_out, (table->left_out_count + 1) * sizeof *table->left_out);
    table->left_out[table->left_out_count++] = left;
    table_add_note(table, "column %s was not compared: %s", column, left.why);
}

void table_add_rule(struct compare_table *table, const char *column, char *rule)
{
    table->rules = xrealloc(table->rules, (table->rule_count + 1) * sizeof *table->rules);
    table->rules[table->rule_count++] = (struct compare_rule){xstrdup(column), rule};
}

void table_extend_rule(struct compare_table *table, const char *column, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *more CLEANUP(free_ptr) = vtext(fmt, args);
    va_end(args);
    for (size_t i = 0; i < table->rule_count; i++) {
        struct compare_rule *r = &table->rules[i];
        if (strcmp(r->column, column) != 0)
            continue;
        char *rule = xasprintf("%s; %s", r->rule, more);
        free(r->rule);
        r->rule = rule;
    }
}

static int gravity(enum compare_verdict verdict)
{
    static const int by_verdict[] = {
        [VERDICT_UNKNOWN] = 0, [VERDICT_PASS] = 1, [VERDICT_INCONCLUSIVE] = 2, [VERDICT_FAIL] = 3};
    return by_verdict[verdict];
}

void table_conclude(struct compare_table *table, enum compare_verdict verdict, const char *fmt, ...)
{
    if (gravity(verdict) <= gravity(table->verdict))
        return;
    va_list ap;
    va_start(ap, fmt);
    free(table->reason);
    table->reason = vtext(fmt, ap);
    va_end(ap);
    table->verdict = verdict;
}

static void cells_free(struct compare_cell *cells, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(cells[i].name);
        free(cells[i].source);
        free(cells[i].target);
    }
    free(cells);
}

void difference_release(struct compare_difference *diff)
{
    if (diff->key_texts != NULL)
        free(diff->key_texts[0]);
    free(diff->key_texts);
    cells_free(diff->keys, diff->key_count);
    cells_free(diff->columns, diff->column_count);
    free(diff->cause.evidence);
    memset(diff, 0, sizeof *diff);
}

static void append_difference(struct compare_difference **list, size_t *count,
                              struct compare_difference *diff)
{
    size_t n = *count;
    if ((n & (n - 1)) == 0) /* full at every power of two */
        *list = xrealloc(*list, (n == 0 ? 1 : 2 * n) * sizeof **list);
    (*list)[(*count)++] = *diff;
    memset(diff, 0, sizeof *diff);
}

void table_add_difference(struct compare_table *table, struct compare_difference *diff)
{
    append_difference(&table->differences, &table->difference_count, diff);
}

void check_add_difference(struct compare_check *check, struct compare_difference *diff)
{
    check->difference_total++;
    if (check->difference_count < CHECK_DIFFERENCES_LISTED)
        append_difference(&check->differences, &check->difference_count, diff);
    else
        difference_release(diff);
}

void check_add_offender(struct compare_check *check, int side, struct compare_difference *row)
{
    append_difference(&check->offenders[side], &check->offender_count[side], row);
}

static int check_gravity(enum check_state state)
{
    static const int by_state[] = {[STATE_UNKNOWN] = 0,
                                   [STATE_PASS] = 1,
                                   [STATE_FINDING] = 2,
                                   [STATE_INCONCLUSIVE] = 3,
                                   [STATE_FAIL] = 4};
    return by_state[state];
}

void check_conclude(struct compare_check *check, enum check_state state, const char *fmt, ...)
{
    if (check_gravity(state) <= check_gravity(check->state))
        return;
    va_list ap;
    va_start(ap, fmt);
    free(check->reason);
    check->reason = vtext(fmt, ap);
    va_end(ap);
    check->state = state;
}

static void differences_free(struct compare_difference *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        difference_release(&list[i]);
    free(list);
}

void check_release(struct compare_check *check)
{
    differences_free(check->differences, check->difference_count);
    differences_free(check->offenders[0], check->offender_count[0]);
    differences_free(check->offenders[1], check->offender_count[1]);
    free(check->name);
    free(check->table);
    free(check->columns);
    free(check->rule);
    free(check->severity);
    free(check->reason);
    memset(check, 0, sizeof *check);
}

void table_drop_differences(struct compare_table *table)
{
    for (size_t i = 0; i < table->difference_count; i++)
        difference_release(&table->differences[i]);
    free(table->differences);
    table->differences = NULL;
    table->difference_count = 0;
}

void table_release(struct compare_table *table)
{
    table_drop_differences(table);
    for (size_t i = 0; i < table->note_count; i++)
        free(table->notes[i]);
    for (size_t i = 0; i < table->key_count; i++)
        free(table->keys[i]);
    for (size_t i = 0; i < table->rule_count; i++) {
        free(table->rules[i].column);
        free(table->rules[i].rule);
    }
    for (size_t i = 0; i < table->left_out_count; i++) {
        free(table->left_out[i].column);
        free(table->left_out[i].why);
    }
    free(table->left_out);
    for (size_t i = 0; i < table->part_count; i++) {
        free(table->partitions[i].name);
        free(table->partitions[i].reason);
    }
    free(table->partitions);
    free(table->partition);
    free(table->where[0]);
    free(table->where[1]);
    free(table->rules);
    free(table->notes);
    free(table->keys);
    free(table->schema);
    free(table->table);
    free(table->reason);
    memset(table, 0, sizeof *table);
}

/* Where two texts begin to differ, moved back to the start of a UTF-8 character. */
static size_t first_difference(const char *a, const char *b)
{
    size_t at = 0;
    if (a == NULL || b == NULL)
        return 0;
    while (a[at] != '\0' && a[at] == b[at])
        at++;
    while (at > 0 && ((unsigned char)a[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static size_t utf8_back(const char *s, size_t at)
{
    while (at > 0 && ((unsigned char)s[at] & 0xc0) == 0x80)
        at--;
    return at;
}

/* At most VALUE_SHOWN_BYTES around `at`, with "…" where something was cut and the length at the end. */
static char *excerpt(const char *s, size_t at)
{
    if (s == NULL)
        return NULL;
    size_t len = strlen(s);
    if (len <= VALUE_SHOWN_BYTES)
        return xstrdup(s);
    size_t from = at > len ? len : at;
    from = from > VALUE_LEAD_BYTES ? utf8_back(s, from - VALUE_LEAD_BYTES) : 0;
    size_t to = from + VALUE_SHOWN_BYTES < len ? utf8_back(s, from + VALUE_SHOWN_BYTES) : len;
    return xasprintf("%s%.*s%s (%zu bytes)", from > 0 ? "…" : "", (int)(to - from), s + from,
                     to < len ? "…" : "", len);
}

static void add_cell(struct compare_cell **cells, size_t *count, const char *name, const char *source,
                     const char *target)
{
    size_t at = first_difference(source, target);
    *cells = xrealloc(*cells, (*count + 1) * sizeof **cells);
    (*cells)[*count].name = xstrdup(name);
    (*cells)[*count].source = excerpt(source, at);
    (*cells)[*count].target = excerpt(target, at);
    (*count)++;
}

void difference_add_column(struct compare_difference *diff, const char *name, const char *source,
                           const char *target)
{
    add_cell(&diff->columns, &diff->column_count, name, source, target);
}

void difference_add_key(struct compare_difference *diff, const char *name, const char *source,
                        const char *target)
{
    add_cell(&diff->keys, &diff->key_count, name, source, target);
}

static int by_name(const void *a, const void *b)
{
    const struct compare_table *x = a, *y = b;
    int c = strcmp(x->schema, y->schema);
    c = c != 0 ? c : strcmp(x->table, y->table);
    return c != 0 || x->partition == NULL || y->partition == NULL ? c : strcmp(x->partition, y->partition);
}

void result_sum_up(struct compare_result *r)
{
    if (r->table_count > 1)
        qsort(r->tables, r->table_count, sizeof *r->tables, by_name);
    r->rows_source = r->rows_target = r->differences = 0;
    r->passed = r->failed = r->inconclusive = 0;
    for (size_t i = 0; i < r->table_count; i++) {
        const struct compare_table *t = &r->tables[i];
        r->rows_source += t->rows_source;
        r->rows_target += t->rows_target;
        r->differences += t->difference_count;
        r->passed += t->verdict == VERDICT_PASS;
        r->failed += t->verdict == VERDICT_FAIL;
        r->inconclusive += t->verdict == VERDICT_INCONCLUSIVE || t->verdict == VERDICT_UNKNOWN;
    }
    memset(r->checks_by_state, 0, sizeof r->checks_by_state);
    for (size_t i = 0; i < r->check_count; i++)
        r->checks_by_state[r->checks[i].state]++;
    if (r->verdict == VERDICT_INCONCLUSIVE) /* the fence was not reached: nothing below counts */
        return;
    size_t failed = r->failed + r->checks_by_state[STATE_FAIL];
    size_t inconclusive =
        r->inconclusive + r->checks_by_state[STATE_INCONCLUSIVE] + r->checks_by_state[STATE_UNKNOWN];
    r->verdict = failed > 0 ? VERDICT_FAIL : inconclusive > 0 ? VERDICT_INCONCLUSIVE : VERDICT_PASS;
    if (r->table_count == 0 && failed == 0) { /* nothing compared proves nothing */
        r->verdict = VERDICT_INCONCLUSIVE;
        free(r->reason);
        r->reason = xstrdup("no table to compare");
    }
}

void compare_result_release(struct compare_result *r)
{
    for (size_t i = 0; i < r->table_count; i++)
        table_release(&r->tables[i]);
    for (size_t i = 0; i < r->check_count; i++)
        check_release(&r->checks[i]);
    free(r->tables);
    free(r->checks);
    free(r->reason);
    free(r->pipeline);
    free(r->server[0]);
    free(r->server[1]);
    standing_free(r->standing);
    journal_reach_free(r->reach);
    free(r->report_dir);
    free(r->report_file);
    free(r->json);
    memset(r, 0, sizeof *r);
}
