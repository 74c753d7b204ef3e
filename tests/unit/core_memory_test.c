/* What was freed in small pieces goes back to the system, although something lies behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/memory.h"

#define PIECES      ((size_t)64 * 1024)
#define PIECE_BYTES ((size_t)1024)
#define THREADS     ((size_t)4)
#define MIB         ((uint64_t)1 << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 1 /* the sanitizer's, which has a quarantine and no malloc_trim() */
#else
#define OWN_ALLOCATOR 0
#endif

static void what_is_freed_is_given_back(void **state)
{
    (void)state;
    if (OWN_ALLOCATOR)
        skip();
    char **pieces = xcalloc(PIECES, sizeof *pieces);
    for (size_t i = 0; i < PIECES; i++)
        pieces[i] = memset(xmalloc(PIECE_BYTES), 1, PIECE_BYTES);
    uint64_t full_bytes = memory_anon_bytes();
    for (size_t i = 0; i + 1 < PIECES; i++)
        free(pieces[i]);
    assert_true(memory_anon_bytes() + MIB > full_bytes); /* the allocator keeps it */
    memory_tidy();
    assert_true(memory_anon_bytes() + 50 * MIB < full_bytes);
    free(pieces[PIECES - 1]);
    free(pieces);
}

/* 16 MiB, while all others do the same, so that each has an arena of its own. */
static void *take_and_free(void *arg)
{
    pthread_barrier_t *all = arg;
    char **pieces = xcalloc(PIECES / THREADS, sizeof *pieces);
    for (size_t i = 0; i < PIECES / THREADS; i++)
        pieces[i] = memset(xmalloc(PIECE_BYTES), 1, PIECE_BYTES);
    (void)pthread_barrier_wait(all);
    for (size_t i = PIECES / THREADS; i-- > 0;)
        free(pieces[i]);
    free(pieces);
    (void)pthread_barrier_wait(all);
    return NULL;
}

/* Nobody has to tidy for that. */
static void threads_keep_little(void **state)
{
    (void)state;
    if (OWN_ALLOCATOR)
        skip();
    pthread_barrier_t all;
    pthread_t threads[THREADS];
    char *volatile large = xmalloc(20 * MIB); /* freed, it would let each arena keep 40 */
    free(large);
    uint64_t before_bytes = memory_anon_bytes();
    assert_int_equal(pthread_barrier_init(&all, NULL, THREADS), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_free, &all), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&all);
    assert_true(memory_anon_bytes() < before_bytes + 16 * MIB);
}

static void is_known(void **state)
{
    (void)state;
    assert_true(memory_anon_bytes() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_keep_little), /* first: the next one leaves holes in the main arena */
        cmocka_unit_test(what_is_freed_is_given_back),
        cmocka_unit_test(is_known),
    };
    memory_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
