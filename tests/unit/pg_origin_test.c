/* Whose a replication origin is, by its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/attr.h"
#include "pg/origin.h"

static void names_of_ours_have_a_pipeline(void **state UNUSED)
{
    char pipeline[40] = "as it was";
    assert_false(pg_origin_pipeline("pg_16391", pipeline, sizeof pipeline));
    assert_false(pg_origin_pipeline("crossfade", pipeline, sizeof pipeline));
    assert_false(pg_origin_pipeline("crossfade_shop", pipeline, sizeof pipeline));
    assert_string_equal(pipeline, "as it was");
    assert_true(pg_origin_pipeline("crossfade:shop:16384:1:0", pipeline, sizeof pipeline));
    assert_string_equal(pipeline, "shop");
    assert_true(pg_origin_pipeline("crossfade:shop", pipeline, sizeof pipeline));
    assert_string_equal(pipeline, "shop");
    char small[3];
    assert_true(pg_origin_pipeline("crossfade:shop:16384:1:0", small, sizeof small));
    assert_string_equal(small, "sh");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_of_ours_have_a_pipeline)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
