/* Owns: the two dialects' table, and how a check becomes SQL. See phrases.h. */
#include "compare/semantic/phrases.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "compare/semantic/decimal.h"
#include "core/alloc.h"
#include "maria/names.h"
#include "maria/quote.h"
#include "pg/conn.h"

#define VALUES_NAMED   8 /* of an enum, in a check's name */
#define TEXT_BYTES_MAX ((size_t)1 << 20)

static void maria_ident(struct strbuf *out, const char *name)
{
    char fitting[MARIA_NAME_BYTES];
    (void)maria_name(name, fitting);
    maria_quote_ident(out, fitting);
}

static void postgres_table(const char *database, const char *schema, const char *table, struct strbuf *out)
{
    (void)database;
    pg_quote_table(out, schema, table);
}

static void mariadb_table(const char *database, const char *schema, const char *table, struct strbuf *out)
{
    maria_quote_ident(out, maria_database_of(database, schema));
    strbuf_addc(out, '.');
    maria_ident(out, table);
}

const struct phrases phrases_postgres = {
    .ident = pg_quote_ident,
    .literal = pg_quote_literal,
    .exact = "(@)::text COLLATE \"C\"",
    .length = "char_length((@)::text)",
    .tuple_open = "(",
    .tuple_close = ")",
    .any_of_group = "(@)::text COLLATE \"C\"",
    .min_text = "left(min((@)::text COLLATE \"C\"), 200)",
    .max_text = "left(max((@)::text COLLATE \"C\"), 200)",
    .sum_single = "sum((@)::float8)",
    .random = "random()",
    .bytes_open = "'\\\\x",
    .bytes_close = "'",
    .table = postgres_table,
    .timestamp = "TIMESTAMPTZ ",
    .zone = "+00",
    .partition =
        "(SELECT n.nspname || '.' || r.relname FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace"
        " WHERE r.oid = t.tableoid)",
    .by = {[COUNT_BY_HOUR] = "date_trunc('hour', @)",
           [COUNT_BY_DAY] = "date_trunc('day', @)",
           [COUNT_BY_MONTH] = "date_trunc('month', @)",
           [COUNT_BY_YEAR] = "date_trunc('year', @)"},
};

const struct phrases phrases_mariadb = {
    .ident = maria_ident,
    .literal = maria_quote_literal,
    .exact = "CAST(CONVERT(@ USING utf8mb4) AS BINARY)",
    .length = "CHAR_LENGTH(@)",
    .tuple_open = "",
    .tuple_close = "",
    .any_of_group = "MIN(@)",
    .min_text = "LEFT(CONVERT(MIN(CAST(CONVERT(@ USING utf8mb4) AS BINARY)) USING utf8mb4), 200)",
    .max_text = "LEFT(CONVERT(MAX(CAST(CONVERT(@ USING utf8mb4) AS BINARY)) USING utf8mb4), 200)",
    .sum_single = "SUM(CAST(@ AS DOUBLE))",
    .random = "RAND()",
    .bytes_open = "X'",
    .bytes_close = "'",
    .table = mariadb_table,
    .timestamp = "TIMESTAMP ",
    .zone = "",
    .by = {[COUNT_BY_HOUR] = "DATE_FORMAT(@, '%Y-%m-%d %H:00:00')",
           [COUNT_BY_DAY] = "DATE_FORMAT(@, '%Y-%m-%d 00:00:00')",
           [COUNT_BY_MONTH] = "DATE_FORMAT(@, '%Y-%m-01 00:00:00')",
           [COUNT_BY_YEAR] = "DATE_FORMAT(@, '%Y-01-01 00:00:00')"},
    .paren_limit = true,
    .with_limit = "SET STATEMENT sql_select_limit = ",
};

void phrase_fill(const struct phrases *p, const char *form, const char *name, struct strbuf *out)
{
    for (; *form != '\0'; form++) {
        if (*form == '@')
            phrase_column(p, name, out);
        else
            strbuf_addc(out, *form);
    }
}

void phrase_column(const struct phrases *p, const char *name, struct strbuf *out)
{
    strbuf_adds(out, "c.");
    p->ident(out, name);
}

static bool is_text(enum value_class of)
{
    return of == VALUE_TEXT || of == VALUE_CHAR || of == VALUE_OTHER;
}

void phrase_exact(const struct phrases *p, const char *name, enum value_class of, struct strbuf *out)
{
    if (is_text(of))
        phrase_fill(p, p->exact, name, out);
    else
        phrase_column(p, name, out);
}

void phrase_group_value(const struct phrases *p, const char *name, enum value_class of, struct strbuf *out)
{
    if (is_text(of))
        phrase_fill(p, p->any_of_group, name, out);
    else
        phrase_column(p, name, out);
}

