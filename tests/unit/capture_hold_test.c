/* Holds: what each sequence of commits makes capture do, and that a restart from any fence decides the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "capture/stream/hold.h"

#define SECOND INT64_C(1000000)

static struct cap_commit plain(lsn_t lsn, int64_t time_us)
{
    return (struct cap_commit){.commit_lsn = lsn, .commit_end_lsn = lsn + 8, .commit_time_us = time_us};
}

static struct cap_commit marked(lsn_t lsn, int64_t time_us, enum marker_kind kind, const char *nonce,
                                lsn_t cut_lsn, int64_t deadline_ms)
{
    struct cap_commit c = plain(lsn, time_us);
    c.marker = (struct cap_marker){.kind = kind, .cut_lsn = cut_lsn, .deadline_ms = deadline_ms};
    strcpy(c.marker.nonce, nonce);
    return c;
}

static struct cap_hold_step step(struct cap_hold *hold, struct cap_commit c)
{
    return cap_hold_commit(hold, &c);
}

static void a_cut_answers_its_hold(void **state)
{
    (void)state;
    struct cap_hold hold = {0};
    struct cap_hold_step s = step(&hold, marked(100, 0, MARKER_HOLD, "n1", 0, 5000));
    assert_true(s.hold && hold.active && !s.release);
    assert_int_equal(s.marker.kind, MARKER_NONE); /* a hold never becomes a fence */
    s = step(&hold, plain(200, SECOND));
    assert_true(hold.active && !s.release && !s.hold);
    s = step(&hold, marked(300, 2 * SECOND, MARKER_COMPARE, "n1", 250, 0));
    assert_true(s.release && s.cut && !hold.active);
    assert_int_equal(s.cut_lsn, 250);
    assert_int_equal(s.cut_marker.kind, MARKER_COMPARE);
    assert_string_equal(s.cut_marker.nonce, "n1");
    assert_int_equal(s.cut_marker.deadline_ms, 5000);
    assert_int_equal(s.marker.kind, MARKER_NONE);
}

static void a_hold_lapses_by_commit_time(void **state)
{
    (void)state;
    struct cap_hold hold = {0};
    step(&hold, marked(100, 10 * SECOND, MARKER_HOLD, "n1", 0, 1000));
    assert_false(step(&hold, plain(200, 11 * SECOND)).release); /* exactly at the deadline: not later */
    struct cap_hold_step s = step(&hold, plain(300, 11 * SECOND + 1));
    assert_true(s.release && s.lapsed && !s.cut && !hold.active);
    s = step(&hold, marked(400, 12 * SECOND, MARKER_COMPARE, "n1", 350, 0));
    assert_false(s.release || s.cut);
    assert_int_equal(s.marker.kind, MARKER_REFUSED);
    assert_string_equal(s.marker.nonce, "n1");
}

static void a_late_cut_lapses_and_is_refused(void **state)
{
    (void)state;
    struct cap_hold hold = {0};
    step(&hold, marked(100, 0, MARKER_HOLD, "n1", 0, 1000));
    struct cap_hold_step s = step(&hold, marked(300, 5 * SECOND, MARKER_COMPARE, "n1", 250, 0));
    assert_true(s.release && s.lapsed && !s.cut);
    assert_int_equal(s.marker.kind, MARKER_REFUSED);
}

static void a_cut_without_hold_is_refused(void **state)
{
    (void)state;
    struct cap_hold hold = {0};
    assert_int_equal(step(&hold, marked(100, 0, MARKER_COMPARE, "x", 50, 0)).marker.kind, MARKER_REFUSED);
    step(&hold, marked(200, 0, MARKER_HOLD, "n1", 0, 5000));
    struct cap_hold_step s = step(&hold, marked(300, 0, MARKER_COMPARE, "other", 250, 0));
    assert_int_equal(s.marker.kind, MARKER_REFUSED);
    assert_true(hold.active && !s.release); /* the hold that is on stays */
}

