/* log_mask_url(): no form in which libpq or a broker takes a secret gets through, and the rest stays
 * readable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/attr.h"
#include "core/log.h"

static const struct {
    const char *text, *shown;
} exact[] = {
    {"", ""},
    {"lmdb:/var/lib/crossfade/shop", "lmdb:/var/lib/crossfade/shop"},
    {"kafka://a:9092,b:9092", "kafka://a:9092,b:9092"},
    {"postgresql://h/db", "postgresql://h/db"},
    {"postgresql://u@h:5432/db", "postgresql://u@h:5432/db"},
    {"postgresql://h:5432/db", "postgresql://h:5432/db"},
    {"postgresql:///db?host=/run/x&user=me", "postgresql:///db?host=/run/x&user=me"},
    {"postgresql://u:s3cret@h/db", "postgresql://u:***@h/db"},
    {"postgresql://u:@h/db", "postgresql://u:@h/db"},
    {"postgresql://:s3cret@h/db", "postgresql://:***@h/db"},
    {"postgres://u:s3cret@h1:1,h2:2,[::1]:3/db?target_session_attrs=any",
     "postgres://u:***@h1:1,h2:2,[::1]:3/db?target_session_attrs=any"},
    {"postgresql://u:s3c%40r%3Aet@h/db", "postgresql://u:***@h/db"},
    {"postgresql://u:a:s3cret@h", "postgresql://u:***@h"},
    {"postgresql://h/db?password=s3cret", "postgresql://h/db?password=***"},
    {"postgresql://h/db?password=s3cret&sslmode=require", "postgresql://h/db?password=***&sslmode=require"},
    {"postgresql://h/db?sslmode=require&sslpassword=s3cret&user=u",
     "postgresql://h/db?sslmode=require&sslpassword=***&user=u"},
    {"postgresql://h/db?PassWord=s3cret", "postgresql://h/db?PassWord=***"},
    {"postgresql://h/db?p%61ssw%6Frd=s3cret&user=u", "postgresql://h/db?p%61ssw%6Frd=***&user=u"},
    {"postgresql://h/db?password=&user=u", "postgresql://h/db?password=&user=u"},
    {"postgresql://u:s3cret@h/db?password=s3cret&user=u", "postgresql://u:***@h/db?password=***&user=u"},
    {"postgresql://h/db?passfile=/etc/pass&keepalives=1",
     "postgresql://h/db?passfile=/etc/pass&keepalives=1"},
    {"postgresql://h/db?options=-c%20work_mem%3D1", "postgresql://h/db?options=-c%20work_mem%3D1"},
    {"fault:append:3:error:postgresql://u:s3cret@h/db", "fault:append:3:error:postgresql://u:***@h/db"},
    {"lmdb:/var/lib/a:b@c/shop", "lmdb:/var/lib/a:b@c/shop"},
    {"host=h user=u dbname=d", "host=h user=u dbname=d"},
    {"host=h password=s3cret user=u", "host=h password=*** user=u"},
    {"password=s3cret", "password=***"},
    {"host=h password = s3cret user=u", "host=h password = *** user=u"},
    {"host=h\tpassword\n=\ts3cret\tuser=u", "host=h\tpassword\n=\t***\tuser=u"},
    {"password='s3cret s3cret' user=u", "password=*** user=u"},
    {"password='s3\\'cret s3cret' user=u", "password=*** user=u"},
    {"password='s3cret\\\\' user=u", "password=*** user=u"},
    {"password='s3cret", "password=***"},
    {"password='' user=u", "password=*** user=u"},
    {"password=s3\\ cret user=u", "password=*** user=u"},
    {"password=s3&cret user=u", "password=*** user=u"},
    {"application_name='a b' password=s3cret", "application_name='a b' password=***"},
    {"application_name='x password=y' user=u", "application_name='x password=y' user=u"},
    {"sasl.password=s3cret", "sasl.password=***"},
    {"ssl.key.password=s3cret", "ssl.key.password=***"},
    {"ssl.keystore.password=s3cret", "ssl.keystore.password=***"},
    {"oauth_client_secret=s3cret user=u", "oauth_client_secret=*** user=u"},
    {"sslcert=/etc/x sslkey=/etc/y", "sslcert=/etc/x sslkey=/etc/y"},
    {"require_auth=password user=u", "require_auth=password user=u"},
};

static void shows_what_it_should(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(exact); i++) {
        char out[300];
        assert_ptr_equal(log_mask_url(exact[i].text, out, sizeof out), out);
        assert_string_equal(out, exact[i].shown);
    }
}

/* Texts that do not parse, or only libpq's way: it matters alone that nothing gets out. */
static const char *const odd[] = {
    "postgresql://u:s3cret?s3cret#s3cret@h/db",
    "postgresql://u:s3cret/s3cret@h/db",
    "postgresql://u:s3cret@s3cret@h/db",
    "postgresql://u:x@s3cret/s3cret@h/db",
    "postgresql:/u:s3cret@h/db",
    "postgresql:u:s3cret@h/db?sslmode=require",
    "postgresql//u:s3:s3cret@h/db?password=s3cret",
    "u:s3cret@h",
    "postgresql://u:s3cret@[::1/db",
    "postgresql://u:%zzs3cret@h",
    "postgresql://u:s3cret /s3cret@h",
    "postgresql://h/db?password=s3cret?s3cret s3cret",
    "postgresql://h/db&password=s3cret",
    "postgresql://h/db user=x password=s3cret",
    "password=my s3cret user=u",
    "password= 's3cret' s3cret",
    "password=a\\",
    "  password  =  s3cret  ",
};

