/* Which positions of apply's shards let a direct load begin (target/loader_impl.h), and whose table is whose. */
#include "target/loader_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const struct loader third = {.attempt = 3, .source_system_id = 9, .begin_lsn = 100};

#define AT(name, number, at)                                                                                 \
    {                                                                                                        \
        .shard = name, .attempt = number, .source_system_id = 9, .lsn = at                                   \
    }

static bool ready(const struct loader_place *places, size_t count, unsigned *ret_shards)
{
    struct err err = ERR_INIT;
    bool is = false;
    if (!loader_places_ready(&third, places, count, ret_shards, &is, &err))
        fail_msg("%s", err.text);
    return is;
}

static void one_process(void **state)
{
    unsigned shards;
    (void)state;
    assert_false(ready(NULL, 0, &shards));
    assert_true(ready(&(struct loader_place)AT("1/1", 3, 100), 1, &shards));
    assert_int_equal(shards, 1);
    assert_false(ready(&(struct loader_place)AT("1/1", 2, 90), 1, &shards));
    assert_false(ready(&(struct loader_place)AT("1/1", 3, 99), 1, &shards)); /* of another journal */
    assert_false(ready(&(struct loader_place)AT("1/1", 7, 99), 1, &shards)); /* likewise */
}

static void all_shards_of_one_layout(void **state)
{
    unsigned shards;
    const struct loader_place all[] = {AT("1/3", 3, 100), AT("2/3", 3, 120), AT("3/3", 3, 100)};
    const struct loader_place late[] = {AT("1/2", 3, 100), AT("2/2", 2, 120)};
    const struct loader_place mixed[] = {AT("1/2", 3, 100), AT("2/3", 3, 100)};
    (void)state;
    assert_true(ready(all, 3, &shards));
    assert_int_equal(shards, 3);
    assert_false(ready(all, 2, &shards));
    assert_false(ready(late, 2, &shards));
    assert_false(ready(mixed, 2, &shards));
}

static void a_later_attempt_takes_over(void **state)
{
    const struct loader_place places[] = {AT("1/2", 3, 100), AT("2/2", 4, 130)};
    struct err err = ERR_INIT;
    bool is = false;
    unsigned shards;
    (void)state;
    assert_false(loader_places_ready(&third, places, 2, &shards, &is, &err));
    assert_int_equal(err.code, ERR_FENCED);
}

/* One that apply refuses, too: neither is it waited for, nor is anything of it touched. */
static void another_source_is_refused(void **state)
{
    const struct loader_place places[] = {AT("1/2", 3, 100),
                                          {.shard = "2/2", .attempt = 3, .source_system_id = 8, .lsn = 100}};
    const struct loader unknown = {.attempt = 3, .begin_lsn = 100};
    struct err err = ERR_INIT;
    bool is = false;
    unsigned shards;
    (void)state;
    assert_false(loader_places_ready(&third, places, 2, &shards, &is, &err));
    assert_int_equal(err.code, ERR_IDENTITY);
    assert_true(loader_places_ready(&unknown, places, 2, &shards, &is, &err));
    assert_true(is);
}

/* Apply waits until all is loaded: a complete copy was filled from another journal of the same source. */
static void a_complete_copy_is_not_taken(void **state)
{
    const struct loader_place places[] = {
        AT("1/2", 3, 100),
        {.shard = "2/2", .attempt = 3, .source_system_id = 9, .lsn = 100, .complete = true}};
    unsigned shards;
    (void)state;
    assert_false(ready(places, 2, &shards));
    assert_false(ready(places + 1, 1, &shards));
}

/* The hash is written into targets: it stays. */
static void tables_keep_their_shards(void **state)
{
    char shard[32];
    unsigned counts[4] = {0};
    (void)state;
    for (int i = 0; i < 300; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "t%d", i);
        unsigned number = target_shard_of(3, "public", name);
        assert_in_range(number, 1, 3);
        counts[number]++;
    }
    for (unsigned i = 1; i <= 3; i++)
        assert_in_range(counts[i], 60, 140);
    loader_shard_of(1, "public", "t", shard);
    assert_string_equal(shard, "1/1");
    assert_int_equal(target_shards_in("2/7"), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_process),
        cmocka_unit_test(all_shards_of_one_layout),
        cmocka_unit_test(a_later_attempt_takes_over),
        cmocka_unit_test(another_source_is_refused),
        cmocka_unit_test(a_complete_copy_is_not_taken),
        cmocka_unit_test(tables_keep_their_shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
