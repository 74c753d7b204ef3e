/* What reports must never let out: redacted values, of statements too; and what must not get out of its place in HTML and XML. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare/model.h"
#include "compare/report/junit.h"
#include "compare/report/redact.h"
#include "config/column_filter.h"
#include "core/alloc.h"
#include "core/html.h"

static void assert_sql(const char *sql, bool mariadb, const char *expected)
{
    char *found = redaction_sql(sql, mariadb);
    assert_string_equal(found, expected);
    free(found);
}

static void statements_lose_their_values(void **state)
{
    assert_sql("SELECT a1, t.\"b'c\" FROM t WHERE x = 'it''s' AND y > -1.5e3 LIMIT 10", false,
               "SELECT a1, t.\"b'c\" FROM t WHERE x = ? AND y > -? LIMIT ?");
    assert_sql("SELECT $1::int, $$a 'b' $$, $t$ $$ secret $t$ || x", false, "SELECT $1::int, ?, ? || x");
    assert_sql("SELECT 'C:\\', 'secret'", false, "SELECT ?, ?");
    assert_sql("SELECT E'C:\\'secret', fe'x' FROM t", false, "SELECT E?, fe? FROM t");
    assert_sql("SELECT 1 -- it's secret\n, 2 /* a /* b */ it's */ , 'x'", false, "SELECT ?  \n, ?   , ?");
    assert_sql("SELECT \"secret\", `it's` FROM t WHERE a = 'x\\'secret' # it's\n AND b = .5", true,
               "SELECT ?, `it's` FROM t WHERE a = ?  \n AND b = ?");
    assert_sql("SELECT 'never ends", false, "SELECT ?");
    assert_sql("", true, "");
}

static void assert_unquoted(const char *text, const char *expected)
{
    char *copy = xstrdup(text);
    redaction_unquote(copy);
    assert_string_equal(copy, expected);
    free(copy);
}

static void messages_lose_what_they_quote(void **state)
{
    assert_unquoted("invalid input syntax for type integer: \"secret\"",
                    "invalid input syntax for type integer: \"*\"");
    assert_unquoted("Incorrect value: 'secret' for column 'a' at row 1",
                    "Incorrect value: '*' for column '*' at row 1");
    assert_unquoted("the source's result and the target's", "the source's result and the target's");
    assert_unquoted("\"a\"\"b\" and \"\"", "\"*\" and \"\"");
    assert_unquoted("no end \"here", "no end \"here");
    assert_unquoted("", "");
}