void phrase_range(const struct phrases *p, enum count_by by, const char *name, struct strbuf *out)
{
    phrase_fill(p, p->by[by], name, out);
}

void phrase_table(const struct phrases *p, const char *database, const char *schema, const char *table,
                  struct strbuf *out)
{
    p->table(database, schema, table, out);
    strbuf_adds(out, " AS t");
}

void phrase_from(const struct subject *on, struct strbuf *out)
{
    strbuf_addf(out, " FROM (SELECT * FROM %s", on->from);
    if (on->where != NULL)
        strbuf_addf(out, " WHERE (%s\n)", on->where);
    strbuf_adds(out, ") AS c");
}

/* Without the semicolon that people put at the end. */
static size_t query_length(const char *query)
{
    size_t len = strlen(query);
    while (len > 0 && (isspace((unsigned char)query[len - 1]) || query[len - 1] == ';'))
        len--;
    return len;
}

static bool begins_with_with(const char *query)
{
    query += strspn(query, " \t\r\n");
    return strncasecmp(query, "with", 4) == 0 && isspace((unsigned char)query[4]);
}

void phrase_limited(const struct phrases *p, const char *query, int64_t limit, struct strbuf *out)
{
    if (p->with_limit != NULL && begins_with_with(query)) {
        strbuf_addf(out, "%s%lld FOR ", p->with_limit, (long long)limit);
        strbuf_add(out, query, query_length(query));
        return;
    }
    strbuf_adds(out, p->paren_limit ? "(" : "SELECT * FROM (");
    strbuf_add(out, query, query_length(query));
    strbuf_addf(out, "\n)%s LIMIT %lld", p->paren_limit ? "" : " AS crossfade_query", (long long)limit);
}

void phrase_count(const char *query, struct strbuf *out)
{
    strbuf_adds(out, "SELECT count(*) FROM (");
    strbuf_add(out, query, query_length(query));
    strbuf_adds(out, "\n) AS crossfade_query");
}

static const char *class_text(enum value_class of)
{
    static const char *const texts[] = {"text",  "numbers", "numbers", "numbers",     "booleans",
                                        "times", "text",    "bytes",   "another type"};
    return texts[of];
}

static bool misfit(const struct data_check *check, enum value_class of, const char *needs, struct err *err)
{
    return err_set(err, ERR_CONFIG, "%s needs %s, and column %s holds %s", data_test_name(check->test), needs,
                   check->columns[0], class_text(of));
}

static bool is_number(enum value_class of)
{
    return of == VALUE_NUMBER || of == VALUE_FLOAT || of == VALUE_SINGLE;
}

/* A value as the column's type takes it. */
static bool add_value(const struct subject *on, const struct data_check *check, enum value_class of,
                      const char *text, struct strbuf *out, struct err *err)
{
    if (is_number(of) && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
        strbuf_adds(out, text[0] == 't' ? "1" : "0"); /* a boolean, where the engine has none */
    } else if (is_number(of)) {
        struct strbuf number = STRBUF_INIT(TEXT_BYTES_MAX);
        bool reads = decimal_canonical(text, &number);
        strbuf_release(&number);
        if (!reads)
            return err_set(err, ERR_CONFIG, "%s: found \"%s\", expected a number: column %s holds numbers",
                           data_test_name(check->test), text, check->columns[0]);
        strbuf_adds(out, text);
    } else if (of == VALUE_BOOL) {
        strbuf_adds(out, text[0] == 't' || text[0] == '1' ? "true" : "false");
    } else {
        on->phrases->literal(out, text);
    }
    return true;
}

static bool add_enum(const struct subject *on, const struct data_check *check, enum value_class of,
                     struct strbuf *out, struct err *err)
{
    bool ok = true;
    phrase_exact(on->phrases, check->columns[0], of, out);
    strbuf_adds(out, " NOT IN (");
    for (size_t i = 0; ok && i < check->value_count; i++) {
        strbuf_adds(out, i > 0 ? ", " : "");
        ok = add_value(on, check, of, check->values[i], out, err);
    }
    strbuf_adds(out, ")");
    return ok;
}

/* "e < min OR e > max" */
static bool add_bounds(const struct subject *on, const struct data_check *check, enum value_class of,
                       const char *expression, struct strbuf *out, struct err *err)
{
    bool ok = true;
    if (check->min != NULL) {
        strbuf_addf(out, "%s < ", expression);
        ok = add_value(on, check, of, check->min, out, err);
    }
    if (ok && check->max != NULL) {
        strbuf_addf(out, "%s%s > ", check->min != NULL ? " OR " : "", expression);
        ok = add_value(on, check, of, check->max, out, err);
    }
    return ok;
}

