/* Arenas: aligned, disjoint, bounded, reusable after a clear; in a file when they are told so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/temp_file.h"

static void aligned_and_disjoint(void **state)
{
    struct arena a;
    arena_init(&a, 1024, 1 << 20);
    unsigned char *given[300];
    for (size_t i = 0; i < 300; i++) {
        given[i] = arena_alloc(&a, i);
        assert_non_null(given[i]);
        assert_int_equal((uintptr_t)given[i] % 8, 0);
        memset(given[i], (int)(i & 0xff), i);
    }
    for (size_t i = 0; i < 300; i++) {
        for (size_t b = 0; b < i; b++)
            assert_int_equal(given[i][b], i & 0xff);
    }
    arena_release(&a);
    assert_int_equal(a.reserved_bytes, 0);
    assert_int_equal(a.used_bytes, 0);
}

static void larger_than_a_block(void **state)
{
    struct arena a;
    arena_init(&a, 256, 1 << 20);
    char *big = arena_alloc(&a, 100000);
    assert_non_null(big);
    memset(big, 1, 100000);
    assert_non_null(arena_alloc(&a, 8));
    arena_release(&a);
}

static void never_beyond_its_maximum(void **state)
{
    for (size_t piece = 1; piece < 5000; piece = piece * 3 + 1) {
        struct arena a;
        arena_init(&a, 1000, 10000);
        size_t got = 0;
        while (arena_alloc(&a, piece) != NULL)
            got++;
        assert_true(a.reserved_bytes <= a.max_bytes);
        /* A block's end and the rounding to 8 are all that is lost. */
        assert_true(got * ((piece + 7) & ~(size_t)7) + 10000 / 1000 * piece + piece + 8 >= 10000 / 2);
        arena_release(&a);
    }
}

static void refuses_without_harm(void **state)
{
    struct arena a;
    arena_init(&a, 256, 1000);
    assert_null(arena_alloc(&a, 1001));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 15));
    assert_null(arena_copy(&a, "x", SIZE_MAX));
    assert_null(arena_copy(&a, "x", SIZE_MAX - 1));
    assert_non_null(arena_alloc(&a, 900)); /* goes on after a refusal */
    assert_non_null(arena_alloc(&a, 0));
    arena_release(&a);
}

static void clear_keeps_the_largest_block(void **state)
{
    struct arena a;
    arena_init(&a, 256, 1 << 20);
    static const size_t sizes[] = {100, 5000, 300, 9000, 50, 700};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char *p = arena_alloc(&a, sizes[i]);
            assert_non_null(p);
            memset(p, round, sizes[i]);
        }
        arena_clear(&a);
        assert_int_equal(a.used_bytes, 0);
        assert_in_range(a.reserved_bytes, 9000, 9008);
    }
    size_t before = a.reserved_bytes;
    assert_non_null(arena_alloc(&a, 8000));
    assert_int_equal(a.reserved_bytes, before);
    arena_release(&a);
    arena_clear(&a); /* on an empty one */
    arena_release(&a);
}

static void copies_end_with_nul(void **state)
{
    struct arena a;
    arena_init(&a, 256, 10000);
    char text[] = "a\0b";
    char *copy = arena_copy(&a, text, 3);
    text[0] = 'x';
    assert_memory_equal(copy, "a\0b", 4);
    assert_string_equal(arena_copy(&a, NULL, 0), "");
    arena_release(&a);
}

static void goes_on_in_a_file(void **state)
{
    struct arena a;
    struct err err = ERR_INIT;
    int fd = -1;
    arena_init(&a, 256, 1000);
    assert_true(temp_file_open(&fd, &err));
    char *before = arena_copy(&a, "before", 6);
    arena_overflow(&a, fd);
    uint32_t *places[300];
    for (uint32_t i = 0; i < 300; i++) { /* 30 MB, more than its maximum and than a block */
        places[i] = arena_alloc(&a, 100000);
        assert_non_null(places[i]);
        assert_int_equal((uintptr_t)places[i] % 8, 0);
        for (uint32_t k = 0; k < 25000; k++)
            places[i][k] = i ^ k;
    }
    char *large = arena_alloc(&a, 40 << 20);
    assert_non_null(large);
    memset(large, 1, 40 << 20);
    for (uint32_t i = 0; i < 300; i++) {
        for (uint32_t k = 0; k < 25000; k++)
            assert_int_equal(places[i][k], i ^ k);
    }
    assert_string_equal(before, "before");
    assert_true(a.reserved_bytes <= 1000);
    arena_clear(&a);
    assert_int_equal(a.used_bytes, 0);
    assert_null(arena_alloc(&a, 2000)); /* in memory again */
    arena_release(&a);
    (void)close(fd);
}

/* (A limit on file sizes stands for a full disk.) */
static void tells_that_the_file_cannot_grow(void **state)
{
    struct arena a;
    struct err err = ERR_INIT;
    int fd = -1;
    struct rlimit was, low = {.rlim_cur = 20 << 20};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    low.rlim_max = was.rlim_max;
    assert_true(temp_file_open(&fd, &err));
    arena_init(&a, 256, 1000);
    arena_overflow(&a, fd);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_non_null(arena_alloc(&a, 10 << 20));
    errno = 0;
    assert_null(arena_alloc(&a, 10 << 20));
    assert_int_equal(errno, EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    arena_release(&a);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned_and_disjoint),
        cmocka_unit_test(larger_than_a_block),
        cmocka_unit_test(never_beyond_its_maximum),
        cmocka_unit_test(refuses_without_harm),
        cmocka_unit_test(clear_keeps_the_largest_block),
        cmocka_unit_test(copies_end_with_nul),
        cmocka_unit_test(goes_on_in_a_file),
        cmocka_unit_test(tells_that_the_file_cannot_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