static void a_cut_outside_of_its_hold_is_refused(void **state)
{
    (void)state;
    lsn_t bad[] = {0, 50, 107, 301};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cap_hold hold = {0};
        step(&hold, marked(100, 0, MARKER_HOLD, "n1", 0, 5000));
        struct cap_hold_step s = step(&hold, marked(300, 0, MARKER_COMPARE, "n1", bad[i], 0));
        assert_int_equal(s.marker.kind, MARKER_REFUSED);
        assert_true(s.release && !s.cut && !hold.active);
    }
}

static void a_new_hold_replaces_an_older_one(void **state)
{
    (void)state;
    struct cap_hold hold = {0};
    step(&hold, marked(100, 0, MARKER_HOLD, "n1", 0, 5000));
    struct cap_hold_step s = step(&hold, marked(200, 0, MARKER_HOLD, "n2", 0, 5000));
    assert_true(s.release && s.hold && hold.active);
    assert_int_equal(step(&hold, marked(300, 0, MARKER_COMPARE, "n1", 250, 0)).marker.kind, MARKER_REFUSED);
    assert_true(step(&hold, marked(400, 0, MARKER_COMPARE, "n2", 350, 0)).cut);
}

static void a_hold_after_a_lapsed_one(void **state)
{
    (void)state;
    struct cap_hold hold = {0};
    step(&hold, marked(100, 0, MARKER_HOLD, "n1", 0, 1000));
    struct cap_hold_step s = step(&hold, marked(200, 9 * SECOND, MARKER_HOLD, "n2", 0, 1000));
    assert_true(s.release && s.hold && hold.active);
    assert_string_equal(hold.marker.nonce, "n2");
}

static void an_answered_cut_is_not_answered_again(void **state)
{
    (void)state;
    struct cap_hold hold = {0};
    cap_hold_note_answered(&hold, "n1"); /* the restart began at its fence, behind the hold */
    struct cap_hold_step s = step(&hold, marked(300, 0, MARKER_COMPARE, "n1", 250, 0));
    assert_false(s.release || s.cut || s.hold);
    assert_int_equal(s.marker.kind, MARKER_NONE);
    for (int i = 0; i < 3 * CAP_ANSWERED_MAX; i++)
        cap_hold_note_answered(&hold, "a-nonce-that-is-longer-than-the-forty-characters-of-its-place");
    assert_int_equal(step(&hold, marked(400, 0, MARKER_COMPARE, "n1", 350, 0)).marker.kind, MARKER_REFUSED);
}

static void final_and_ping_ride_on_their_own_fence(void **state)
{
    (void)state;
    struct cap_hold hold = {0};
    assert_int_equal(step(&hold, marked(100, 0, MARKER_FINAL, "f", 0, 0)).marker.kind, MARKER_FINAL);
    step(&hold, marked(200, 0, MARKER_HOLD, "n1", 0, 5000));
    struct cap_hold_step s = step(&hold, marked(300, 0, MARKER_PING, "p", 0, 0));
    assert_int_equal(s.marker.kind, MARKER_PING); /* waits with the rest */
    assert_true(hold.active && !s.release);
}

static void absurd_deadlines_do_not_overflow(void **state)
{
    (void)state;
    struct cap_hold hold = {0};
    step(&hold, marked(100, INT64_C(1) << 60, MARKER_HOLD, "n1", 0, INT64_MAX));
    assert_false(step(&hold, plain(200, (INT64_C(1) << 60) + 1)).release);
    hold = (struct cap_hold){0};
    step(&hold, marked(100, 0, MARKER_HOLD, "n1", 0, -5));
    assert_true(step(&hold, plain(200, 1)).lapsed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_answers_its_hold),
        cmocka_unit_test(a_hold_lapses_by_commit_time),
        cmocka_unit_test(a_late_cut_lapses_and_is_refused),
        cmocka_unit_test(a_cut_without_hold_is_refused),
        cmocka_unit_test(a_cut_outside_of_its_hold_is_refused),
        cmocka_unit_test(a_new_hold_replaces_an_older_one),
        cmocka_unit_test(a_hold_after_a_lapsed_one),
        cmocka_unit_test(an_answered_cut_is_not_answered_again),
        cmocka_unit_test(final_and_ping_ride_on_their_own_fence),
        cmocka_unit_test(absurd_deadlines_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
