/* The spool gives back what it was given, in commit order, whatever the number of runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply/spool.h"
#include "core/alloc.h"

#define RECORDS 5000

static void shuffle(unsigned *numbers, size_t count)
{
    unsigned seed = 7;
    for (size_t i = count - 1; i > 0; i--) {
        size_t k = (size_t)rand_r(&seed) % (i + 1);
        unsigned other = numbers[i];
        numbers[i] = numbers[k];
        numbers[k] = other;
    }
}

static size_t length_of(unsigned n)
{
    return n % 97 == 0 ? 200000 : n % 300;
}

static void add(struct spool *sp, unsigned n, char *scratch)
{
    struct err err = ERR_INIT;
    struct item at = {.commit_lsn = 1000 + n / 10, .total_order = n % 10 + 1, .op = CHANGE_INSERT, .seq = n};
    memset(scratch, (int)('a' + n % 26), length_of(n));
    struct journal_record rec = {.stream = n % 2 == 0 ? "even" : "odd",
                                 .partition = (int32_t)(n % 5),
                                 .offset = n,
                                 .key = n % 3 == 0 ? NULL : &n,
                                 .key_len = n % 3 == 0 ? 0 : sizeof n,
                                 .value = scratch,
                                 .value_len = length_of(n)};
    if (n % 4 == 0)
        rec.headers[rec.header_count++] = (struct journal_header){"h", &n, sizeof n};
    assert_true(spool_add(sp, &rec, &at, &err));
}

static void check(const struct journal_record *rec, unsigned n)
{
    assert_int_equal(rec->offset, n);
    assert_string_equal(rec->stream, n % 2 == 0 ? "even" : "odd");
    assert_int_equal(rec->partition, n % 5);
    assert_int_equal(rec->value_len, length_of(n));
    for (size_t i = 0; i < rec->value_len; i += 1 + rec->value_len / 7)
        assert_int_equal(((const char *)rec->value)[i], 'a' + n % 26);
    assert_int_equal(rec->key == NULL, n % 3 == 0);
    if (rec->key != NULL)
        assert_memory_equal(rec->key, &n, sizeof n);
    assert_int_equal(rec->header_count, n % 4 == 0);
    if (rec->header_count == 1)
        assert_memory_equal(rec->headers[0].value, &n, sizeof n);
}

static void round_trip(size_t max_bytes)
{
    struct spool *sp = NULL;
    struct err err = ERR_INIT;
    unsigned *numbers = xcalloc(RECORDS, sizeof *numbers);
    char *scratch = xmalloc(1 << 20);
    for (unsigned i = 0; i < RECORDS; i++)
        numbers[i] = i;
    shuffle(numbers, RECORDS);
    assert_true(spool_open(max_bytes, &sp, &err));
    for (unsigned i = 0; i < RECORDS; i++)
        add(sp, numbers[i], scratch);
    assert_true(spool_finish(sp, &err));
    struct journal_record rec;
    bool more = true;
    for (unsigned i = 0; i < RECORDS; i++) {
        assert_true(spool_next(sp, &rec, &more, &err));
        assert_true(more);
        check(&rec, i);
    }
    assert_true(spool_next(sp, &rec, &more, &err));
    assert_false(more);
    spool_close(sp);
    free(numbers);
    free(scratch);
}

static void test_one_run(void **state)
{
    round_trip((size_t)64 << 20);
}

static void test_many_runs(void **state)
{
    round_trip((size_t)64 << 10);
}

static void test_empty(void **state)
{
    struct spool *sp = NULL;
    struct err err = ERR_INIT;
    struct journal_record rec;
    bool more = true;
    assert_true(spool_open(1000, &sp, &err) && spool_finish(sp, &err) && spool_next(sp, &rec, &more, &err));
    assert_false(more);
    spool_close(sp);
}

static void test_folder_that_is_missing(void **state)
{
    struct spool *sp = NULL;
    struct err err = ERR_INIT;
    setenv("TMPDIR", "/nonexistent", 1);
    assert_false(spool_open(1000, &sp, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.text, "/nonexistent"));
    unsetenv("TMPDIR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_run), cmocka_unit_test(test_many_runs),
                                       cmocka_unit_test(test_empty),
                                       cmocka_unit_test(test_folder_that_is_missing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
