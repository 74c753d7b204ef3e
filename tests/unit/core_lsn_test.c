/* LSNs as text, and times as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/attr.h"
#include "core/clock.h"
#include "core/lsn.h"

static void lsn_round_trip(void **state)
{
    static const lsn_t lsns[] = {0, 1, 0x16B3748, UINT64_C(0x16B374D848), UINT64_C(0x100000000), UINT64_MAX};
    static const char *const texts[] = {"0/0", "0/1", "0/16B3748", "16/B374D848", "1/0", "FFFFFFFF/FFFFFFFF"};
    for (size_t i = 0; i < ARRAY_LEN(lsns); i++) {
        char text[LSN_TEXT_MAX];
        lsn_t back = 42;
        assert_string_equal(lsn_format(lsns[i], text), texts[i]);
        assert_true(lsn_parse(text, &back));
        assert_true(back == lsns[i]);
    }
}

static void lsn_other_spellings(void **state)
{
    lsn_t lsn = 0;
    assert_true(lsn_parse("16/b374d848", &lsn));
    assert_true(lsn == UINT64_C(0x16B374D848));
    assert_true(lsn_parse("00000016/00000001", &lsn));
    assert_true(lsn == UINT64_C(0x1600000001));
}

static void lsn_strict(void **state)
{
    static const char *const bad[] = {
        "",    "/",   "0",    "0/",   "/0",    " 0/0",        "0/0 ",        "0 /0",  "0//0", "0/0/0",
        "x/0", "0/g", "-1/0", "+1/0", "0x1/0", "123456789/0", "0/123456789", "0/0\n", "0.0",  "000000000/0"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        lsn_t lsn = 42;
        assert_false(lsn_parse(bad[i], &lsn));
        assert_int_equal(lsn, 42); /* untouched */
    }
}

static void iso_times(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } times[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {INT64_C(1769862896123456), "2026-01-31T12:34:56.123456Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {PG_EPOCH_US, "2000-01-01T00:00:00.000000Z"},
        {INT64_MAX, "294247-01-10T04:00:54.775807Z"},
        {INT64_MIN, "-290308-12-21T19:59:05.224192Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        char text[ISO_TIME_MAX];
        assert_string_equal(clock_iso(times[i].us, text), times[i].text);
    }
}

static void backoff_grows_to_its_limit(void **state)
{
    for (unsigned attempt = 0; attempt < 200; attempt++) {
        int64_t plain = attempt < 6 ? (int64_t)100000 << attempt : 5000000;
        plain = plain < 5000000 ? plain : 5000000;
        int64_t us = clock_backoff_us(attempt, 100, 5000);
        assert_true(us >= plain * 3 / 4 && us <= plain * 5 / 4);
    }
    assert_int_equal(clock_backoff_us(UINT32_MAX, 0, 0), 0);
    assert_true(clock_backoff_us(0, 1000, 10) <= 12500);
}

static void monotonic(void **state)
{
    int64_t last = clock_mono_us();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_us();
        assert_true(now >= last);
        last = now;
    }
    assert_true(clock_wall_us() > PG_EPOCH_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lsn_round_trip),
        cmocka_unit_test(lsn_other_spellings),
        cmocka_unit_test(lsn_strict),
        cmocka_unit_test(iso_times),
        cmocka_unit_test(backoff_grows_to_its_limit),
        cmocka_unit_test(monotonic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
