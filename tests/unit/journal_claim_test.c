/* What stands in a claim's header: read back as written, and refused when it is not of our making. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "journal/claims.h"

#define SUM "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static bool reads(const char *text, struct claim *ret)
{
    struct err err = ERR_INIT;
    struct journal_header header = {HEADER_CLAIM, text, strlen(text)};
    bool ok = claim_decode(&header, ret, &err);
    assert_int_equal(ok ? ERR_NONE : ERR_PROTOCOL, err.code);
    return ok;
}

static void a_header_is_read_back(void **state)
{
    (void)state;
    for (int sealed = 0; sealed < 2; sealed++) {
        struct claim claim = {.id = "abc-1.claim",
                              .size = 1234567890,
                              .sha256 = SUM,
                              .lsn = "0/1A",
                              .sealed = sealed == 1},
                     back;
        for (size_t i = 0; i < sizeof claim.key && claim.sealed; i++)
            claim.key[i] = (unsigned char)(i * 9);
        char *header CLEANUP(free_ptr) = NULL, *value CLEANUP(free_ptr) = NULL;
        claim_encode(&claim, "/claims/abc-1.claim", &header, &value);
        assert_true(reads(header, &back));
        assert_string_equal(back.id, claim.id);
        assert_string_equal(back.sha256, SUM);
        assert_string_equal(back.lsn, "0/1A");
        assert_int_equal(back.size, claim.size);
        assert_int_equal(back.sealed, claim.sealed);
        assert_memory_equal(back.key, claim.key, sizeof back.key);
        assert_non_null(strstr(value, "/claims/abc-1.claim"));
        assert_null(strstr(value, "key"));
    }
}

static void a_forged_header_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"id\":\"a.claim\",\"size\":1}",
        "{\"id\":\"../a\",\"size\":1,\"sha256\":\"" SUM "\"}",
        "{\"id\":\"/etc/passwd\",\"size\":1,\"sha256\":\"" SUM "\"}",
        "{\"id\":\"..\",\"size\":1,\"sha256\":\"" SUM "\"}",
        "{\"id\":\"\",\"size\":1,\"sha256\":\"" SUM "\"}",
        "{\"id\":\"a.claim\",\"size\":-1,\"sha256\":\"" SUM "\"}",
        "{\"id\":\"a.claim\",\"size\":99999999999,\"sha256\":\"" SUM "\"}",
        "{\"id\":\"a.claim\",\"size\":1,\"sha256\":\"00\"}",
        "{\"id\":\"a.claim\",\"size\":1,\"sha256\":\"" SUM "\",\"key\":\"00\"}",
        "{\"id\":\"a.claim\",\"size\":1,\"sha256\":\"" SUM "\",\"key\":7}",
    };
    struct claim claim;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(reads(bad[i], &claim));
    assert_true(reads("{\"id\":\"a.claim\",\"size\":1,\"sha256\":\"" SUM "\"}", &claim));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_header_is_read_back),
                                       cmocka_unit_test(a_forged_header_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