static void hides_what_does_not_parse(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        char out[300];
        log_mask_url(odd[i], out, sizeof out);
        if (strstr(out, "s3cret") != NULL)
            fail_msg("%s is shown as %s", odd[i], out);
    }
}

static void any_size_is_terminated(void **state)
{
    char out[80];
    for (size_t i = 0; i < ARRAY_LEN(exact); i++) {
        size_t full = strlen(exact[i].shown);
        for (size_t size = 1; size < sizeof out; size++) {
            memset(out, 'x', sizeof out);
            log_mask_url(exact[i].text, out, size);
            size_t want = full < size - 1 ? full : size - 1;
            assert_int_equal(strlen(out), want);
            assert_memory_equal(out, exact[i].shown, want);
            for (size_t at = size; at < sizeof out; at++)
                assert_int_equal(out[at], 'x');
        }
    }
}

static void sentences_stay_readable(void **state)
{
    static const struct {
        const char *text, *shown;
    } told[] = {
        {"", ""},
        {" at 10:00 ask ops@example.com: lag=3 ", " at 10:00 ask ops@example.com: lag=3 "},
        {"pooler=postgresql://admin:pw@[::1]:6432/pgbouncer database=app: not paused",
         "pooler=postgresql://admin:***@[::1]:6432/pgbouncer database=app: not paused"},
        {"two (postgresql://u:a@h/db) and\npostgresql://u:b@h/db?sslpassword=c",
         "two (postgresql://u:***@h/db) and\npostgresql://u:***@h/db?sslpassword=***"},
        {"cannot connect: host=h password=pw user=u", "cannot connect: host=h password=*** user=u"},
        {"https://user@h/x was asked", "https://user@h/x was asked"},
        {"hook: exit 3 # postgresql:***@h/db \"x\": exit code 3",
         "hook: exit 3 # postgresql:***@h/db \"x\": exit code 3"},
    };
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        char out[200];
        assert_string_equal(log_mask_text(told[i].text, out, sizeof out), told[i].shown);
        assert_int_equal(strlen(log_mask_text(told[i].text, out, 5)),
                         strlen(told[i].shown) < 4 ? strlen(told[i].shown) : 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_what_it_should),
        cmocka_unit_test(hides_what_does_not_parse),
        cmocka_unit_test(any_size_is_terminated),
        cmocka_unit_test(sentences_stay_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
