/* Which transactions a snapshot sees, and whether it sees all that were published. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture/copy/visible.h"

static struct cap_snapshot snapshot(const char *text)
{
    struct cap_snapshot snap = {0};
    struct err err = ERR_INIT;
    assert_true(cap_snapshot_parse(text, &snap, &err));
    return snap;
}

static bool sees(const char *text, uint32_t xid)
{
    struct cap_snapshot snap = snapshot(text);
    bool seen = cap_snapshot_sees(&snap, xid);
    cap_snapshot_release(&snap);
    return seen;
}

static void what_a_snapshot_sees(void **state)
{
    (void)state;
    assert_true(sees("10:20:10,15,17", 9));
    assert_false(sees("10:20:10,15,17", 10));
    assert_true(sees("10:20:10,15,17", 11));
    assert_false(sees("10:20:10,15,17", 17));
    assert_true(sees("10:20:10,15,17", 19));
    assert_false(sees("10:20:10,15,17", 20));
    assert_true(sees("20:20:", 19));
    /* the second epoch, around the end of 32 bits */
    assert_true(sees("4294967290:4294967300:4294967295", UINT32_C(4294967294)));
    assert_false(sees("4294967290:4294967300:4294967295", UINT32_C(4294967295)));
    assert_true(sees("4294967290:4294967300:4294967295", 3));
    assert_false(sees("4294967290:4294967300:4294967298", 2));
    assert_false(sees("4294967290:4294967300:4294967295", 4));
}

static void what_is_no_snapshot(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", ":", "1", "1:", "a:b:", "1:2:x", "1:2:,3", "-1:2:", "1;2:", "1:2:3 4"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct cap_snapshot snap = {0};
        struct err err = ERR_INIT;
        if (cap_snapshot_parse(texts[i], &snap, &err))
            fail_msg("taken: '%s'", texts[i]);
        assert_int_equal(err.code, ERR_PROTOCOL);
    }
}

static bool covers(const struct cap_visible *v, const char *text)
{
    struct cap_snapshot snap = snapshot(text);
    bool all = cap_visible_covers(v, &snap);
    cap_snapshot_release(&snap);
    return all;
}

static void what_was_published_must_be_seen(void **state)
{
    (void)state;
    struct cap_snapshot floor = snapshot("100:105:100,103"); /* 101, 102 and 104 have committed before */
    struct cap_visible *v = cap_visible_new(&floor);
    assert_true(covers(v, "100:105:100,103"));
    assert_true(covers(v, "103:110:103"));
    assert_false(covers(v, "100:110:100,102")); /* committed, but still in the list */
    assert_false(covers(v, "100:104:100,103"));
    cap_visible_note(v, 103);
    assert_false(covers(v, "100:105:100,103"));
    assert_true(covers(v, "100:110:100"));
    cap_visible_note(v, 112);
    assert_false(covers(v, "100:110:100"));
    assert_false(covers(v, "100:115:100,112"));
    assert_true(covers(v, "100:115:100,114"));
    struct cap_snapshot later = snapshot("100:115:100,114");
    cap_visible_settle(v, &later);
    assert_int_equal(cap_visible_noted(v), 0);
    assert_true(covers(v, "100:115:100"));
    assert_false(covers(v, "100:115:100,112"));
    cap_visible_free(v);
}

/* What one snapshot sees all later ones do; what it misses stays asked for. */
static void what_is_seen_is_forgotten(void **state)
{
    (void)state;
    struct cap_snapshot floor = snapshot("100:100:"), now = snapshot("104:110:104,107");
    struct cap_visible *v = cap_visible_new(&floor);
    for (uint32_t xid = 100; xid < 112; xid++)
        cap_visible_note(v, xid);
    cap_visible_forget(v, &now);
    assert_int_equal(cap_visible_noted(v), 4); /* 104, 107, 110, 111 */
    assert_false(covers(v, "104:112:104"));
    assert_false(covers(v, "110:112:110"));
    assert_true(covers(v, "112:112:"));
    cap_snapshot_release(&now);
    cap_visible_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_snapshot_sees), cmocka_unit_test(what_is_no_snapshot),
        cmocka_unit_test(what_was_published_must_be_seen), cmocka_unit_test(what_is_seen_is_forgotten)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
