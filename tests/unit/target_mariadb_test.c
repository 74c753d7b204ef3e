/* What of the MariaDB target needs no server: its URL, values on their way, error numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "maria/url.h"
#include "target/mariadb/mariadb.h"

static void test_url_parts(void **state)
{
    struct err err = ERR_INIT;
    struct maria_url url;
    assert_true(maria_url_parse("mariadb://me%40x:p%3Aw%2Fd@db.example:3307/my%20db?ssl-ca=%2Fetc%2Fca.pem",
                                &url, &err));
    assert_string_equal(url.user, "me@x");
    assert_string_equal(url.password, "p:w/d");
    assert_string_equal(url.host, "db.example");
    assert_int_equal(url.port, 3307);
    assert_string_equal(url.database, "my db");
    assert_string_equal(url.ssl_ca, "/etc/ca.pem");
    assert_true(url.tls && url.tls_verify);
    maria_url_release(&url);
    assert_true(maria_url_parse("mysql://[::1]/d?ssl_mode=required&socket=/s", &url, &err));
    assert_string_equal(url.host, "::1");
    assert_int_equal(url.port, 3306);
    assert_null(url.user);
    assert_null(url.password);
    assert_true(url.tls && !url.tls_verify);
    maria_url_release(&url);
    assert_true(maria_url_parse("mariadb://u:a@b@h/d?ssl-ca=/c&ssl-mode=disabled", &url, &err));
    assert_string_equal(url.password, "a@b");
    assert_false(url.tls);
    maria_url_release(&url);
    /* Nothing is said: by the host. */
    assert_true(maria_url_parse("mariadb://u@h/d", &url, &err));
    assert_true(url.tls && url.tls_verify);
    maria_url_release(&url);
    assert_true(maria_url_parse("mariadb://u@h/d?socket=/s", &url, &err)); /* the socket is not used */
    assert_true(url.tls && url.tls_verify);
    maria_url_release(&url);
    assert_true(maria_url_parse("mariadb://u@localhost/d?socket=/s", &url, &err));
    assert_false(url.tls);
    maria_url_release(&url);
    assert_true(maria_url_parse("mariadb://u@127.0.0.1/d", &url, &err));
    assert_false(url.tls);
    maria_url_release(&url);
    assert_true(maria_url_parse("mariadb://u@h/d?ssl-mode=verify_identity", &url, &err));
    assert_true(url.tls && url.tls_verify);
    maria_url_release(&url);
}

