/* pg_open() with connection strings that libpq does not take: one line of our own, in which no secret is
 * left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "core/attr.h"
#include "pg/conn.h"
#include "pg/url.h"

/* libpq's own messages quote the secret in each of these. */
static const char *const urls[] = {
    "postgresql://u:s3cret@[::1/db",
    "postgresql://u:s3c%zzs3cret@h/db",
    "postgresql://u:s3cret%00@h/db",
    "host=h password=my s3cret",
    "password='s3cret",
    "postgresql://u:s3cret/s3cret@h/db",
    "postgresql://h/db?password=s3cret&foo",
    "host=h port=s3cret password=s3cret",
};

static void nothing_secret_is_told(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct pg_options options = {.application_name = "test"};
        struct pg_conn *conn = NULL;
        struct err err = ERR_INIT;
        assert_false(pg_open(urls[i], &options, &conn, &err));
        assert_null(conn);
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, "cannot read the connection string"));
        const char *at = strstr(err.text, "s3cret");
        if (at != NULL && strncmp(at - 5, "port=", 5) != 0) /* a port is no secret */
            fail_msg("%s: %s", urls[i], err.text);
    }
}

static void one_part(const char *url, const char *keyword, const char *expected)
{
    struct err err = ERR_INIT;
    char *value CLEANUP(free_ptr) = NULL;
    assert_true(pg_url_value(url, keyword, &value, &err));
    if (expected == NULL)
        assert_null(value);
    else
        assert_string_equal(value, expected);
}

static void parts_of_a_url(void **state)
{
    one_part("postgresql://u%40:it%27s@h:5433/db", "user", "u@");
    one_part("postgresql://u%40:it%27s@h:5433/db", "password", "it's");
    one_part("postgresql://u@h:5433/db", "port", "5433");
    one_part("postgresql:///db", "host", NULL);
    one_part("host='a b' dbname=x", "host", "a b");
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct err err = ERR_INIT;
        char *value = NULL;
        const char *at = pg_url_value(urls[i], "host", &value, &err) ? NULL : strstr(err.text, "s3cret");
        assert_true(at == NULL || strncmp(at - 5, "port=", 5) == 0);
        free_ptr(&value);
    }
}

/* A server on another machine proves who it is, unless somebody has said otherwise. */
static void tls_by_default(void **state)
{
    static const struct {
        const char *url, *mode;
    } cases[] = {
        {"postgresql://u@db1/x", "verify-full"},
        {"postgresql://u@10.0.0.1:5433/x", "verify-full"},
        {"postgresql://u@[fe80::1]/x", "verify-full"},
        {"host=localhost,db2 dbname=x", "verify-full"},
        {"postgresql://u@localhost/x?hostaddr=10.0.0.1", "verify-full"},
        {"postgresql://u@db1/x?hostaddr=127.0.0.1", "verify-full"},
        {"postgresql://u@127.1/x", "verify-full"},
        {"postgresql://u@localhost.example.com/x", "verify-full"},
        {"postgresql://u@db1/x?sslmode=disable", NULL},
        {"host=db1 sslmode=prefer", NULL},
        {"service=shop", NULL},
        {"postgresql:///x", NULL},
        {"x", NULL},
        {"postgresql://u@127.0.0.1/x", NULL},
        {"postgresql://u@127.9.8.7/x", NULL},
        {"postgresql://u@[::1]/x", NULL},
        {"postgresql://u@LocalHost:5432/x", NULL},
        {"host=/run/postgresql,localhost", NULL},
        {"postgresql://%2Frun%2Fpostgresql/x", NULL},
        {"host=@abstract", NULL},
    };
    static const char *const variables[] = {"PGSSLMODE", "PGHOST", "PGHOSTADDR", "PGSERVICE"};
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        assert_int_equal(unsetenv(variables[i]), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *mode = pg_url_sslmode(cases[i].url);
        if (mode != cases[i].mode &&
            (mode == NULL || cases[i].mode == NULL || strcmp(mode, cases[i].mode) != 0))
            fail_msg("%s: %s", cases[i].url, mode != NULL ? mode : "NULL");
    }
    assert_int_equal(setenv("PGHOST", "db1", 1), 0);
    assert_string_equal(pg_url_sslmode("x"), "verify-full");
    assert_null(pg_url_sslmode("host=localhost"));
    assert_int_equal(setenv("PGSSLMODE", "disable", 1), 0);
    assert_null(pg_url_sslmode("x"));
    assert_null(pg_url_sslmode("postgresql://u@db1/x"));
    assert_int_equal(unsetenv("PGHOST"), 0);
    assert_int_equal(unsetenv("PGSSLMODE"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_secret_is_told),
        cmocka_unit_test(parts_of_a_url),
        cmocka_unit_test(tls_by_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
