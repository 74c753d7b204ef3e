/* How far the journal reached: from the last fence that lists all partitions on, the last offset of each counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "change/fence.h"
#include "compare/journal_reach.h"
#include "core/alloc.h"

static void add(struct reach_walk *walk, uint64_t id, bool full, size_t count,
                const struct fence_range *ranges)
{
    struct fence fence = {.id = id, .full = full, .range_count = count};
    fence.ranges = xcalloc(count + 1, sizeof *fence.ranges);
    for (size_t i = 0; i < count; i++) {
        fence.ranges[i] = ranges[i];
        fence.ranges[i].stream = xstrdup(ranges[i].stream);
    }
    reach_walk_add(walk, &fence);
    fence_release(&fence);
}

static void release(struct journal_reach *reach)
{
    for (size_t i = 0; i < reach->part_count; i++)
        free(reach->parts[i].topic);
    free(reach->parts);
}

static void the_last_of_each_partition_counts(void **state)
{
    struct reach_walk walk = {0};
    struct journal_reach reach = {0};
    add(&walk, 99, false, 1, &(struct fence_range){"gone", 0, 0, 900});
    assert_false(walk.whole); /* what was not touched since is not known yet */
    add(&walk, 100, true, 4,
        (struct fence_range[]){{"a", 0, 5, 10}, {"a", 1, 7, 7}, {"b", 0, 40, 40}, {"c", 0, 0, 1}});
    add(&walk, 101, false, 2, (struct fence_range[]){{"a", 1, 7, 9}, {"new", 3, 0, 2}});
    add(&walk, 102, false, 0, NULL);
    add(&walk, 103, false, 1, &(struct fence_range){"a", 1, 9, 12});
    assert_true(walk.whole);
    assert_int_equal(walk.last_id, 103);
    reach_walk_end(&walk, &reach);
    assert_int_equal(reach.topic_count, 4);
    static const struct {
        const char *topic;
        int32_t partition;
        uint64_t next;
    } expected[] = {{"b", 0, 40}, {"a", 1, 12}, {"a", 0, 10}, {"new", 3, 2}, {"c", 0, 1}};
    assert_int_equal(reach.part_count, ARRAY_LEN(expected));
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_string_equal(reach.parts[i].topic, expected[i].topic);
        assert_int_equal(reach.parts[i].partition, expected[i].partition);
        assert_int_equal(reach.parts[i].next_offset, expected[i].next);
    }
    release(&reach);
}

static void a_later_full_fence_forgets_the_earlier(void **state)
{
    struct reach_walk walk = {0};
    struct journal_reach reach = {0};
    add(&walk, 100, true, 1, &(struct fence_range){"of another attempt", 0, 0, 3});
    add(&walk, 200, true, 1, &(struct fence_range){"a", 0, 3, 4});
    reach_walk_end(&walk, &reach);
    assert_int_equal(reach.part_count, 1);
    assert_string_equal(reach.parts[0].topic, "a");
    release(&reach);
}

#define PARTITIONS 30000 /* 10,000 tables of three */

/* A hundred fences that touch everything take room for two. */
static void memory_is_that_of_the_partitions(void **state)
{
    struct reach_walk walk = {0};
    struct journal_reach reach = {0};
    static struct fence_range ranges[PARTITIONS];
    static char names[PARTITIONS / 3][24];
    for (size_t i = 0; i < PARTITIONS; i++) {
        (void)snprintf(names[i / 3], sizeof names[0], "shop.public.t%zu", i / 3);
        ranges[i] = (struct fence_range){names[i / 3], (int32_t)(i % 3), 0, 0};
    }
    for (uint64_t id = 100; id < 200; id++) {
        for (size_t i = 0; i < PARTITIONS; i++)
            ranges[i].next_offset = id * PARTITIONS + i;
        add(&walk, id, id == 100, PARTITIONS, ranges);
        assert_in_range(walk.room, 0, 2 * PARTITIONS + 8192);
    }
    reach_walk_end(&walk, &reach);
    assert_int_equal(reach.part_count, PARTITIONS);
    assert_int_equal(reach.topic_count, PARTITIONS / 3);
    assert_int_equal(reach.parts[0].next_offset, 199 * PARTITIONS + PARTITIONS - 1);
    assert_int_equal(reach.parts[PARTITIONS - 1].next_offset, 199 * PARTITIONS);
    release(&reach);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_of_each_partition_counts),
        cmocka_unit_test(a_later_full_fence_forgets_the_earlier),
        cmocka_unit_test(memory_is_that_of_the_partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
