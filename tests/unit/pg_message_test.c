/* What of a server's error is shown: no values of rows, and the GRANT that is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/attr.h"
#include "core/err.h"
#include "pg/message.h"

static void values_are_taken_out(void **state)
{
    static const struct {
        const char *sqlstate, *text, *shown;
    } cases[] = {
        {"22P02", "invalid input syntax for type integer: \"hush\"",
         "invalid input syntax for type integer: \"…\""},
        {"22003", "value \"99\" is out of range for type smallint",
         "value \"…\" is out of range for type smallint"},
        {"22P02", "invalid input value for enum mood: \"hu\"sh\" \"\"",
         "invalid input value for enum mood: \"…\""},
        {"22021", "invalid byte sequence for encoding \"UTF8\": 0x68 0x75",
         "invalid byte sequence for encoding \"…\""},
        {"22P02", "one mark \" alone: hush", "one mark \"…\""},
        {"22001", "value too long for type character varying(5)",
         "value too long for type character varying(5)"},
        {"23505", "duplicate key value violates unique constraint \"u\"",
         "duplicate key value violates unique constraint \"u\""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[200];
        pg_safe_message(cases[i].sqlstate, cases[i].text, out, sizeof out);
        assert_string_equal(out, cases[i].shown);
    }
    static const char *const guarded[] = {"23505", "22P02", "21000", "P0001", "44000", "XX000", "38000"};
    for (size_t i = 0; i < ARRAY_LEN(guarded); i++)
        assert_false(pg_detail_is_harmless(guarded[i]));
    assert_true(pg_detail_is_harmless("42501") && pg_detail_is_harmless("40P01"));
}

static void grants_are_named(void **state)
{
    static const struct {
        const char *statement, *message, *hint;
    } cases[] = {
        {"SELECT 1 FROM t", "permission denied for table t", " Hint: GRANT SELECT ON TABLE t TO \"me\";"},
        {"COPY (SELECT * FROM t) TO STDOUT", "permission denied for table t",
         " Hint: GRANT SELECT ON TABLE t TO \"me\";"},
        {"COPY public.t (a) FROM STDIN", "permission denied for table t",
         " Hint: GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLE t TO \"me\";"},
        {"WITH x AS (INSERT", "permission denied for table t",
         " Hint: GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLE t TO \"me\";"},
        {"SELECT", "permission denied for schema s", " Hint: GRANT USAGE ON SCHEMA s TO \"me\";"},
        {"CREATE TABLE", "permission denied for schema s",
         " Hint: GRANT USAGE, CREATE ON SCHEMA s TO \"me\";"},
        {"DO", "permission denied for database d", " Hint: GRANT CREATE ON DATABASE d TO \"me\";"},
        {"INSERT INTO crossfade.marker (", "permission denied for table marker",
         " Hint: GRANT SELECT, INSERT ON TABLE crossfade.marker TO \"me\";"},
        {"SELECT 1 FROM crossfade.position", "permission denied for table position",
         " Hint: GRANT SELECT ON TABLE crossfade.position TO \"me\";"},
        {"ALTER", "must be owner of table t",
         " Hint: that takes its owner's role: GRANT that to \"me\"; crossfade check"},
        {"CREATE_REPLICATION_SLOT", "must be superuser or replication role to use replication slots",
         " Hint: ALTER ROLE \"me\" REPLICATION; crossfade check"},
        {"CREATE_REPLICATION_SLOT", "permission denied to use replication slots",
         " Hint: ALTER ROLE \"me\" REPLICATION; crossfade check"},
        {"SELECT", "permission denied to terminate process", " Hint: GRANT pg_signal_backend TO \"me\";"},
        {"CREATE TEMP", "permission denied to create temporary tables in database \"d\"",
         " Hint: GRANT TEMPORARY ON DATABASE \"d\" TO \"me\";"},
        {"SELECT", "permission denied for ", " Hint: crossfade check"},
        {"SELECT", NULL, " Hint: crossfade check"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct strbuf sb = STRBUF_INIT(1000);
        pg_privilege_hint("me", cases[i].statement, cases[i].message, &sb);
        if (strncmp(sb.data, cases[i].hint, strlen(cases[i].hint)) != 0)
            assert_string_equal(sb.data, cases[i].hint);
        strbuf_release(&sb);
    }
}

static void rights_to_connect_are_named(void **state)
{
    static const struct {
        const char *text, *hint;
    } cases[] = {
        {"FATAL:  permission denied for database \"d\"\nDETAIL:  User does not have CONNECT privilege.",
         " Hint: GRANT CONNECT ON DATABASE \"d\" TO \"me\" (docs/PRIVILEGES.md)"},
        {"FATAL:  must be superuser or replication role to start walsender",
         " Hint: ALTER ROLE \"me\" REPLICATION (docs/PRIVILEGES.md)"},
        {"FATAL:  permission denied to start WAL sender",
         " Hint: ALTER ROLE \"me\" REPLICATION (docs/PRIVILEGES.md)"},
        {"FATAL:  password authentication failed for user \"me\"", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct strbuf sb = STRBUF_INIT(1000);
        strbuf_adds(&sb, "");
        pg_connect_hint("me", "d", cases[i].text, &sb);
        assert_string_equal(sb.data, cases[i].hint);
        strbuf_release(&sb);
    }
}

static void whole_error(void **state)
{
    struct err err = ERR_INIT;
    char out[ERR_WHOLE_MAX];
    (void)state;
    assert_false(err_set(&err, ERR_DATA, "refused"));
    assert_string_equal(err_whole(&err, out), "refused");
    err_set_detail(&err, "Key (a)=(hush)\nexists");
    assert_false(err_wrap(&err, "table=t"));
    assert_string_equal(err.text, "table=t: refused");
    assert_string_equal(err_whole(&err, out), "table=t: refused [Key (a)=(hush) exists]");
    assert_false(err_set(&err, ERR_DATA, "another"));
    assert_string_equal(err.detail, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_taken_out), cmocka_unit_test(grants_are_named),
        cmocka_unit_test(rights_to_connect_are_named), cmocka_unit_test(whole_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
