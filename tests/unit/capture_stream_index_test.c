/* Places are given in the order of meeting, and found again however many there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "capture/publish/stream_index.h"

#define STREAMS 20000

static void test_places(void **state)
{
    (void)state;
    struct stream_index *index = stream_index_new();
    bool is_new = false;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < STREAMS; i++) {
            char name[32];
            (void)snprintf(name, sizeof name, "shop.public.t%zu", i / 2);
            assert_int_equal(stream_index_at(index, name, (int32_t)(i % 2) * 7, &is_new), i);
            assert_int_equal(is_new, round == 0);
        }
    }
    assert_int_equal(stream_index_at(index, "shop.public.t0", 3, &is_new), STREAMS);
    assert_true(is_new);
    stream_index_free(index);
    stream_index_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