static bool add_length(const struct subject *on, const struct data_check *check, enum value_class of,
                       struct strbuf *out, struct err *err)
{
    struct strbuf length = STRBUF_INIT(TEXT_BYTES_MAX);
    phrase_fill(on->phrases, of == VALUE_BYTES ? "octet_length(@)" : on->phrases->length, check->columns[0],
                &length);
    bool ok = add_bounds(on, check, VALUE_NUMBER, length.data, out, err);
    strbuf_release(&length);
    return ok;
}

static bool add_range(const struct subject *on, const struct data_check *check, enum value_class of,
                      struct strbuf *out, struct err *err)
{
    struct strbuf value = STRBUF_INIT(TEXT_BYTES_MAX);
    phrase_exact(on->phrases, check->columns[0], of, &value);
    bool ok = add_bounds(on, check, of, value.data, out, err);
    strbuf_release(&value);
    return ok;
}

static void add_sign(const struct subject *on, const struct data_check *check, struct strbuf *out)
{
    phrase_column(on->phrases, check->columns[0], out);
    strbuf_adds(out, check->test == TEST_POSITIVE ? " <= 0" : " < 0");
}

static void add_future(const struct subject *on, const struct data_check *check, struct strbuf *out)
{
    struct strbuf now = STRBUF_INIT(200);
    strbuf_addf(&now, "%s%s", on->now, on->phrases->zone);
    phrase_column(on->phrases, check->columns[0], out);
    strbuf_addf(out, " > %s", on->phrases->timestamp);
    on->phrases->literal(out, now.data);
    if (check->grace_s > 0)
        strbuf_addf(out, " + INTERVAL '%lld' SECOND", (long long)check->grace_s);
    strbuf_release(&now);
}

bool phrase_breach(const struct subject *on, const struct data_check *check, enum value_class of,
                   struct strbuf *out, struct err *err)
{
    const struct phrases *p = on->phrases;
    switch (check->test) {
    case TEST_NOT_NULL:
        phrase_column(p, check->columns[0], out);
        strbuf_adds(out, " IS NULL");
        return true;
    case TEST_NOT_EMPTY:
        if (!is_text(of))
            return misfit(check, of, "text", err);
        phrase_exact(p, check->columns[0], of, out);
        strbuf_adds(out, " = ''");
        return true;
    case TEST_LENGTH:
        return add_length(on, check, of, out, err);
    case TEST_ENUM:
        return add_enum(on, check, of, out, err);
    case TEST_RANGE:
        return add_range(on, check, of, out, err);
    case TEST_POSITIVE:
    case TEST_NOT_NEGATIVE:
        if (!is_number(of))
            return misfit(check, of, "numbers", err);
        add_sign(on, check, out);
        return true;
    case TEST_NOT_FUTURE:
        if (of != VALUE_TIME)
            return misfit(check, of, "dates or timestamps", err);
        add_future(on, check, out);
        return true;
    case TEST_UNKNOWN:
    case TEST_UNIQUE:
    case TEST_REFERENCES:
        break;
    }
    BUG("no condition for %s", data_test_name(check->test));
}

/* c.a IS NOT NULL AND c.b IS NOT NULL: SQL's UNIQUE and foreign keys let rows with a NULL pass. */
static void add_all_there(const struct phrases *p, const struct data_check *check, struct strbuf *out)
{
    for (size_t i = 0; i < check->column_count; i++) {
        strbuf_adds(out, i > 0 ? " AND " : "");
        phrase_column(p, check->columns[i], out);
        strbuf_adds(out, " IS NOT NULL");
    }
}

static void add_exact_list(const struct phrases *p, const struct data_check *check,
                           const enum value_class *classes, struct strbuf *out)
{
    for (size_t i = 0; i < check->column_count; i++) {
        strbuf_adds(out, i > 0 ? ", " : "");
        phrase_exact(p, check->columns[i], classes[i], out);
    }
}

/* Rows beyond the first of each value. */
static void add_surplus(const struct subject *on, const struct data_check *check,
                        const enum value_class *classes, struct strbuf *out)
{
    const struct phrases *p = on->phrases;
    bool several = check->column_count > 1;
    strbuf_adds(out, "count(CASE WHEN ");
    add_all_there(p, check, out);
    strbuf_adds(out, " THEN 1 END) - count(DISTINCT ");
    if (several && *p->tuple_open != '\0') { /* a tuple with a NULL would count here */
        strbuf_adds(out, "CASE WHEN ");
        add_all_there(p, check, out);
        strbuf_addf(out, " THEN %s", p->tuple_open);
    }
    add_exact_list(p, check, classes, out);
    if (several && *p->tuple_open != '\0')
        strbuf_addf(out, "%s END", p->tuple_close);
    strbuf_adds(out, ")");
}

