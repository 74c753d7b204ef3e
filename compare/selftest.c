/* Owns: running the self-test. See compare/selftest.h. */
#include "selftest.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "canonical.h"
#include "canonical_mariadb.h"
#include "core/alloc.h"
#include "maria/quote.h"
#include "pg/conn.h"
#include "selftest_values.h"
#include "session.h"

#define TEMPORARY "crossfade_selftest"

static char column_name[] = "c", no_collation[] = "";

struct test {
    const struct selftest_case *of;
    struct cat_column column;
    struct session **sides;
    struct selftest_type *out;
    char *form[SIDE_COUNT];
    struct rowset *texts[SIDE_COUNT];
};

/* "SELECT form FROM (VALUES (1,'…'::type),…,(n,NULL)) AS t(n,c)"; the null stands for itself. */
static bool ask_postgres(struct test *test, enum side side, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    size_t n = 0;
    strbuf_addf(&sql, "SELECT %s FROM (VALUES ", test->form[side]);
    for (const struct selftest_value *v = test->of->values; v->source != NULL; v++) {
        strbuf_addf(&sql, "(%zu,", n++);
        pg_quote_literal(&sql, v->source);
        strbuf_addf(&sql, "::%s),", test->of->source);
    }
    strbuf_addf(&sql, "(%zu,NULL)) AS t(n,c) ORDER BY t.n", n);
    bool ok = strbuf_ok(&sql, "statement", err) &&
              session_ask(test->sides[side], sql.data, 0, NULL, &test->texts[side], err);
    strbuf_release(&sql);
    return ok;
}

static bool fill_mariadb(struct test *test, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    size_t n = 0;
    strbuf_adds(&sql, "INSERT INTO " TEMPORARY " VALUES ");
    for (const struct selftest_value *v = test->of->values; v->source != NULL; v++) {
        strbuf_addf(&sql, "(%zu,", n++);
        if (v->target != NULL)
            strbuf_adds(&sql, v->target);
        else
            maria_quote_literal(&sql, v->source);
        strbuf_adds(&sql, "),");
    }
    strbuf_addf(&sql, "(%zu,NULL)", n);
    bool ok = strbuf_ok(&sql, "statement", err) && session_exec(test->sides[SIDE_TARGET], sql.data, err);
    strbuf_release(&sql);
    return ok;
}

/* The forms for the temporary table's column, as the server describes it. */
static bool forms_of_mariadb(struct test *test, struct err *err)
{
    ROWSET_AUTO rows = NULL;
    char *reason = NULL;
    struct canonical made = {0};
    if (!session_ask(test->sides[SIDE_TARGET], "SHOW FULL COLUMNS FROM " TEMPORARY " WHERE Field = 'c'", 0,
                     NULL, &rows, err))
        return false;
    struct mariadb_column column = {.name = column_name,
                                    .type = rowset_cell(rows, 0, 1),
                                    .collation = rowset_is_null(rows, 0, 2) ? NULL : rowset_cell(rows, 0, 2),
                                    .json = strcmp(test->of->target, "json") == 0};
    mariadb_column_describe(&column);
    if (!canonical_forms_mariadb(&test->column, &column, TARGET_UNFIT_HALT, &made, &reason)) {
        err_set(err, ERR_BUG, "%s", reason);
        free(reason);
        return false;
    }
    test->out->rule = made.rule;
    made.rule = NULL;
    for (int side = 0; side < SIDE_COUNT; side++) {
        test->form[side] = made.form[side];
        made.form[side] = NULL;
    }
    canonical_release(&made);
    return true;
}

static bool ask_mariadb(struct test *test, struct err *err)
{
    struct session *target = test->sides[SIDE_TARGET];
    char *create CLEANUP(free_ptr) =
        xasprintf("CREATE OR REPLACE TEMPORARY TABLE " TEMPORARY
                  " (n int PRIMARY KEY, c %s NULL) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
                  test->of->target);
    if (!session_exec(target, create, err) || !fill_mariadb(test, err) || !forms_of_mariadb(test, err))
        return false;
    char *select CLEANUP(free_ptr) =
        xasprintf("SELECT %s FROM " TEMPORARY " AS t ORDER BY t.n", test->form[SIDE_TARGET]);
    return session_ask(target, select, 0, NULL, &test->texts[SIDE_TARGET], err) &&
           ask_postgres(test, SIDE_SOURCE, err);
}

/* As compare's digests see them: through record_send. */
static bool ask_two_postgres(struct test *test, struct err *err)
{
    char *note = NULL;
    canonical_forms(&test->column, &test->column, test->form, &note);
    free(note);
    test->out->rule = canonical_rule(&test->column, &test->column);
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        char *form = test->form[side];
        test->form[side] = xasprintf("encode(record_send(ROW(%s)), 'hex')", form);
        free(form);
        if (!ask_postgres(test, side, err))
            return false;
    }
    return true;
}

static bool same(const struct rowset *a, int i, const struct rowset *b, int j)
{
    if (rowset_is_null(a, i, 0) || rowset_is_null(b, j, 0))
        return rowset_is_null(a, i, 0) && rowset_is_null(b, j, 0);
    return rowset_cell_len(a, i, 0) == rowset_cell_len(b, j, 0) &&
           memcmp(rowset_cell(a, i, 0), rowset_cell(b, j, 0), rowset_cell_len(a, i, 0)) == 0;
}

static const char *shown(const struct test *test, int i)
{
    const char *text = test->of->values[i].source;
    return text != NULL ? text : "null";
}

