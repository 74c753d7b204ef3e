/* Shapes of tables: what counts as a change, who has a name, what came later. No journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture/ddl/shapes.h"
#include "capture/publish/shape_voids.h"

static struct source_column columns[] = {
    {.name = (char *)"id", .type_oid = 23, .typmod = -1},
    {.name = (char *)"v", .type_oid = 25, .typmod = -1},
    {.name = (char *)"w", .type_oid = 1700, .typmod = 524294},
};
static size_t key[] = {0, 1};

static struct source_table table(uint32_t oid, const char *name, size_t column_count, size_t key_count)
{
    return (struct source_table){.oid = oid,
                                 .schema = (char *)"public",
                                 .name = (char *)(uintptr_t)name,
                                 .columns = columns,
                                 .column_count = column_count,
                                 .key = key,
                                 .key_count = key_count};
}

static void take(struct cap_shapes *shapes, struct source_table t, const char *expected)
{
    struct err err = ERR_INIT;
    char *text = cap_shapes_take(shapes, &t, NULL, NULL, &err);
    assert_non_null(text);
    assert_non_null(strstr(text, expected));
    assert_int_equal(cap_shapes_judge(shapes, &t), SHAPE_SAME);
    free(text);
}

static enum cap_shape_news judge(struct cap_shapes *shapes, struct source_table t)
{
    return cap_shapes_judge(shapes, &t);
}

static void a_change_is_told_from_what_is_the_same(void **state)
{
    (void)state;
    struct cap_shapes *shapes = cap_shapes_new();
    assert_int_equal(judge(shapes, table(1, "t", 2, 1)), SHAPE_FIRST);
    take(shapes, table(1, "t", 2, 1), "\"state\":\"current\"");
    assert_int_equal(judge(shapes, table(1, "t", 3, 1)), SHAPE_CHANGED);
    assert_int_equal(judge(shapes, table(1, "t", 2, 2)), SHAPE_CHANGED);
    assert_int_equal(judge(shapes, table(1, "u", 2, 1)), SHAPE_CHANGED);
    columns[1].typmod = 14;
    assert_int_equal(judge(shapes, table(1, "t", 2, 1)), SHAPE_CHANGED);
    columns[1].typmod = -1;
    columns[1].not_null = true; /* is no shape: the catalog may be ahead */
    assert_int_equal(judge(shapes, table(1, "t", 2, 1)), SHAPE_SAME);
    columns[1].not_null = false;
    cap_shapes_free(shapes);
}

static void columns_that_came_later_are_known(void **state)
{
    (void)state;
    struct cap_shapes *shapes = cap_shapes_new();
    struct source_table t = table(1, "t", 3, 1);
    take(shapes, table(1, "t", 2, 1), "public");
    assert_true(cap_shapes_is_added(shapes, &t, "w"));
    assert_false(cap_shapes_is_added(shapes, &t, "v"));
    take(shapes, t, "\"added\":true");
    assert_true(cap_shapes_is_added(shapes, &t, "w"));
    struct source_table other = table(2, "o", 3, 1);
    assert_false(cap_shapes_is_added(shapes, &other, "w")); /* of a table that nobody knows */
    cap_shapes_free(shapes);
}

static void a_name_belongs_to_one_table(void **state)
{
    (void)state;
    struct cap_shapes *shapes = cap_shapes_new();
    struct err err = ERR_INIT;
    take(shapes, table(1, "t", 2, 1), "");
    take(shapes, table(2, "t_new", 2, 1), "");
    struct source_table swapped = table(2, "t", 2, 1);
    assert_int_equal(judge(shapes, swapped), SHAPE_TAKEN);
    assert_int_equal(judge(shapes, table(3, "t", 2, 1)), SHAPE_TAKEN);
    struct cap_settings settings = {0};
    assert_true(cap_shape_needs_person(&settings, SHAPE_TAKEN));
    assert_false(cap_shape_needs_person(&settings, SHAPE_CHANGED));
    settings.stop_on_ddl = true;
    assert_true(cap_shape_needs_person(&settings, SHAPE_CHANGED));
    assert_false(cap_shape_needs_person(&settings, SHAPE_FIRST));
    assert_false(cap_shape_refuse(shapes, &swapped, SHAPE_TAKEN, "", &err));
    assert_int_equal(err.code, ERR_SCHEMA);
    assert_non_null(strstr(err.text, "accept-ddl --table public.t`"));
    assert_true(cap_shapes_has_halted(shapes));
    take(shapes, swapped, "");
    assert_int_equal(cap_shapes_named(shapes, "public", "t")->oid, 2);
    assert_int_equal(judge(shapes, table(1, "t_old", 2, 1)), SHAPE_CHANGED);
    cap_shapes_free(shapes);
}

static bool is_void(struct shape_voids *voids, const char *state, uint64_t offset, uint64_t writer)
{
    json_t *root = json_pack("{s:n,s:s}", "table_shape", "state", state);
    struct journal_record rec = {.offset = offset, .writer = writer};
    bool found = shape_voids_has(voids, root, &rec);
    json_decref(root);
    return found;
}

/* Without transactions: what lies behind the last fence, or was made void by a capture that found it so. */
static void shapes_without_a_fence_do_not_count(void **state)
{
    (void)state;
    struct shape_voids voids = {.fenced_next = 50};
    char *text = shape_voids_text(20);
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    assert_true(shape_voids_is(root));
    shape_voids_take(&voids, root, &(struct journal_record){.offset = 30});
    json_decref(root);
    assert_false(is_void(&voids, "current", 19, 7));
    assert_true(is_void(&voids, "current", 20, 7));
    assert_true(is_void(&voids, "forgotten", 29, 7));
    assert_false(is_void(&voids, "current", 29, 0)); /* with transactions it is there with its fence */
    assert_false(is_void(&voids, "halted", 29, 7));
    assert_false(is_void(&voids, "accepted", 29, 7));
    assert_false(is_void(&voids, "current", 31, 7));
    assert_false(voids.unfenced);
    assert_false(is_void(&voids, "accepted", 60, 7));
    assert_false(voids.unfenced);
    assert_true(is_void(&voids, "current", 50, 7));
    assert_true(voids.unfenced);
    shape_voids_release(&voids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_without_a_fence_do_not_count),
        cmocka_unit_test(a_change_is_told_from_what_is_the_same),
        cmocka_unit_test(columns_that_came_later_are_known),
        cmocka_unit_test(a_name_belongs_to_one_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
