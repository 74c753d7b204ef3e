/* Owns: the collection of queries. See workload.h. */
#include "workload.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"
#include "core/sql_lex.h"
#include "latency.h"

void workload_leave_out(struct workload *w, uint64_t count, const char *fmt, ...)
{
    char reason[160];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    if (count == 0)
        return;
    for (size_t i = 0; i < w->left_count; i++) {
        bool last = i + 1 == WORKLOAD_LEFT_MAX; /* holds all the rest */
        if (last || strcmp(w->left[i].reason, reason) == 0) {
            w->left[i].count += count;
            return;
        }
    }
    bool last = w->left_count + 1 == WORKLOAD_LEFT_MAX;
    w->left[w->left_count++] =
        (struct left_out){.reason = xstrdup(last ? "other reasons" : reason), .count = count};
}

static void statement_copy(const struct sql_statement *from, struct sql_statement *ret)
{
    struct sql_script script;
    /* it parsed before; a copy of its own keeps the ownership plain */
    if (sql_parse(from->text, &script, NULL) && script.count == 1) {
        *ret = script.statements[0];
        free(script.statements);
    } else {
        BUG("a statement that parsed does not parse again");
    }
}

static void variant_release(struct shadow_variant *v)
{
    for (size_t i = 0; i < v->param_count; i++)
        free(v->params[i]);
    free(v->params);
    free(v->target_sql);
    sql_statement_release(&v->st);
}

static size_t offer_bytes(const struct offer *o, const struct sql_statement *st)
{
    size_t n = 4 * strlen(st->text) + (o->target_sql != NULL ? strlen(o->target_sql) : 0) + 1024;
    for (size_t i = 0; i < o->param_count; i++)
        n += o->params[i] != NULL ? strlen(o->params[i]) + 32 : 16;
    return n;
}

static struct shadow_variant variant_of(const struct offer *o, const struct sql_statement *st)
{
    struct shadow_variant v = {.param_count = o->param_count, .bytes = offer_bytes(o, st)};
    statement_copy(st, &v.st);
    v.target_sql = o->target_sql != NULL ? xstrdup(o->target_sql) : NULL;
    v.params = xcalloc(o->param_count + 1, sizeof *v.params);
    for (size_t i = 0; i < o->param_count; i++)
        v.params[i] = o->params[i] != NULL ? xstrdup(o->params[i]) : NULL;
    return v;
}

static bool same_name(const char *a, const char *b)
{
    return (a == NULL && b == NULL) || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static struct shadow_query *query_of(struct workload *w, const struct offer *o,
                                     const struct sql_statement *st)
{
    for (size_t i = 0; i < w->count; i++) {
        struct shadow_query *q = &w->queries[i];
        if (strcmp(q->id, st->fingerprint) == 0 && q->origin == o->origin && same_name(q->name, o->name))
            return q;
    }
    if (w->count >= w->query_max || w->bytes > WORKLOAD_BYTES_MAX)
        return NULL;
    if (w->count == w->cap) {
        w->cap = w->cap * 2 + 16;
        w->queries = xrealloc(w->queries, w->cap * sizeof *w->queries);
    }
    struct shadow_query *q = &w->queries[w->count++];
    *q = (struct shadow_query){.origin = o->origin, .name = o->name != NULL ? xstrdup(o->name) : NULL};
    memcpy(q->id, st->fingerprint, sizeof q->id);
    return q;
}

/* Reservoir sampling: after any number of offers, each is as likely to be among those kept. */
static void keep_variant(struct workload *w, struct shadow_query *q, const struct offer *o,
                         const struct sql_statement *st)
{
    size_t at = q->variant_count;
    bool full = w->bytes + offer_bytes(o, st) > WORKLOAD_BYTES_MAX;
    q->weight += o->weight;
    q->seen++;
    if (at == w->variant_max || (full && at > 0)) { /* a query has at least one */
        at = (size_t)shadow_random_below(&w->random, q->seen);
        if (full || at >= q->variant_count)
            return;
        w->bytes -= q->variants[at].bytes;
        variant_release(&q->variants[at]);
    } else {
        q->variants = xrealloc(q->variants, (at + 1) * sizeof *q->variants);
        q->variant_count++;
    }
    q->variants[at] = variant_of(o, st);
    w->bytes += q->variants[at].bytes;
}

static bool is_excluded(const struct workload *w, const struct sql_statement *st)
{
    for (size_t i = 0; i < w->exclude_count; i++) {
        if (strcmp(w->exclude[i], st->fingerprint) == 0 || fnmatch(w->exclude[i], st->text, 0) == 0)
            return true;
    }
    return false;
}

void workload_need(struct workload *w, const struct offer *o, const struct sql_statement *st,
                   const char *needs)
{
    struct shadow_query *q = query_of(w, o, st);
    if (q == NULL) {
        workload_leave_out(w, 1,
                           "more different queries than compare.shadow.max_queries, or than fit into memory");
        w->lost += o->weight;
        return;
    }
    if (q->variant_count > 0 && q->needs == NULL &&
        needs != NULL) { /* some come with parameters: those serve */
        q->weight += o->weight;
        return;
    }
    if (q->needs != NULL && needs == NULL) { /* those that came before had none */
        free(q->needs);
        q->needs = NULL;
        for (size_t i = 0; i < q->variant_count; i++) {
            w->bytes -= q->variants[i].bytes;
            variant_release(&q->variants[i]);
        }
        q->variant_count = 0;
    }
    keep_variant(w, q, o, st);
    if (needs != NULL && q->needs == NULL)
        q->needs = xstrdup(needs);
}

/* What the target gets in its own dialect: a read by its first word; its read-only transaction does the rest. */
static bool begins_as_read(const char *sql)
{
    static const char *const words[] = {"select", "with", "values", "table", "show", "("};
    sql += strspn(sql, " \t\r\n");
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i]);
        if (strncasecmp(sql, words[i], n) == 0 && (words[i][0] == '(' || strchr(" \t\r\n(", sql[n]) != NULL))
            return true;
    }
    return false;
}