bool phrase_breach_count(const struct subject *on, const struct data_check *check,
                         const enum value_class *classes, struct strbuf *out, struct err *err)
{
    if (check->test == TEST_UNIQUE) {
        add_surplus(on, check, classes, out);
        return true;
    }
    struct strbuf breach = STRBUF_INIT(TEXT_BYTES_MAX);
    bool ok = phrase_breach(on, check, classes[0], &breach, err) && strbuf_ok(&breach, "condition", err);
    if (ok)
        strbuf_addf(out, "count(CASE WHEN %s THEN 1 END)", breach.data);
    strbuf_release(&breach);
    return ok;
}

static void add_orphan_condition(const struct subject *on, const struct data_check *check,
                                 const char *parent_from, struct strbuf *out)
{
    add_all_there(on->phrases, check, out);
    strbuf_addf(out, " AND NOT EXISTS (SELECT 1 FROM (SELECT * FROM %s) AS p WHERE ", parent_from);
    for (size_t i = 0; i < check->column_count; i++) {
        strbuf_adds(out, i > 0 ? " AND p." : "p.");
        on->phrases->ident(out, check->parent_columns[i]);
        strbuf_adds(out, " = ");
        phrase_column(on->phrases, check->columns[i], out);
    }
    strbuf_adds(out, ")");
}

void phrase_orphan_count(const struct subject *on, const struct data_check *check, const char *parent_from,
                         struct strbuf *out)
{
    strbuf_adds(out, "SELECT count(*)");
    phrase_from(on, out);
    strbuf_adds(out, " WHERE ");
    add_orphan_condition(on, check, parent_from, out);
}

static void add_duplicates(const struct subject *on, const struct data_check *check,
                           const enum value_class *classes, int limit, struct strbuf *out)
{
    const struct phrases *p = on->phrases;
    strbuf_adds(out, "SELECT ");
    for (size_t i = 0; i < check->column_count; i++) {
        phrase_group_value(p, check->columns[i], classes[i], out);
        strbuf_adds(out, " AS ");
        p->ident(out, check->columns[i]);
        strbuf_adds(out, ", ");
    }
    strbuf_adds(out, "count(*) AS ");
    p->ident(out, "copies");
    phrase_from(on, out);
    strbuf_adds(out, " WHERE ");
    add_all_there(p, check, out);
    strbuf_adds(out, " GROUP BY ");
    add_exact_list(p, check, classes, out);
    strbuf_addf(out, " HAVING count(*) > 1 LIMIT %d", limit);
}

static bool is_listed(const char *name, char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

bool phrase_offenders(const struct subject *on, const struct data_check *check,
                      const enum value_class *classes, char *const *keys, size_t key_count,
                      const char *parent_from, int limit, struct strbuf *out, struct err *err)
{
    if (check->test == TEST_UNIQUE) {
        add_duplicates(on, check, classes, limit, out);
        return true;
    }
    const char *comma = "SELECT ";
    for (size_t i = 0; i < key_count; i++, comma = ", ") {
        strbuf_adds(out, comma);
        phrase_column(on->phrases, keys[i], out);
    }
    for (size_t i = 0; i < check->column_count; i++) {
        if (is_listed(check->columns[i], keys, key_count))
            continue;
        strbuf_adds(out, comma);
        phrase_column(on->phrases, check->columns[i], out);
        comma = ", ";
    }
    phrase_from(on, out);
    strbuf_adds(out, " WHERE ");
    bool ok = true;
    if (check->test == TEST_REFERENCES)
        add_orphan_condition(on, check, parent_from, out);
    else
        ok = phrase_breach(on, check, classes[0], out, err);
    strbuf_addf(out, " LIMIT %d", limit);
    return ok;
}

static void add_bounds_text(const struct data_check *check, struct strbuf *out)
{
    strbuf_addf(out, " %s..%s", check->min != NULL ? check->min : "", check->max != NULL ? check->max : "");
}

char *data_check_text(const struct data_check *check)
{
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    strbuf_adds(&out, data_test_name(check->test));
    if (check->test == TEST_RANGE || check->test == TEST_LENGTH)
        add_bounds_text(check, &out);
    for (size_t i = 0; i < check->value_count && i < VALUES_NAMED; i++)
        strbuf_addf(&out, "%s%s", i == 0 ? " " : ", ", check->values[i]);
    if (check->value_count > VALUES_NAMED)
        strbuf_addf(&out, ", … %zu more", check->value_count - VALUES_NAMED);
    if (check->test == TEST_REFERENCES) {
        strbuf_addf(&out, " %s.%s (", check->parent_schema, check->parent_table);
        for (size_t i = 0; i < check->column_count; i++)
            strbuf_addf(&out, "%s%s", i == 0 ? "" : ", ", check->parent_columns[i]);
        strbuf_adds(&out, ")");
    }
    if (check->grace_s > 0)
        strbuf_addf(&out, " (%lld s ahead are well)", (long long)check->grace_s);
    return strbuf_detach(&out);
}
