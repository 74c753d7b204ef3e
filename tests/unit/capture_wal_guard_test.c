/* Levels of retained WAL against capture's limit and the server's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h needs those above */
#include <cmocka.h>

#include "capture/source/wal_guard.h"

static void levels(void **state)
{
    (void)state;
    static const struct {
        int64_t retained, safe, max;
        const char *wal_status;
        enum wal_guard_level want;
    } cases[] = {
        {-1, -1, 100, "", WAL_GUARD_OK},
        {1000, -1, 0, "extended", WAL_GUARD_OK}, /* no limit anywhere */
        {49, -1, 100, "reserved", WAL_GUARD_OK},
        {50, -1, 100, "reserved", WAL_GUARD_WARN},
        {74, -1, 100, "extended", WAL_GUARD_WARN},
        {75, -1, 100, "extended", WAL_GUARD_THROTTLE},
        {99, -1, 100, "extended", WAL_GUARD_THROTTLE},
        {100, -1, 100, "extended", WAL_GUARD_ALERT},
        {INT64_MAX / 2, -1, 100, "extended", WAL_GUARD_ALERT},
        {40, 60, 0, "reserved", WAL_GUARD_OK}, /* the server's: 100 */
        {60, 40, 0, "reserved", WAL_GUARD_WARN},
        {90, 10, 1000, "extended", WAL_GUARD_THROTTLE},
        {100, 0, 1000, "extended", WAL_GUARD_ALERT},
        {60, 1000, 100, "extended", WAL_GUARD_WARN}, /* ours is the smaller */
        {1, -1, 100, "unreserved", WAL_GUARD_ALERT},
        {-1, -1, 0, "lost", WAL_GUARD_ALERT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cap_slot_wal wal = {cases[i].retained, cases[i].safe, cases[i].wal_status};
        if (cap_wal_guard_level(&wal, cases[i].max) != cases[i].want)
            fail_msg("case %zu: level %s", i, wal_guard_level_name(cap_wal_guard_level(&wal, cases[i].max)));
    }
}

static void status_holds_what_was_found(void **state)
{
    (void)state;
    struct role_status status = {.role = "capture"};
    struct cap_slot_wal wal = {.retained_bytes = 80, .safe_bytes = 20, .state = "extended"};
    cap_wal_guard(&wal, 0, "s", &status);
    assert_int_equal(status.wal_guard, WAL_GUARD_THROTTLE);
    assert_int_equal(status.retained_wal_bytes, 80);
    assert_int_equal(status.safe_wal_bytes, 20);
    assert_int_equal(status.max_retained_wal_bytes, 100);
    assert_string_equal(status.wal_status, "extended");
    wal = (struct cap_slot_wal){.retained_bytes = 1, .safe_bytes = 99, .state = "reserved"};
    cap_wal_guard(&wal, 0, "s", &status);
    assert_int_equal(status.wal_guard, WAL_GUARD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(status_holds_what_was_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
