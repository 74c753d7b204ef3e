/* Owns: memory of a comparison's result, its sums and its overall verdict. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

#define VALUE_SHOWN_BYTES 160
#define VALUE_LEAD_BYTES  24

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

const char *compare_method_name(enum compare_method method)
{
    static const char *const names[] = {"none", "ranges", "buckets"};
    return names[method];
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
    cells_free(diff->keys, diff->key_count);
    cells_free(diff->columns, diff->column_count);
    memset(diff, 0, sizeof *diff);
}

void table_add_difference(struct compare_table *table, struct compare_difference *diff)
{
    size_t n = table->difference_count;
    if ((n & (n - 1)) == 0) /* full at every power of two */
        table->differences = xrealloc(table->differences, (n == 0 ? 1 : 2 * n) * sizeof *table->differences);
    table->differences[table->difference_count++] = *diff;
    memset(diff, 0, sizeof *diff);
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
    return c != 0 ? c : strcmp(x->table, y->table);
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
    if (r->verdict == VERDICT_INCONCLUSIVE) /* the fence was not reached: nothing below counts */
        return;
    r->verdict = r->failed > 0 ? VERDICT_FAIL : r->inconclusive > 0 ? VERDICT_INCONCLUSIVE : VERDICT_PASS;
    if (r->table_count == 0) { /* nothing compared proves nothing */
        r->verdict = VERDICT_INCONCLUSIVE;
        free(r->reason);
        r->reason = xstrdup("no table to compare");
    }
}

void compare_result_release(struct compare_result *r)
{
    for (size_t i = 0; i < r->table_count; i++)
        table_release(&r->tables[i]);
    free(r->tables);
    free(r->reason);
    free(r->pipeline);
    free(r->server[0]);
    free(r->server[1]);
    free(r->report_dir);
    free(r->json);
    memset(r, 0, sizeof *r);
}
