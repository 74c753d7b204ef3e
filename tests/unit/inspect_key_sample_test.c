/* The fixed-size set of keys: repetitions are found for exactly the share that it states; and Kafka's murmur2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inspect/hash.h"
#include "inspect/key_sample.h"

static uint64_t hash_of(uint64_t n)
{
    return hash64(&n, sizeof n, 0);
}

static void finds_each_repetition_while_all_fit(void **state)
{
    struct key_sample set;
    key_sample_init(&set, 4096);
    for (uint64_t n = 0; n < 300; n++)
        assert_false(key_sample_add(&set, hash_of(n)));
    assert_int_equal(set.halvings, 0);
    for (uint64_t n = 0; n < 300; n++)
        assert_true(key_sample_add(&set, hash_of(n)));
    assert_false(key_sample_add(&set, 0));
    assert_true(key_sample_add(&set, 0));
    key_sample_release(&set);
}

/* Of 100,000 keys put in twice it finds those of its sample, each of them, and no other. */
static void keeps_a_uniform_sample_when_full(void **state)
{
    struct key_sample set;
    uint64_t found = 0, kept = 0;
    key_sample_init(&set, (size_t)64 << 10);
    for (uint64_t n = 0; n < 100000; n++)
        assert_false(key_sample_add(&set, hash_of(n)));
    assert_int_equal(set.halvings, 5); /* 8,192 slots, three quarters used: 100,000 / 2^5 fit, / 2^4 do not */
    assert_true(set.used <= set.slot_count / 4 * 3);
    for (uint64_t n = 0; n < 100000; n++) {
        found += key_sample_add(&set, hash_of(n));
        kept += hash_of(n) >> (64 - set.halvings) == 0;
    }
    assert_true(found == kept);
    assert_true(found > 100000 / 32 * 9 / 10 && found < 100000 / 32 * 11 / 10);
    for (uint64_t n = 100000; n < 110000; n++)
        assert_false(key_sample_add(&set, hash_of(n)));
    key_sample_clear(&set);
    assert_int_equal(set.used, 0);
    assert_false(key_sample_add(&set, hash_of(1)));
    assert_true(key_sample_add(&set, hash_of(1)));
    key_sample_release(&set);
}

/* Values of UtilsTest.testMurmur2 in Apache Kafka. */
static void murmur2_is_kafkas(void **state)
{
    static const struct {
        const char *key;
        int32_t hash;
    } known[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t len = strlen(known[i].key);
        assert_int_equal((int32_t)kafka_murmur2(known[i].key, len), known[i].hash);
        assert_int_equal(kafka_partition(known[i].key, len, 7), (known[i].hash & 0x7fffffff) % 7);
    }
    assert_int_equal((int32_t)kafka_murmur2("abc", 3), 479470107);
    assert_int_equal(kafka_partition(NULL, 0, 7), 0);
    assert_int_equal(kafka_partition("x", 1, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_each_repetition_while_all_fit),
        cmocka_unit_test(keeps_a_uniform_sample_when_full),
        cmocka_unit_test(murmur2_is_kafkas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
