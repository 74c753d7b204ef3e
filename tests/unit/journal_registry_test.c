/* What is said to a schema registry, and what its answers mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/strbuf.h"
#include "journal/registry_protocol.h"

#define BASE    "https://registry:8081"
#define SUBJECT "shop.public.t-value"

/* --- address --- */

static const struct {
    const char *url, *user, *password;
    const char *base, *want_user, *want_password; /* base NULL: refused */
} addresses[] = {
    {"http://r:8081", NULL, NULL, "http://r:8081", NULL, NULL},
    {"https://r/apis/ccompat/v7///", NULL, NULL, "https://r/apis/ccompat/v7", NULL, NULL},
    {"https://me:s%40c%2Fr%25t:x@r:1", NULL, NULL, "https://r:1", "me", "s@c/r%t:x"},
    {"https://me@r", NULL, NULL, "https://r", "me", NULL},
    {"https://me:@r", NULL, NULL, "https://r", "me", ""},
    {"https://me:old@r", "other", "new", "https://r", "other", "new"},
    {"https://me@r", NULL, "new", "https://r", "me", "new"},
    {"http://[::1]:8081", NULL, NULL, "http://[::1]:8081", NULL, NULL},
    {"https://r/a@b", NULL, NULL, NULL, NULL, NULL},
    {"https://a:b@c:d@r", NULL, NULL, NULL, NULL, NULL},
    {"https://me:secret%4@r", NULL, NULL, NULL, NULL, NULL},
    {"https://me:secret%00@r", NULL, NULL, NULL, NULL, NULL},
    {"https://", NULL, NULL, NULL, NULL, NULL},
    {"https:///path", NULL, NULL, NULL, NULL, NULL},
    {"https://r?secret=1", NULL, NULL, NULL, NULL, NULL},
    {"https://r/#x", NULL, NULL, NULL, NULL, NULL},
    {"ftp://r", NULL, NULL, NULL, NULL, NULL},
    {"registry:8081", NULL, NULL, NULL, NULL, NULL},
};

static void assert_text(const char *got, const char *want)
{
    if (want == NULL)
        assert_null(got);
    else
        assert_string_equal(got, want);
}

static void urls_are_taken_apart(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct registry_address got = {0};
        struct err err = ERR_INIT;
        bool ok =
            registry_address_read(addresses[i].url, addresses[i].user, addresses[i].password, &got, &err);
        if (ok != (addresses[i].base != NULL))
            fail_msg("%s: %s", addresses[i].url, ok ? "was taken" : err.text);
        if (!ok) {
            assert_int_equal(err.code, ERR_CONFIG);
            assert_null(strstr(err.text, "secret"));
            assert_null(got.base);
            continue;
        }
        assert_text(got.base, addresses[i].base);
        assert_text(got.user, addresses[i].want_user);
        assert_text(got.password, addresses[i].want_password);
        registry_address_release(&got);
    }
}

/* --- requests --- */

static void requests(void **state)
{
    char *path = registry_versions_path("shop.public.a_b-c/d e%\xc3\xa9-key");
    assert_string_equal(path, "/subjects/shop.public.a_b-c%2Fd%20e%25%C3%A9-key/versions");
    free(path);
    path = registry_id_path(2147483647);
    assert_string_equal(path, "/schemas/ids/2147483647");
    free(path);
    char *body = registry_put_body("{\"type\": \"string\", \"doc\": \"\\u00e9 \\\"\"}");
    assert_string_equal(
        body, "{\"schema\":\"{\\\"type\\\": \\\"string\\\", \\\"doc\\\": \\\"\\\\u00e9 \\\\\\\"\\\"}\"}");
    free(body);
    assert_null(registry_put_body("\xff"));
}

/* --- answers --- */