static void patterns_name_columns(void **state)
{
    static const char *const patterns[] = {"email", "public.users.*", "*.*.*_token", "\"a.b\".\"T*\".c"};
    struct column_filter *f = NULL;
    assert_true(column_filter_new("compare.redact", patterns, 4, &f, NULL));
    assert_true(column_filter_matches(f, "x", "y", "email"));
    assert_true(column_filter_matches(f, "public", "users", "anything"));
    assert_false(column_filter_matches(f, "public", "user", "anything"));
    assert_true(column_filter_matches(f, "x", "y", "api_token"));
    assert_false(column_filter_matches(f, "x", "y", "token"));
    assert_true(column_filter_matches(f, "a.b", "T*", "c"));
    assert_false(column_filter_matches(f, "a.b", "Tx", "d"));
    assert_true(column_filter_names(f, "x")); /* public.users.* */
    column_filter_free(f);
    static const char *const bad[] = {"", ".", "a.b", "a.b.", "a.", "a.b.c.d", "\"a", ".a.b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(column_pattern_fits(bad[i]));
}

static struct redaction open_redaction(const char *pattern)
{
    struct redaction r = {.key = "0123456789abcdef"};
    assert_true(column_filter_new("compare.redact", &pattern, 1, &r.columns, NULL));
    return r;
}

static struct compare_difference difference_of(enum compare_kind kind, const char *name, const char *source,
                                               const char *target)
{
    struct compare_difference d = {.kind = kind};
    difference_add_key(&d, name, source, target);
    difference_add_column(&d, "other", source, target);
    return d;
}

static void marks_tell_only_that_values_differ(void **state)
{
    struct redaction r = open_redaction("s.t.secret");
    struct compare_table t = {.schema = xstrdup("s"), .table = xstrdup("t"), .reason = xstrdup("")};
    struct compare_result result = {
        .tables = &t, .table_count = 1, .reason = xstrdup(""), .verdict = VERDICT_PASS};
    for (int i = 0; i < 2; i++) {
        struct compare_difference d = difference_of(DIFF_CHANGED, "secret", "same", "same");
        difference_add_column(&d, "secret", i == 0 ? NULL : "a", "b");
        d.cause.evidence = xstrdup("the row could not be read again: invalid input \"a\"");
        table_add_difference(&t, &d);
    }
    assert_true(redaction_apply(&r, &result, NULL));
    const struct compare_difference *one = &t.differences[0], *two = &t.differences[1];
    assert_string_equal(one->keys[0].source, one->keys[0].target);
    assert_string_not_equal(one->keys[0].source, two->keys[0].source); /* another row: nothing can be told */
    assert_string_not_equal(one->columns[1].source, one->columns[1].target);
    assert_memory_equal(one->columns[1].source, "[redacted ", 10); /* null is hidden, too */
    assert_string_equal(one->columns[0].source, "same");
    assert_string_equal(one->cause.evidence, "the row could not be read again: invalid input \"*\"");
    redaction_close(&r);
    table_release(&t);
    free(result.reason);
}

/* Rows that break a rule keep their values in both cells; tables and schemas may have dots. */
static void checks_are_hidden_whole(void **state)
{
    struct redaction r = open_redaction("a.*.secret");
    struct compare_check c[] = {
        {.kind = CHECK_RULE, .name = xstrdup("n"), .table = xstrdup("a.b.c"), .reason = xstrdup("")},
        {.kind = CHECK_AGGREGATE,
         .name = xstrdup("n"),
         .table = xstrdup("a.t"),
         .columns = xstrdup("id, secret"),
         .reason = xstrdup("")},
        {.kind = CHECK_QUERY,
         .name = xstrdup("q"),
         .state = STATE_INCONCLUSIVE,
         .reason = xstrdup("bad: \"value\"")}};
    struct compare_result result = {
        .checks = c, .check_count = 3, .reason = xstrdup(""), .verdict = VERDICT_FAIL};
    struct compare_difference row = difference_of(DIFF_EXTRA, "secret", "value", "value");
    check_add_offender(&c[0], 1, &row);
    struct compare_difference figures = difference_of(DIFF_CHANGED, "count", "7", "8");
    difference_add_column(&figures, "min", "value", "value2");
    check_add_difference(&c[1], &figures);
    struct compare_difference answer = difference_of(DIFF_CHANGED, "secret", "value", "x");
    check_add_difference(&c[2], &answer);
    assert_true(redaction_apply(&r, &result, NULL));
    assert_null(strstr(c[0].offenders[1][0].keys[0].source, "value"));
    assert_null(strstr(c[0].offenders[1][0].keys[0].target, "value"));
    assert_string_equal(c[1].differences[0].keys[0].source, "7"); /* how many there are is no value */
    assert_null(strstr(c[1].differences[0].columns[1].source, "value"));
    assert_null(strstr(c[2].differences[0].keys[0].source, "value"));
    assert_string_equal(c[2].reason, "bad: \"*\"");
    redaction_close(&r);
    for (size_t i = 0; i < 3; i++)
        check_release(&c[i]);
    free(result.reason);
}

static void assert_escaped(const char *text, const char *expected)
{
    struct strbuf out = STRBUF_INIT(4096);
    html_add_text(&out, text);
    assert_string_equal(out.data, expected);
    strbuf_release(&out);
}

static void texts_stay_in_their_place(void **state)
{
    assert_escaped("<b a=\"x\" c='y'>&]]>", "&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;]]&gt;");
    assert_escaped("\x01\x1b\x7f\t\n", "&#x2401;&#x241b;&#x2421;\t\n");
    assert_escaped("\xff\xc3(\xed\xa0\x80", "&#xfffd;&#xfffd;(&#xfffd;&#xfffd;&#xfffd;");
    assert_escaped("\xef\xbf\xbf\xc2\x85", "&#xfffd;&#xfffd;"); /* U+FFFF, U+0085 */
    assert_escaped("\xe2\x80\xae \xe2\x80\x8b", "[U+202E] [U+200B]");
    assert_escaped("ä€𝄞", "ä€𝄞");
    assert_escaped("\xe2\x82", "&#xfffd;&#xfffd;"); /* cut off */
}

static void junit_counts_and_escapes(void **state)
{
    static const enum junit_state states[] = {JUNIT_PASS, JUNIT_FAILURE, JUNIT_ERROR, JUNIT_SKIPPED};
    struct junit_suite suites[2];
    struct strbuf out = STRBUF_INIT(1 << 20);
    junit_suite_open(&suites[0], "tables");
    junit_suite_open(&suites[1], "empty");
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        junit_suite_add(
            &suites[0], "p",
            &(struct junit_case){.state = states[i], .name = "<\"\x01", .reason = "a & b", .detail = "]]>"});
    assert_true(junit_write(suites, 2, "run", 0, &out, NULL));
    assert_non_null(strstr(out.data, "tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\""));
    assert_non_null(strstr(out.data, "name=\"&lt;&quot;&#x2401;\""));
    assert_non_null(strstr(out.data, "<failure message=\"a &amp; b\" type=\"failure\">]]&gt;</failure>"));
    assert_non_null(strstr(out.data, "<skipped message=\"a &amp; b\"/>"));
    assert_non_null(strstr(out.data, "<system-out>]]&gt;</system-out>"));
    assert_null(strstr(out.data, "empty"));
    strbuf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_lose_their_values), cmocka_unit_test(messages_lose_what_they_quote),
        cmocka_unit_test(patterns_name_columns),        cmocka_unit_test(marks_tell_only_that_values_differ),
        cmocka_unit_test(checks_are_hidden_whole),      cmocka_unit_test(texts_stay_in_their_place),
        cmocka_unit_test(junit_counts_and_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
