/* Which tables foreign keys connect, by what name they count then, and when a layout of shards may be left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "target/layout.h"
#include "target/shard.h"

/* Of two shards: tables in capitals have the second one. */
static unsigned by_case(unsigned count, const char *schema, const char *table)
{
    (void)schema;
    return count < 2 || table[0] >= 'a' ? 1 : 2;
}

static const struct target_options options = {.table_shard = by_case};

static const char *home_of(const struct target_layout *layout, const char *table)
{
    const char *schema = "s";
    target_layout_home(layout, &schema, &table);
    assert_string_equal(schema, "s");
    return table;
}

static void add_edge(struct target_layout *edges, const char *child, const char *parent)
{
    target_layout_add(edges, "s", child, "s", parent);
}

static void test_connected(void **state)
{
    (void)state;
    struct target_layout edges = {0}, homes = {0};
    add_edge(&edges, "d", "c");
    add_edge(&edges, "c", "b");
    add_edge(&edges, "b", "d"); /* a ring */
    add_edge(&edges, "z", "y");
    add_edge(&edges, "x", "y");
    add_edge(&edges, "z", "y"); /* two of the same */
    target_layout_add(&edges, "other", "b", "s", "q");
    target_layout_sort(&edges);
    target_layout_connect(&edges, &homes);
    assert_int_equal(homes.count, 8);
    assert_string_equal(home_of(&homes, "d"), "b");
    assert_string_equal(home_of(&homes, "b"), "b");
    assert_string_equal(home_of(&homes, "z"), "x");
    assert_string_equal(home_of(&homes, "y"), "x");
    assert_string_equal(home_of(&homes, "alone"), "alone");
    const char *schema = "s", *table = "q";
    target_layout_home(&homes, &schema, &table);
    assert_string_equal(schema, "other");
    assert_string_equal(table, "b");
    target_layout_release(&edges);
    target_layout_release(&homes);
}

static void test_torn(void **state)
{
    (void)state;
    struct target_layout none = {0}, edges = {0}, homes = {0};
    add_edge(&edges, "child", "Parent");
    add_edge(&edges, "a", "b");
    const struct target_home *torn = target_layout_torn(&none, &edges, &options, 2);
    assert_non_null(torn);
    assert_string_equal(torn->table, "child");
    assert_null(target_layout_torn(&none, &edges, &options, 1));
    target_layout_connect(&edges, &homes);
    assert_null(target_layout_torn(&homes, &edges, &options, 2));
    assert_int_equal(target_layout_shard(&homes, &options, 2, "s", "child"), 2); /* "Parent" comes first */
    assert_int_equal(target_layout_shard(&homes, &options, 2, "s", "a"), 1);
    target_layout_release(&edges);
    target_layout_release(&homes);
}

static void test_places(void **state)
{
    (void)state;
    const struct target_place same[] = {{"1/2", "7", true}, {"2/2", "7", true}};
    const struct target_place behind[] = {{"1/2", "7", true}, {"2/2", "6", true}};
    const struct target_place pending[] = {{"1/2", "7", true}, {"2/2", "7", false}};
    const struct target_place missing[] = {{"1/3", "7", true}, {"2/3", "7", true}};
    struct err err = ERR_INIT;
    assert_true(target_places_agree(same, 2, "p", "1/3", &err));
    assert_false(target_places_agree(behind, 2, "p", "1/3", &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "1/2 at fence 7, 2/2 at fence 6"));
    assert_false(target_places_agree(pending, 2, "p", "1/3", &err));
    assert_false(target_places_agree(missing, 2, "p", "1/4", &err));
    assert_int_equal(target_shards_in("2/3"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connected),
        cmocka_unit_test(test_torn),
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