static void test_url_refusals_show_no_password(void **state)
{
    static const char *const bad[] = {"mariadb://u:secret@h",
                                      "mariadb://u:secret@h/",
                                      "mariadb://u:secret@h:0/d",
                                      "mariadb://u:secret@h:99999/d",
                                      "mariadb://u:secret@h:33x/d",
                                      "mariadb://u:secret%zz@h/d",
                                      "mariadb://u:secret%00@h/d",
                                      "mariadb://u:secret@h/d?ssl-mode=maybe",
                                      "mariadb://u:secret@h/d?foo=1",
                                      "mariadb://u:secret@h/d?ssl-ca",
                                      "mariadb://u:secret@h/d?ssl-ca-and-much-more=1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        struct maria_url url;
        assert_false(maria_url_parse(bad[i], &url, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_null(strstr(err.text, "secret"));
    }
}

/* What becomes of a text in a column; NULL: it does not fit. In a buffer that the next call overwrites. */
static const char *put(struct md_column *col, const char *text)
{
    static char out[400];
    struct strbuf bytes = STRBUF_INIT(1 << 20);
    struct md_value value = {.bytes = &bytes};
    struct err err = ERR_INIT;
    struct field field = {.name = "c", .source_type = col->source == MD_SRC_ARRAY ? "_TEXT" : "TEXT"};
    if (col->field == NULL)
        col->field = &field;
    struct datum datum = {.state = DATUM_VALUE, .s = {.p = text, .len = (uint32_t)strlen(text)}};
    col->plain_text = true;
    enum md_put got = col->put(col, &datum, &value, &err);
    (void)snprintf(out, sizeof out, "%.*s", (int)bytes.len, bytes.data);
    strbuf_release(&bytes);
    if (col->field == &field)
        col->field = NULL;
    if (got == MD_PUT_OK)
        return out;
    assert_int_equal(err.code, got == MD_PUT_FAILED ? ERR_PROTOCOL : ERR_DATA);
    assert_true(got == MD_PUT_FAILED || strncmp(err.sqlstate, "22", 2) == 0);
    return NULL;
}

#define FITS(col, text, want) assert_string_equal(put(col, text), want)
#define UNFIT(col, text)      assert_null(put(col, text))

static void test_decimals_fit_exactly_or_not_at_all(void **state)
{
    struct md_column col = {.put = md_put_decimal, .precision = 5, .scale = 2, .type_text = "decimal(5,2)"};
    FITS(&col, "123.45", "123.45");
    FITS(&col, "-0.1", "-0.1");
    FITS(&col, "00123.450000", "00123.45");
    FITS(&col, "7", "7");
    FITS(&col, "7.000", "7.00");
    UNFIT(&col, "1234");
    UNFIT(&col, "1.001");
    UNFIT(&col, "NaN");
    UNFIT(&col, "-Infinity");
    UNFIT(&col, "");
    UNFIT(&col, "-");
    UNFIT(&col, "1e5");
    UNFIT(&col, "1.5x");
}

static void test_texts_keep_their_blanks(void **state)
{
    struct md_column col = {
        .put = md_put_text, .type = MD_VARCHAR, .max_chars = 3, .max_bytes = 12, .type_text = "varchar(3)"};
    FITS(&col, "äöü", "äöü");
    FITS(&col, "a  ", "a  ");
    UNFIT(&col, "abcd");
    UNFIT(&col, "abc "); /* the server would cut this one in silence */
    col.key = col.pads = true;
    UNFIT(&col, "a ");
    col = (struct md_column){
        .put = md_put_text, .type = MD_CHAR, .max_chars = 3, .max_bytes = 12, .type_text = "char(3)"};
    UNFIT(&col, "a ");
    col.source = MD_SRC_BPCHAR;
    FITS(&col, "a  ", "a");
}

static void test_times(void **state)
{
    struct md_column col = {
        .put = md_put_datetime, .type = MD_DATETIME, .digits = 3, .type_text = "datetime(3)"};
    FITS(&col, "2024-02-29 11:14:15.5+00", "2024-02-29 11:14:15.5");
    FITS(&col, "0001-01-01 00:00:00", "0001-01-01 00:00:00");
    FITS(&col, "2024-02-29 11:14:15.123000", "2024-02-29 11:14:15.123");
    UNFIT(&col, "2024-02-29 11:14:15.1234");
    UNFIT(&col, "infinity");
    UNFIT(&col, "-infinity");
    UNFIT(&col, "0044-03-15 12:00:00 BC");
    UNFIT(&col, "10000-01-01 00:00:00");
    col.digits = 0;
    FITS(&col, "2024-02-29 11:14:15.000", "2024-02-29 11:14:15");
    UNFIT(&col, "2024-02-29 11:14:15.5");
    col = (struct md_column){.put = md_put_datetime,
                             .type = MD_TIMESTAMP,
                             .digits = 3,
                             .latest = "2038-01-19 03:14:07",
                             .type_text = "timestamp(3)"};
    FITS(&col, "2038-01-19 03:14:07.999+00", "2038-01-19 03:14:07.999");
    FITS(&col, "1970-01-01 00:00:00.001+00", "1970-01-01 00:00:00.001");
    UNFIT(&col, "1970-01-01 00:00:00+00");
    UNFIT(&col, "1970-01-01 00:00:00.000+00");
    UNFIT(&col, "1969-12-31 23:59:59.5+00");
    UNFIT(&col, "2038-01-19 03:14:08+00");
    UNFIT(&col, "infinity");
    col = (struct md_column){.put = md_put_time, .type = MD_TIME, .digits = 6, .type_text = "time(6)"};
    FITS(&col, "24:00:00", "24:00:00");
    col = (struct md_column){.put = md_put_date, .type = MD_DATE, .type_text = "date"};
    FITS(&col, "9999-12-31", "9999-12-31");
    UNFIT(&col, "5874897-12-31");
}

static void test_arrays_as_json(void **state)
{
    struct field ints = {.name = "c", .source_type = "_INT4"}, bools = {.name = "c", .source_type = "_BOOL"};
    struct md_column col = {.put = md_put_array, .source = MD_SRC_ARRAY, .type_text = "json"};
    FITS(&col, "{}", "[]");
    FITS(&col, "{a,NULL,\"NULL\",\"q\\\"\\\\,{}\",\"\"}", "[\"a\",null,\"NULL\",\"q\\\"\\\\,{}\",\"\"]");
    FITS(&col, "{{1,2},{3,4}}", "[[\"1\",\"2\"],[\"3\",\"4\"]]");
    FITS(&col, "{\"t\tb\"}", "[\"t\\u0009b\"]");
    UNFIT(&col, "[0:1]={a,b}");
    UNFIT(&col, "");
    UNFIT(&col, "{a");
    UNFIT(&col, "a}");
    col.field = &ints;
    FITS(&col, "{1,-2,NULL,NaN}", "[1,-2,null,\"NaN\"]");
    col.field = &bools;
    FITS(&col, "{t,f}", "[true,false]");
}

static void test_uuids_and_addresses(void **state)
{
    struct md_column col = {.put = md_put_uuid, .type = MD_UUID, .type_text = "uuid"};
    FITS(&col, "6e3b0c44-298f-41c1-99af-bf4c8996fb92", "6e3b0c44-298f-41c1-99af-bf4c8996fb92");
    FITS(&col, "ffffffff-ffff-ffff-ffff-ffffffffffff", "ffffffff-ffff-ffff-ffff-ffffffffffff");
    FITS(&col, "12345678-9abc-def0-0034-56789abcdef0", "12345678-9abc-def0-0034-56789abcdef0");
    UNFIT(&col, "12345678-9abc-def0-1234-56789abcdef0");
    UNFIT(&col, "12345678-9abc-8ef0-8034-56789abcdef0");
    UNFIT(&col, "12345678");
    col = (struct md_column){.put = md_put_inet, .type = MD_INET6, .type_text = "inet6"};
    FITS(&col, "10.0.0.1", "::ffff:10.0.0.1");
    FITS(&col, "2001:db8::1", "2001:db8::1");
    UNFIT(&col, "::ffff:10.0.0.1");
    UNFIT(&col, "10.0.0.1/8");
    col.type = MD_INET4;
    FITS(&col, "10.0.0.1", "10.0.0.1");
    UNFIT(&col, "::1");
}

static void test_error_numbers(void **state)
{
    static const struct {
        unsigned number;
        enum err_policy policy;
        const char *sqlstate;
    } cases[] = {{1062, POLICY_HALT, "23505"},      {1452, POLICY_HALT, "23503"},
                 {1406, POLICY_HALT, "22001"},      {1205, POLICY_RETRY, "55P03"},
                 {1213, POLICY_RETRY, "40P01"},     {1317, POLICY_RETRY, "57014"},
                 {2013, POLICY_RECONNECT, "HY000"}, {2002, POLICY_RECONNECT, "HY000"},
                 {1040, POLICY_RECONNECT, "53300"}, {1045, POLICY_HALT, "28000"},
                 {1146, POLICY_HALT, "42P01"},      {1114, POLICY_RECONNECT, "53100"},
                 {1614, POLICY_RETRY, "XA102"},     {1397, POLICY_RETRY, "XAE04"},
                 {9999, POLICY_HALT, "HY000"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        assert_false(maria_fail(cases[i].number, "HY000", "text", "write", &err));
        assert_int_equal(err_policy(err.code), cases[i].policy);
        assert_string_equal(err.sqlstate, cases[i].sqlstate);
    }
    struct err err = ERR_INIT;
    assert_false(maria_fail(1062, "23000", "Duplicate entry 'hush for key 'x'' for key 'u'", "write", &err));
    assert_null(strstr(err.text, "hush"));
    assert_non_null(strstr(err.text, "for key 'u'"));
    assert_non_null(strstr(err.detail, "hush")); /* for a dead letter */
    assert_false(maria_fail(1366, "22007", "Incorrect integer value: 'hush' for column `d`.`t`.`a` at row 1",
                            "write", &err));
    assert_null(strstr(err.text, "hush"));
    assert_false(maria_fail(1142, "42000", "INSERT command denied to user 'me'@'host' for table `d`.`t`",
                            "write", &err));
    assert_non_null(strstr(err.text, "Hint: GRANT INSERT ON `d`.`t` TO 'me'@'host';"));
    assert_string_equal(err.detail, "");
    assert_false(
        maria_fail(1044, "42000", "Access denied for user 'me'@'%' to database 'd'", "connect", &err));
    assert_non_null(strstr(err.text, "docs/PRIVILEGES.md"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url_parts),
        cmocka_unit_test(test_url_refusals_show_no_password),
        cmocka_unit_test(test_decimals_fit_exactly_or_not_at_all),
        cmocka_unit_test(test_texts_keep_their_blanks),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_arrays_as_json),
        cmocka_unit_test(test_uuids_and_addresses),
        cmocka_unit_test(test_error_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