void workload_lose(struct workload *w, const char *sql, double weight)
{
    w->lost += begins_as_read(sql) ? weight : 0;
}

bool workload_is_stopped(const struct workload *w, struct err *err)
{
    return w->stopped != NULL && w->stopped(w->stopped_ctx) && !err_set(err, ERR_INTERRUPTED, "stopped");
}

static size_t word_at(const char *p)
{
    size_t n = 0;
    while (isalnum((unsigned char)p[n]) || p[n] == '_' || p[n] == '$')
        n++;
    return n;
}

static bool word_is(const char *p, size_t n, const char *word)
{
    return strlen(word) == n && strncasecmp(p, word, n) == 0;
}

/* What acts in a MariaDB transaction that only reads: INTO OUTFILE writes, locking reads and GET_LOCK() lock. Second word "": any. */
static bool acts_on_mariadb(const char *sql)
{
    static const char *const pairs[][2] = {
        {"into", ""},      {"for", "update"},        {"for", "share"}, {"lock", "in"},
        {"get_lock", ""},  {"release_lock", ""},     {"nextval", ""},  {"setval", ""},
        {"next", "value"}, {"release_all_locks", ""}};
    for (const char *p = sql; *p != '\0';) {
        size_t n = word_at(p);
        const char *next = p + n + strspn(p + n, " \t\r\n");
        for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
            if (word_is(p, n, pairs[i][0]) &&
                (*pairs[i][1] == '\0' || word_is(next, word_at(next), pairs[i][1])))
                return true;
        }
        p = n > 0 ? p + n : *p == '\'' || *p == '"' || *p == '`' ? sql_behind_quoted(p, *p != '`') : p + 1;
    }
    return false;
}

/* PostgreSQL's parser reads it as it reads the source's. */
static bool target_reads(const struct workload *w, const char *sql)
{
    struct sql_script script = {0};
    if (w->translate || !begins_as_read(sql))
        return begins_as_read(sql) && !acts_on_mariadb(sql);
    bool reads = sql_parse(sql, &script, NULL) && script.count == 1 && script.statements[0].kind == SQL_READ;
    sql_script_release(&script);
    return reads;
}

static void take(struct workload *w, const struct offer *o, const struct sql_statement *st)
{
    char needs[80];
    if (st->kind == SQL_WRITE)
        workload_leave_out(w, 1, "not a read: %s", st->why);
    else if (st->kind != SQL_READ)
        workload_leave_out(w, 1, "no query: %s", st->why);
    else if (o->target_sql != NULL && !target_reads(w, o->target_sql))
        workload_leave_out(w, 1, "not a read: target_sql");
    else if (st->catalog)
        workload_leave_out(w, 1, "reads the server's own tables, or Crossfade's");
    else if (is_excluded(w, st))
        workload_leave_out(w, 1, "compare.shadow.exclude");
    else if (st->param_count > o->param_count) {
        (void)snprintf(needs, sizeof needs, "needs parameters: $%zu", o->param_count + 1);
        workload_need(w, o, st, needs);
    } else if (w->translate && o->target_sql == NULL) {
        workload_need(w, o, st, "not translated: the target is MariaDB, and there is no target_sql");
    } else {
        workload_need(w, o, st, NULL);
    }
}

void workload_offer(struct workload *w, const struct offer *o)
{
    struct sql_script script = {0};
    w->offered++;
    if (!o->whole && w->sample_percent < 100 && shadow_random_below(&w->random, 100) >= w->sample_percent) {
        workload_leave_out(w, 1, "not drawn: compare.shadow.sample");
        return;
    }
    w->drawn++;
    if (strlen(o->sql) > SQL_TEXT_MAX) {
        workload_leave_out(w, 1, "longer than 1 MiB");
        workload_lose(w, o->sql, o->weight);
        return;
    }
    if (!sql_parse(o->sql, &script, NULL)) {
        workload_leave_out(w, 1, "not understood by the parser (grammar of PostgreSQL 15)");
        workload_lose(w, o->sql, o->weight);
        return;
    }
    for (size_t i = 0; i < script.count; i++)
        take(w, o, &script.statements[i]);
    sql_script_release(&script);
}

void workload_release(struct workload *w)
{
    for (size_t i = 0; i < w->count; i++) {
        for (size_t v = 0; v < w->queries[i].variant_count; v++)
            variant_release(&w->queries[i].variants[v]);
        free(w->queries[i].variants);
        free(w->queries[i].name);
        free(w->queries[i].needs);
    }
    free(w->queries);
    for (size_t i = 0; i < w->left_count; i++)
        free(w->left[i].reason);
    *w = (struct workload){0};
}
