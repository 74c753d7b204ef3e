/* Owns: which values of a comparison are hidden. See redact.h; statements: redact_sql.c. */
#include "report/redact.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/nonce.h"
#include "core/sign.h"
#include "core/strbuf.h"

#define MARK_DIGITS 8
#define VALUE_MAX   ((size_t)1 << 20) /* what is shown of a value is much shorter */

bool redaction_open(const struct config *cfg, struct redaction *ret, struct err *err)
{
    size_t count = 0;
    const char *const *patterns = config_list(cfg, "compare.redact", &count);
    *ret = (struct redaction){.columns = NULL};
    nonce_make(ret->key);
    return column_filter_new("compare.redact", patterns, count, &ret->columns, err);
}

void redaction_close(struct redaction *r)
{
    column_filter_free(r->columns);
    *r = (struct redaction){.columns = NULL};
}

bool redaction_is_on(const struct redaction *r)
{
    return r->columns != NULL && !column_filter_is_empty(r->columns);
}

bool redaction_hide(struct redaction *r, const char *column, char **value, struct err *err)
{
    char digest[SIGN_HEX_SIZE];
    struct strbuf text = STRBUF_INIT(VALUE_MAX);
    strbuf_addf(&text, "%" PRIu64 " %zu %s %s", r->row, strlen(column), column,
                *value != NULL ? "=" : "null");
    strbuf_adds(&text, *value != NULL ? *value : "");
    bool ok = strbuf_ok(&text, "a value to redact", err);
    if (ok && !sign_hmac_sha256(r->key, text.data, text.len, digest))
        ok = err_set(err, ERR_NO_MEMORY, "the digest of a redacted value could not be made");
    strbuf_release(&text);
    free(*value); /* whatever happens, it is not shown */
    *value = ok ? xasprintf("[redacted %.*s]", MARK_DIGITS, digest) : NULL;
    return ok;
}

/* The value between a pair of quotes goes; apostrophes within a word are none. */
void redaction_unquote(char *text)
{
    for (char *p = text; *p != '\0'; p++) {
        bool opens = *p == '"' || (*p == '\'' && (p == text || strchr(" :(=,", p[-1]) != NULL));
        char *end = opens ? strchr(p + 1, *p) : NULL;
        if (end == NULL)
            continue;
        for (char *c = strchr(end + 1, *p); *p == '"' && c != NULL && c == end + 1; c = strchr(end + 1, *p))
            end = strchr(c + 1, *p) != NULL ? strchr(c + 1, *p) : c; /* "" is a quote inside */
        if (end > p + 1) {
            memmove(p + 2, end, strlen(end) + 1);
            p[1] = '*';
            end = p + 2;
        }
        p = end;
    }
}

/* Which table's columns the cells of a list are of; schema NULL: of a table that is not known, or of a query. */
struct origin {
    const char *schema, *table;
    const char *joined; /* in their place "schema.table": either may hold a dot */
    const char *query;  /* of what has no table: its name; NULL = none */
    bool all, figures;  /* all cells are of a redacted column; some of them only count */
};

static bool counts_only(const char *name)
{
    static const char *const names[] = {"count", "nulls", "distinct", "row_count"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* However the two are told apart. */
static bool is_hidden_in(const struct redaction *r, const char *joined, const char *name)
{
    bool hidden = false;
    for (const char *dot = strchr(joined, '.'); dot != NULL && !hidden; dot = strchr(dot + 1, '.')) {
        char *schema = xstrndup(joined, (size_t)(dot - joined));
        hidden = column_filter_matches(r->columns, schema, dot + 1, name);
        free(schema);
    }
    return hidden;
}

static bool is_hidden(const struct redaction *r, const struct origin *of, const char *name)
{
    if (of->all)
        return !of->figures || !counts_only(name);
    if (of->schema != NULL)
        return column_filter_matches(r->columns, of->schema, of->table, name);
    if (of->joined != NULL)
        return is_hidden_in(r, of->joined, name);
    return column_filter_names(r->columns, name) ||
           (of->query != NULL && column_filter_matches(r->columns, "query", of->query, name));
}

/* source, target: that side has the row, so that a null there is a value. */
static bool hide_cells(struct redaction *r, const struct origin *of, struct compare_cell *cells, size_t count,
                       bool source, bool target, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_hidden(r, of, cells[i].name))
            continue;
        source = source || cells[i].source != NULL;
        target = target || cells[i].target != NULL;
        if ((source && !redaction_hide(r, cells[i].name, &cells[i].source, err)) ||
            (target && !redaction_hide(r, cells[i].name, &cells[i].target, err)))
            return false;
    }
    return true;
}

static bool hide_rows(struct redaction *r, const struct origin *of, struct compare_difference *rows,
                      size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        bool source = rows[i].kind != DIFF_EXTRA, target = rows[i].kind != DIFF_MISSING;
        r->row++;
        if (!hide_cells(r, of, rows[i].keys, rows[i].key_count, source, target, err) ||
            !hide_cells(r, of, rows[i].columns, rows[i].column_count, source, target, err))
            return false;
        if (rows[i].cause.evidence != NULL) /* it may say why a server refused to read the row */
            redaction_unquote(rows[i].cause.evidence);
    }
    return true;
}

/* One of "a, b". */
static bool any_named(const struct redaction *r, const struct origin *of, const char *list)
{
    bool found = false;
    char *copy = xstrdup(list), *state = NULL;
    for (char *name = strtok_r(copy, ",", &state); name != NULL && !found; name = strtok_r(NULL, ",", &state))
        found = is_hidden(r, of, name + strspn(name, " "));
    free(copy);
    return found;
}

static bool hide_check(struct redaction *r, struct compare_check *c, struct err *err)
{
    struct origin of = {.joined = c->table, .query = c->table == NULL ? c->name : NULL};
    /* figures, groups and breaches are of these columns, under whatever name */
    of.figures = c->kind == CHECK_AGGREGATE || c->kind == CHECK_COUNT;
    of.all = c->columns != NULL && any_named(r, &of, c->columns);
    bool ok = hide_rows(r, &of, c->differences, c->difference_count, err) &&
              hide_rows(r, &of, c->offenders[0], c->offender_count[0], err) &&
              hide_rows(r, &of, c->offenders[1], c->offender_count[1], err);
    if (c->state == STATE_INCONCLUSIVE)
        redaction_unquote(c->reason);
    return ok;
}

bool redaction_apply(struct redaction *r, struct compare_result *result, struct err *err)
{
    if (!redaction_is_on(r))
        return true;
    for (size_t i = 0; i < result->table_count; i++) {
        struct compare_table *t = &result->tables[i];
        struct origin of = {.schema = t->schema, .table = t->table};
        if (!hide_rows(r, &of, t->differences, t->difference_count, err))
            return false;
        if (t->verdict != VERDICT_PASS)
            redaction_unquote(t->reason);
        for (size_t p = 0; p < t->part_count; p++)
            redaction_unquote(t->partitions[p].reason);
    }
    if (result->verdict != VERDICT_PASS)
        redaction_unquote(result->reason);
    for (size_t i = 0; i < result->check_count; i++) {
        if (!hide_check(r, &result->checks[i], err))
            return false;
    }
    return true;
}

void compare_hide_quoted(const struct config *cfg, char *text)
{
    size_t count = 0;
    (void)config_list(cfg, "compare.redact", &count);
    if (count > 0)
        redaction_unquote(text);
}