/* Each value has one text on both sides, and no other one has it. */
static char *find_fault(const struct test *test)
{
    const struct rowset *s = test->texts[SIDE_SOURCE], *t = test->texts[SIDE_TARGET];
    int count = (int)test->out->values;
    if (rowset_rows(s) != count || rowset_rows(t) != count)
        return xasprintf("%d and %d rows of %d", rowset_rows(s), rowset_rows(t), count);
    for (int i = 0; i < count; i++) {
        if (!same(s, i, t, i))
            return xasprintf("%s is \"%s\" on the source and \"%s\" on the target", shown(test, i),
                             rowset_cell(s, i, 0), rowset_cell(t, i, 0));
        for (int j = 0; j < i; j++) {
            if (same(s, i, s, j) || same(t, i, t, j))
                return xasprintf("%s and %s are not told apart", shown(test, i), shown(test, j));
        }
    }
    return NULL;
}

/* What a server was built without (xml), or is too old for (uuid, inet4), cannot be in its tables. */
static bool is_absent(const struct err *err)
{
    return strcmp(err->sqlstate, "0A000") == 0 || strcmp(err->sqlstate, "42704") == 0 ||
           strstr(err->text, "Unknown data type") != NULL;
}

static void run_case(const struct selftest_case *of, struct session *sides[SIDE_COUNT],
                     struct selftest_type *out)
{
    bool mariadb = session_dialect(sides[SIDE_TARGET]) == DIALECT_MARIADB;
    char *type CLEANUP(free_ptr) = xstrdup(of->source);
    struct test test = {.of = of, .sides = sides, .out = out};
    struct err err = ERR_INIT;
    test.column = (struct cat_column){.name = column_name,
                                      .type = type,
                                      .type_oid = of->oid,
                                      .typmod = -1,
                                      .plain = true,
                                      .collation = no_collation};
    *out = (struct selftest_type){.source = of->source,
                                  .target = mariadb ? of->target : of->source,
                                  .verdict = VERDICT_PASS,
                                  .values = 1};
    while (of->values[out->values - 1].source != NULL)
        out->values++;
    if (!(mariadb ? ask_mariadb(&test, &err) : ask_two_postgres(&test, &err))) {
        out->verdict = VERDICT_INCONCLUSIVE;
        out->absent = is_absent(&err);
        out->detail = xstrdup(err.text);
    } else {
        out->detail = find_fault(&test);
        out->verdict = out->detail != NULL ? VERDICT_FAIL : VERDICT_PASS;
    }
    for (int side = 0; side < SIDE_COUNT; side++) {
        free(test.form[side]);
        rowset_free(test.texts[side]);
    }
}

static bool is_first_of_its_type(size_t n)
{
    return n == 0 || selftest_cases[n].oid != selftest_cases[n - 1].oid ||
           strcmp(selftest_cases[n].source, selftest_cases[n - 1].source) != 0;
}

static void sum_up(struct selftest_result *ret)
{
    ret->verdict = VERDICT_PASS;
    for (size_t i = 0; i < ret->count; i++) {
        const struct selftest_type *t = &ret->types[i];
        ret->values += t->verdict == VERDICT_PASS ? t->values : 0;
        if (t->verdict == VERDICT_FAIL ||
            (t->verdict == VERDICT_INCONCLUSIVE && !t->absent && ret->verdict == VERDICT_PASS))
            ret->verdict = t->verdict;
    }
}

static bool is_stopped(int stop_fd)
{
    struct pollfd fd = {.fd = stop_fd, .events = POLLIN};
    return stop_fd >= 0 && poll(&fd, 1, 0) > 0;
}

static bool run_all(struct session *sides[SIDE_COUNT], int stop_fd, struct selftest_result *ret,
                    struct err *err)
{
    bool mariadb = session_dialect(sides[SIDE_TARGET]) == DIALECT_MARIADB;
    ret->types = xcalloc(selftest_case_count, sizeof *ret->types);
    for (size_t i = 0; i < selftest_case_count; i++) {
        if (is_stopped(stop_fd))
            return err_set(err, ERR_INTERRUPTED, "stopped");
        if (mariadb || is_first_of_its_type(i))
            run_case(&selftest_cases[i], sides, &ret->types[ret->count++]);
    }
    sum_up(ret);
    return true;
}

bool compare_selftest(const struct config *cfg, int stop_fd, struct selftest_result *ret, struct err *err)
{
    static const char *const urls[SIDE_COUNT] = {"source.url", "target.url"};
    struct session *sides[SIDE_COUNT] = {NULL};
    bool ok = true;
    for (enum side side = SIDE_SOURCE; ok && side < SIDE_COUNT; side++)
        ok = session_open(config_text(cfg, urls[side]), side_name(side), config_text(cfg, "pipeline"),
                          &sides[side], err);
    if (ok && session_dialect(sides[SIDE_SOURCE]) != DIALECT_POSTGRES)
        ok = err_set(err, ERR_CONFIG, "source.url names no PostgreSQL");
    if (ok) {
        *ret = (struct selftest_result){0};
        for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++)
            ret->server[side] = xstrdup(session_server(sides[side]));
        ok = run_all(sides, stop_fd, ret, err);
        if (!ok)
            selftest_release(ret);
    }
    for (int side = 0; side < SIDE_COUNT; side++)
        session_close(sides[side]);
    return ok;
}

void selftest_release(struct selftest_result *result)
{
    for (size_t i = 0; i < result->count; i++) {
        free(result->types[i].rule);
        free(result->types[i].detail);
    }
    free(result->types);
    free(result->server[SIDE_SOURCE]);
    free(result->server[SIDE_TARGET]);
    *result = (struct selftest_result){0};
}
