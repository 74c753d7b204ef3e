/* Batches: where transactions end in them, how a cut falls between two, and that a spill gives back what it
 * took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "capture/publish/batch.h"
#include "capture/spill/spill.h"

static void add(struct cap_batch *b, const char *value, lsn_t commit_lsn)
{
    struct cap_record *r = cap_batch_add(b, 3);
    r->value_at = (uint32_t)b->bytes.len;
    strbuf_adds(&b->bytes, value);
    r->value_len = (uint32_t)strlen(value);
    b->changes++;
    b->tail_commit_lsn = commit_lsn;
}

static void end(struct cap_batch *b, lsn_t commit_lsn)
{
    cap_batch_end_transaction(b, commit_lsn, commit_lsn + 8, 1, NULL);
}

static const struct fence_marker compare = {.kind = MARKER_COMPARE, .nonce = "n"};

/* Transactions at 100 (2 records), 200 (none), 300 (1 record), and a tail of 400. */
static struct cap_batch *sample(void)
{
    struct cap_batch *b = cap_batch_new();
    add(b, "a", 100);
    add(b, "bb", 100);
    end(b, 100);
    end(b, 200);
    add(b, "ccc", 300);
    end(b, 300);
    add(b, "tail", 400);
    return b;
}

static void check_cut(lsn_t cut_lsn, bool last, bool expected, size_t at, uint32_t record_end)
{
    struct cap_batch *b = sample();
    assert_int_equal(cap_batch_cut(b, cut_lsn, &compare, 55, last), expected);
    assert_int_equal(b->bound_count, expected ? 4 : 3);
    if (expected) {
        const struct cap_boundary *cut = &b->bounds[at];
        assert_true(cut->synthetic);
        assert_int_equal(cut->commit_end_lsn, cut_lsn);
        assert_int_equal(cut->record_end, record_end);
        assert_int_equal(cut->commit_time_us, at > 0 ? 1 : 55);
        assert_int_equal(b->markers[cut->marker - 1].kind, MARKER_COMPARE);
    }
    for (size_t i = 1; i < b->bound_count; i++)
        assert_true(b->bounds[i - 1].record_end <= b->bounds[i].record_end);
    cap_batch_free(b);
}

static void a_cut_falls_between_transactions(void **state)
{
    (void)state;
    check_cut(50, false, true, 0, 0);
    check_cut(100, false, true, 0, 0); /* what commits at the cut itself is behind it */
    check_cut(108, false, true, 1, 2);
    check_cut(208, false, true, 2, 2);
    check_cut(308, false, true, 3, 3); /* the tail's transaction is behind it */
    check_cut(400, false, true, 3, 3);
    check_cut(401, false, false, 0, 0); /* the tail's transaction is before it: a later batch knows more */
}

static void a_cut_at_the_very_end(void **state)
{
    (void)state;
    struct cap_batch *b = sample();
    end(b, 400);
    assert_false(cap_batch_cut(b, 500, &compare, 55, false));
    assert_true(cap_batch_cut(b, 500, &compare, 55, true));
    assert_int_equal(b->bounds[4].record_end, 4);
    cap_batch_free(b);
    b = cap_batch_new(); /* nothing at all was held but the hold's own end */
    end(b, 10);
    assert_true(cap_batch_cut(b, 20, &compare, 55, true));
    assert_int_equal(b->bounds[1].commit_end_lsn, 20);
    cap_batch_free(b);
}

static void the_tail_can_be_dropped(void **state)
{
    (void)state;
    struct cap_batch *b = sample();
    assert_int_equal(cap_batch_tail(b), 1);
    cap_batch_drop_tail(b);
    assert_int_equal(b->record_count, 3);
    assert_int_equal(b->changes, 3);
    assert_int_equal(cap_batch_tail(b), 0);
    cap_batch_free(b);
}

static void spilled_batches_come_back_in_order(void **state)
{
    (void)state;
    char dir[] = "/tmp/crossfade-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct err err = ERR_INIT;
    size_t one = 0;
    struct cap_spill *s = NULL;
    for (int round = 0; round < 2; round++) { /* the second fills a file that was emptied */
        for (int i = 0; i < 20; i++) {
            struct cap_batch *b = sample(), *emptied = NULL;
            char text[16];
            (void)snprintf(text, sizeof text, "n%d", i);
            add(b, text, 400);
            cap_batch_end_transaction(b, 400, 408, 9, &compare);
            if (one == 0) {
                one = cap_batch_size(b);
                s = cap_spill_new(dir, true, 3 * one + one / 2);
            }
            assert_true(cap_spill_push(s, b, &emptied, &err));
            assert_int_equal(emptied != NULL, i >= 3);
            cap_batch_free(emptied);
        }
        assert_int_equal(cap_spill_count(s), 20);
        for (int i = 0; i < 20; i++) {
            struct cap_batch *b = NULL;
            char text[16];
            (void)snprintf(text, sizeof text, "n%d", i);
            assert_true(cap_spill_pop(s, &b, &err));
            const struct cap_record *r = &b->records[4];
            assert_int_equal(b->record_count, 5);
            assert_int_equal(b->changes, 5);
            assert_int_equal(r->stream, 3);
            assert_int_equal(r->key_len, CAP_NONE);
            assert_int_equal(r->value_len, strlen(text));
            assert_memory_equal(b->bytes.data + r->value_at, text, r->value_len);
            assert_int_equal(b->bound_count, 4);
            assert_int_equal(b->bounds[3].marker, 1);
            assert_string_equal(b->markers[0].nonce, "n");
            add(b, "goes on", 500); /* what comes back can be filled further */
            end(b, 500);
            cap_batch_free(b);
        }
        struct cap_batch *none = NULL;
        assert_true(cap_spill_pop(s, &none, &err));
        assert_null(none);
    }
    cap_spill_free(s);
    assert_int_equal(rmdir(dir), 0); /* no file is left */
}

static void a_spill_without_folder_fails(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct cap_spill *s = cap_spill_new("/nonexistent", true, 1);
    struct cap_batch *b = sample(), *emptied = NULL;
    assert_false(cap_spill_push(s, b, &emptied, &err));
    assert_int_equal(err.code, ERR_IO);
    cap_batch_free(b);
    cap_spill_free(s);
}

static void a_new_shape_parts_what_ended_before_it(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct cap_batch *b = sample(), *emptied = NULL, *again = NULL;
    cap_batch_part_here(b);
    assert_true(b->bounds[2].fence);
    assert_false(b->fence_first);
    assert_true(cap_batch_add_shape(b, "{}", &err));
    assert_int_equal(b->records[4].stream, CAP_STREAM_SHAPES);
    uint64_t changes = b->changes;
    cap_batch_drop_tail(b);
    assert_int_equal(b->changes, changes - 2);
    cap_batch_clear(b);
    cap_batch_part_here(b);
    assert_true(b->fence_first);
    add(b, "x", 500);
    struct cap_spill *s = cap_spill_new("/tmp", false, 0);
    assert_true(cap_spill_push(s, b, &emptied, &err));
    assert_ptr_equal(emptied, b);
    assert_false(b->fence_first);
    assert_true(cap_spill_pop(s, &again, &err));
    assert_true(again->fence_first);
    cap_batch_free(again);
    cap_batch_free(b);
    cap_spill_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_falls_between_transactions),
        cmocka_unit_test(a_cut_at_the_very_end),
        cmocka_unit_test(the_tail_can_be_dropped),
        cmocka_unit_test(spilled_batches_come_back_in_order),
        cmocka_unit_test(a_spill_without_folder_fails),
        cmocka_unit_test(a_new_shape_parts_what_ended_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
