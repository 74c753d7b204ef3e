/* The bounded queue between threads: order, bounds, closing; nothing lost and nothing twice under contention.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/queue.h"

static int items[100000];

static void in_order_and_bounded(void **state)
{
    struct queue *q = queue_new(3);
    for (int round = 0; round < 10; round++) { /* around its end, again and again */
        assert_true(queue_try_push(q, &items[0]));
        assert_true(queue_push(q, &items[1]));
        assert_true(queue_try_push(q, &items[2]));
        assert_false(queue_try_push(q, &items[3]));
        assert_int_equal(queue_len(q), 3);
        assert_ptr_equal(queue_pop(q, 0), &items[0]);
        assert_true(queue_try_push(q, &items[4]));
        assert_ptr_equal(queue_pop(q, -1), &items[1]);
        assert_ptr_equal(queue_pop(q, 1000), &items[2]);
        assert_ptr_equal(queue_pop(q, 0), &items[4]);
        assert_null(queue_pop(q, 0));
        assert_int_equal(queue_len(q), 0);
    }
    queue_free(q);
    queue_free(NULL);
}

static void waits_no_longer_than_asked(void **state)
{
    struct queue *q = queue_new(1);
    int64_t begin = clock_mono_us();
    assert_null(queue_pop(q, 30));
    assert_true(clock_mono_us() - begin >= 29000);
    queue_free(q);
}

static void closed_gives_what_is_left(void **state)
{
    struct queue *q = queue_new(2);
    assert_true(queue_push(q, &items[0]));
    assert_false(queue_is_closed(q));
    queue_close(q);
    queue_close(q);
    assert_true(queue_is_closed(q));
    assert_false(queue_push(q, &items[1]));
    assert_false(queue_try_push(q, &items[1]));
    assert_ptr_equal(queue_pop(q, -1), &items[0]);
    assert_null(queue_pop(q, -1)); /* does not wait for ever */
    queue_free(q);
}

static void *pop_one(void *q)
{
    return queue_pop(q, -1);
}

static void *push_two(void *q)
{
    return queue_push(q, &items[1]) && queue_push(q, &items[2]) ? &items[0] : NULL;
}

/* Whether the closer comes before or after the waiter sleeps: both end. */
static void closing_wakes_both_sides(void **state)
{
    for (int round = 0; round < 200; round++) {
        struct queue *empty = queue_new(1), *full = queue_new(1);
        assert_true(queue_push(full, &items[0]));
        pthread_t popper, pusher;
        void *popped, *pushed;
        assert_int_equal(pthread_create(&popper, NULL, pop_one, empty), 0);
        assert_int_equal(pthread_create(&pusher, NULL, push_two, full), 0);
        queue_close(empty);
        queue_close(full);
        pthread_join(popper, &popped);
        pthread_join(pusher, &pushed);
        assert_null(popped);
        assert_null(pushed);
        assert_ptr_equal(queue_pop(full, 0), &items[0]);
        queue_free(empty);
        queue_free(full);
    }
}

#define PRODUCERS     3
#define CONSUMERS     3
#define EACH_PRODUCES 20000

struct crew {
    struct queue *q;
    int first;
    size_t got;
};

static void *produce(void *arg)
{
    struct crew *c = arg;
    for (int i = 0; i < EACH_PRODUCES; i++) {
        items[c->first + i] = 0;
        if (!queue_push(c->q, &items[c->first + i]))
            abort();
    }
    return NULL;
}

/* What the producer wrote must be visible: the item is touched without a lock of its own. */
static void *consume(void *arg)
{
    struct crew *c = arg;
    for (int *item; (item = queue_pop(c->q, -1)) != NULL; c->got++)
        ++*item;
    return NULL;
}

static void nothing_lost_nothing_twice(void **state)
{
    for (size_t capacity = 1; capacity <= 64; capacity *= 8) {
        struct queue *q = queue_new(capacity);
        struct crew producers[PRODUCERS], consumers[CONSUMERS];
        pthread_t made[PRODUCERS], taken[CONSUMERS];
        for (int i = 0; i < CONSUMERS; i++) {
            consumers[i] = (struct crew){.q = q};
            assert_int_equal(pthread_create(&taken[i], NULL, consume, &consumers[i]), 0);
        }
        for (int i = 0; i < PRODUCERS; i++) {
            producers[i] = (struct crew){.q = q, .first = i * EACH_PRODUCES};
            assert_int_equal(pthread_create(&made[i], NULL, produce, &producers[i]), 0);
        }
        for (int i = 0; i < PRODUCERS; i++)
            pthread_join(made[i], NULL);
        queue_close(q);
        size_t got = 0;
        for (int i = 0; i < CONSUMERS; i++) {
            pthread_join(taken[i], NULL);
            got += consumers[i].got;
        }
        assert_int_equal(got, PRODUCERS * EACH_PRODUCES);
        for (int i = 0; i < PRODUCERS * EACH_PRODUCES; i++)
            assert_int_equal(items[i], 1);
        queue_free(q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_and_bounded),       cmocka_unit_test(waits_no_longer_than_asked),
        cmocka_unit_test(closed_gives_what_is_left),  cmocka_unit_test(closing_wakes_both_sides),
        cmocka_unit_test(nothing_lost_nothing_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