static void ids(void **state)
{
    static const struct {
        const char *body;
        uint32_t id; /* 0: refused */
    } cases[] = {
        {"{\"id\":1}", 1},
        {"{\"id\":2147483647,\"version\":1}", 2147483647},
        {"{\"id\":2147483648}", 0},
        {"{\"id\":0}", 0},
        {"{\"id\":-1}", 0},
        {"{\"id\":\"1\"}", 0},
        {"{\"id\":1.5}", 0},
        {"{\"id\":99999999999999999999}", 0},
        {"{}", 0},
        {"[1]", 0},
        {"", 0},
        {"<html>", 0},
        {"{\"id\":1", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        uint32_t id = 0;
        bool ok = registry_read_id(cases[i].body, strlen(cases[i].body), &id, &err);
        if (ok != (cases[i].id != 0) || id != cases[i].id)
            fail_msg("%s: %u %s", cases[i].body, id, err.text);
        assert_int_equal(err.code, ok ? ERR_NONE : ERR_PROTOCOL);
    }
}

static void check_schema(const char *body, size_t len, const char *want, enum err_code code)
{
    struct err err = ERR_INIT;
    char *text = NULL;
    bool ok = registry_read_schema(body, len, &text, &err);
    if (ok != (want != NULL))
        fail_msg("%s: %s", body, ok ? "was taken" : err.text);
    assert_text(text, want);
    assert_int_equal(err.code, ok ? ERR_NONE : code);
    free(text);
}

static void schemas(void **state)
{
    static const char *const good[] = {
        "{\"schema\":\"\\\"string\\\"\"}",
        "{\"schema\":\"\\\"string\\\"\",\"schemaType\":\"AVRO\",\"references\":[]}"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        check_schema(good[i], strlen(good[i]), "\"string\"", ERR_NONE);
    static const char *const bad[] = {"{\"schema\":\"{}\",\"schemaType\":\"JSON\"}",
                                      "{\"schema\":{}}",
                                      "{\"schema\":\"a\\u0000b\"}",
                                      "{}",
                                      "null",
                                      "",
                                      "<html></html>"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_schema(bad[i], strlen(bad[i]), NULL, ERR_PROTOCOL);
    const char *refers = "{\"schema\":\"{}\",\"references\":[{\"name\":\"x\"}]}";
    check_schema(refers, strlen(refers), NULL, ERR_UNSUPPORTED);
    /* A text of an earlier record: no byte behind the length counts. */
    check_schema("{\"schema\":\"x\"}garbage", 14, "x", ERR_NONE);
}

static void levels(void **state)
{
    struct err err = ERR_INIT;
    char *level = NULL;
    const char *body = "{\"compatibilityLevel\":\"FULL_TRANSITIVE\"}";
    assert_true(registry_read_level(body, strlen(body), &level, &err));
    assert_string_equal(level, "FULL_TRANSITIVE");
    free(level);
    assert_false(registry_read_level("[]", 2, &level, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
}

/* --- refusals --- */

static const struct {
    const char *subject; /* NULL: a lookup of id 77 */
    int status;
    const char *body;
    enum err_code code;
    const char *words[4];
} refusals[] = {
    {SUBJECT,
     500,
     "{\"error_code\":50001,\"message\":\"store\"}",
     ERR_CONNECT,
     {BASE, "500", "it says: store"}},
    {SUBJECT, 503, "<html>sorry</html>", ERR_CONNECT, {BASE, "503"}},
    {NULL, 502, "", ERR_CONNECT, {BASE, "502"}},
    {NULL, 429, "", ERR_CONNECT, {"429"}},
    {NULL, 408, "", ERR_CONNECT, {"408"}},
    {SUBJECT, 401, "{\"message\":\"no\"}", ERR_AUTH, {"login", "401", "journal.registry_password"}},
    {NULL, 403, "", ERR_AUTH, {"403"}},
    {SUBJECT,
     409,
     "{\"error_code\":409,\"message\":\"INT to STRING\"}",
     ERR_SCHEMA,
     {"subject=" SUBJECT, "incompatible", "PUT " BASE "/config/" SUBJECT, "it says: INT to STRING"}},
    {SUBJECT, 422, "{\"error_code\":42201,\"message\":\"bad\"}", ERR_SCHEMA, {"subject=" SUBJECT, "42201"}},
    {NULL,
     404,
     "{\"error_code\":40403,\"message\":\"none\"}",
     ERR_PROTOCOL,
     {"schema id=77 is not in", BASE}},
    {NULL, 404, "{\"error_code\":404}", ERR_CONFIG, {"path", BASE}},
    {SUBJECT, 404, "", ERR_CONFIG, {"path", BASE}},
    {SUBJECT, 404, "{\"error_code\":40403}", ERR_CONFIG, {"path"}},
    {SUBJECT, 301, "", ERR_CONFIG, {"redirect", "301"}},
    {NULL, 409, "", ERR_PROTOCOL, {"409"}},
    {SUBJECT, 400, "text", ERR_PROTOCOL, {"400"}},
};

static void refusals_say_what_to_do(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct err err = ERR_INIT;
        const char *body = refusals[i].body;
        assert_false(
            registry_refusal(BASE, refusals[i].subject, 77, refusals[i].status, body, strlen(body), &err));
        if (err.code != refusals[i].code)
            fail_msg("%d %s: %s: %s", refusals[i].status, body, err_code_name(err.code), err.text);
        for (size_t w = 0; w < 4 && refusals[i].words[w] != NULL; w++) {
            if (strstr(err.text, refusals[i].words[w]) == NULL)
                fail_msg("\"%s\" is not in: %s", refusals[i].words[w], err.text);
        }
    }
}

/* A registry may say anything, however long: what to do stays in the text. */
static void long_messages_are_cut(void **state)
{
    struct strbuf body = STRBUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    strbuf_adds(&body, "{\"error_code\":409,\"message\":\"");
    for (int i = 0; i < 20000; i++)
        strbuf_adds(&body, i % 7 == 0 ? "\xc3\xa9\\n" : "many words ");
    strbuf_adds(&body, "\"}");
    assert_false(registry_refusal(BASE, SUBJECT, 0, 409, body.data, body.len, &err));
    assert_int_equal(err.code, ERR_SCHEMA);
    assert_non_null(strstr(err.text, "PUT " BASE "/config/"));
    assert_non_null(strstr(err.text, "many words"));
    assert_true(strlen(err.text) < 1000);
    strbuf_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(requests),
        cmocka_unit_test(ids),
        cmocka_unit_test(schemas),
        cmocka_unit_test(levels),
        cmocka_unit_test(refusals_say_what_to_do),
        cmocka_unit_test(long_messages_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
