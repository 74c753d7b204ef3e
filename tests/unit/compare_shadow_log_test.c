/* Records of PostgreSQL's log in CSV and JSON, and the statements in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compare/shadow/log_statement.h"
#include "core/attr.h"

/* As a server of version 15 writes them. */
#define CSV(message, detail)                                                                                 \
    "2026-01-31 10:00:00.123 UTC,\"app\",\"shop\",123,\"[local]\",65b.7b,3,\"SELECT\",2026-01-31 09:00:00 "  \
    "UTC,3/12,0,LOG,00000," message "," detail ",,,,,,,,\"psql\",\"client backend\",,0\n"

struct seen {
    int count;
    char sql[10][200];
    char params[10][200];
    enum log_found found[10];
};

static void see(void *ctx, const struct log_record *record)
{
    struct seen *seen = ctx;
    struct log_statement st = {0};
    int n = seen->count++;
    assert_true(n < 10);
    assert_string_equal(record->database, "shop");
    assert_string_equal(record->user, "app");
    seen->found[n] = log_statement_read(record, &st);
    if (seen->found[n] == LOG_STATEMENT)
        (void)snprintf(seen->sql[n], sizeof seen->sql[n], "%s", st.sql);
    for (size_t i = 0; i < st.param_count; i++) {
        size_t len = strlen(seen->params[n]);
        (void)snprintf(seen->params[n] + len, sizeof seen->params[n] - len, "[%s]",
                       st.params[i] != NULL ? st.params[i] : "NULL");
    }
    log_statement_release(&st);
}

static struct log_records read_in_pieces(const char *text, size_t piece, enum log_format format,
                                         struct seen *seen)
{
    struct log_records r;
    *seen = (struct seen){0};
    log_records_init(&r, format);
    for (size_t at = 0, len = strlen(text); at < len; at += piece)
        log_records_feed(&r, text + at, MIN_OF(piece, len - at), see, seen);
    log_records_release(&r);
    return r;
}

static void test_csv(void **state UNUSED)
{
    static const char text[] = CSV("\"statement: SELECT \"\"a\"\",\n 'b' FROM t;\"", "")
        CSV("\"duration: 0.123 ms  execute <unnamed>: SELECT $1, $2, $3\"",
            "\"parameters: $1 = 'it''s, $2 = ', $2 = NULL, $3 = 'x\ny'\"")
            CSV("\"execute P_0/C_1: SELECT 1\"", "\"Parameters: $1 = '7'\"") CSV("\"duration: 0.5 ms\"", "")
                CSV("\"duration: 0.5 ms  parse <unnamed>: SELECT 1\"", "")
                    CSV("\"execute fetch from c: SELECT 1\"", "")
                        CSV("\"execute p: SELECT $1\"", "\"parameters: $1 = 'abc...'\"")
                            CSV("\"execute p: SELECT $1\"", "\"parameters: $1 = abc\"")
                                CSV("\"statement: EXECUTE p(1)\"",
                                    "\"prepare: PREPARE p AS SELECT $1\"") "half a record,";
    static const size_t pieces[] = {1, 7, 10000};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct seen seen;
        struct log_records r = read_in_pieces(text, pieces[i], LOG_FORMAT_CSV, &seen);
        assert_int_equal(r.count, 9);
        assert_int_equal(r.broken_count, 0);
        assert_int_equal(seen.count, 9);
        assert_string_equal(seen.sql[0], "SELECT \"a\",\n 'b' FROM t;");
        assert_string_equal(seen.sql[1], "SELECT $1, $2, $3");
        assert_string_equal(seen.params[1], "[it's, $2 = ][NULL][x\ny]");
        assert_string_equal(seen.sql[2], "SELECT 1");
        assert_string_equal(seen.params[2], "[7]");
        assert_int_equal(seen.found[3], LOG_NO_STATEMENT);
        assert_int_equal(seen.found[4], LOG_NO_STATEMENT);
        assert_int_equal(seen.found[5], LOG_NO_STATEMENT);
        assert_int_equal(seen.found[6], LOG_CUT_PARAMETERS);
        assert_int_equal(seen.found[7], LOG_BAD_PARAMETERS);
        assert_int_equal(seen.found[8], LOG_SQL_EXECUTE);
    }
}

static void test_json(void **state UNUSED)
{
    static const char text[] =
        "{\"timestamp\":\"2026-01-31 10:00:00 "
        "UTC\",\"user\":\"app\",\"dbname\":\"shop\",\"error_severity\":\"LOG\",\"message\":\"duration: 1.0 ms"
        "  statement: SELECT \\\"a\\\"\\n\"}\n\r\n"
        "{\"user\":\"app\",\"dbname\":\"shop\",\"error_severity\":\"LOG\",\"message\":\"execute <unnamed>: "
        "SELECT $1\","
        "\"detail\":\"parameters: $1 = 'ä'\"}\n"
        "{\"user\":\"app\",\"dbname\":\"shop\",\"error_severity\":\"ERROR\",\"message\":\"statement: "
        "no\"}\n{broken}\n{\"user\":\"half";
    struct seen seen;
    struct log_records r = read_in_pieces(text, 5, LOG_FORMAT_JSON, &seen);
    assert_int_equal(r.count, 4);
    assert_int_equal(r.broken_count, 1);
    assert_string_equal(seen.sql[0], "SELECT \"a\"\n");
    assert_string_equal(seen.params[1], "[ä]");
    assert_int_equal(seen.found[2], LOG_NO_STATEMENT);
    assert_int_equal(log_format_of(text, sizeof text), LOG_FORMAT_JSON);
    assert_int_equal(log_format_of("2026", 4), LOG_FORMAT_CSV);
}

static void test_too_long(void **state UNUSED)
{
    struct log_records r;
    struct seen seen = {0};
    static const char head[] = "2026,\"app\",\"shop\",1,,,,,,,,LOG,0,\"statement: ";
    char block[4096];
    memset(block, 'x', sizeof block);
    log_records_init(&r, LOG_FORMAT_CSV);
    log_records_feed(&r, head, strlen(head), see, &seen);
    for (size_t i = 0; i < LOG_RECORD_MAX / sizeof block + 1; i++)
        log_records_feed(&r, block, sizeof block, see, &seen);
    log_records_feed(&r, "\"\"\n\",,\n", 7, see, &seen);
    static const char next[] = CSV("\"statement: SELECT 1\"", "");
    log_records_feed(&r, next, strlen(next), see, &seen);
    assert_int_equal(r.long_count, 1);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.sql[0], "SELECT 1");
    log_records_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_csv), cmocka_unit_test(test_json),
                                       cmocka_unit_test(test_too_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
