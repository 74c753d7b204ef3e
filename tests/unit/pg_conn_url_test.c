/* pg_open() with connection strings that libpq does not take: one line of our own, in which no secret is
 * left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_secret_is_told),
        cmocka_unit_test(parts_of_a_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
