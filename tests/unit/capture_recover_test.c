/* Does the source still belong to the journal? And how big is a chunk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "capture/source/recover.h"

static struct cap_position at(uint64_t system_id, uint32_t timeline, lsn_t lsn, bool complete)
{
    return (struct cap_position){.any = true,
                                 .complete = complete,
                                 .lsn = lsn,
                                 .base = {.system_id = system_id, .timeline = timeline}};
}

static bool fits(struct cap_position pos, uint64_t system_id, uint32_t timeline, lsn_t wal_lsn,
                 const struct repl_timeline *history, size_t count)
{
    struct repl_identity now = {system_id, timeline, wal_lsn};
    struct err err = ERR_INIT;
    bool ok = cap_identity_fits(&pos, &now, history, count, &err);
    assert_int_equal(ok ? ERR_NONE : ERR_IDENTITY, err.code);
    return ok;
}

static void same_server(void **state)
{
    (void)state;
    assert_true(fits((struct cap_position){0}, 1, 1, 10, NULL, 0)); /* nothing in the journal yet */
    assert_true(fits(at(1, 1, 100, true), 1, 1, 100, NULL, 0));
    assert_false(fits(at(1, 1, 100, true), 2, 1, 100, NULL, 0));
    assert_false(fits(at(1, 1, 100, true), 1, 1, 99, NULL, 0)); /* an earlier backup */
    assert_true(fits(at(1, 1, 100, false), 1, 1, 99, NULL, 0)); /* no complete copy: it starts over anyway */
    assert_false(fits(at(1, 1, 100, false), 2, 1, 200, NULL, 0));
}

static void forks(void **state)
{
    (void)state;
    const struct repl_timeline history[] = {{1, 80}, {2, 150}};
    assert_true(fits(at(1, 2, 150, true), 1, 3, 400, history, 2));
    assert_false(
        fits(at(1, 2, 151, true), 1, 3, 400, history, 2)); /* promoted before it had our last fence */
    assert_true(fits(at(1, 1, 80, true), 1, 3, 400, history, 2));
    assert_false(fits(at(1, 1, 81, true), 1, 3, 400, history, 2));
    assert_false(fits(at(1, 7, 10, true), 1, 3, 400, history, 2)); /* not an ancestor */
    assert_false(fits(at(1, 4, 10, true), 1, 3, 400, history, 2)); /* back to an older timeline */
    assert_false(fits(at(1, 2, 150, true), 1, 3, 149, history, 2));
}

static bool history_fits(lsn_t from_lsn, uint64_t commits, int64_t last_us)
{
    struct cap_past_fence past[] = {{100, 0}, {200, 3}, {300, 0}, {400, 1}, {500, 0}};
    struct cap_position pos = at(1, 1, 500, true);
    struct err err = ERR_INIT;
    pos.past = past;
    pos.past_count = 5;
    pos.commit_time_us = 77;
    return cap_check_history(&pos, from_lsn, commits, last_us, &err);
}

static void the_history_behind_the_slot(void **state)
{
    (void)state;
    assert_true(history_fits(500, 0, 0));
    assert_true(history_fits(300, 1, 77));
    assert_false(history_fits(300, 1, 78)); /* another transaction */
    assert_false(history_fits(300, 0, 0));  /* the one at 400 is missing */
    assert_true(history_fits(400, 0, 0));
    assert_false(history_fits(400, 1, 78)); /* one that the journal does not know */
    assert_true(history_fits(350, 0, 0));   /* where in its fence that transaction was, nobody knows */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_server), cmocka_unit_test(forks),
                                       cmocka_unit_test(the_history_behind_the_slot)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
