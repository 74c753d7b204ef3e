/* core/sign against RFC 4231, test case 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/sign.h"

static void rfc_4231_case_2(void **state)
{
    (void)state;
    char out[SIGN_HEX_SIZE];
    const char *text = "what do ya want for nothing?";
    assert_true(sign_hmac_sha256("Jefe", text, strlen(text), out));
    assert_string_equal(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rfc_4231_case_2)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
