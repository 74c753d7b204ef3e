/* lib/audit/chain: the hash against one that was computed elsewhere, and what a walk finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "audit/chain.h"

#define ROWS 6

static struct audit_row rows[ROWS];
static char hashes[ROWS][SHA256_HEX];

static void hash_of_a_row(void **state)
{
    const struct audit_row row = {.seq = 1,
                                  .at = "2026-01-31T12:34:56.123456Z",
                                  .pipeline = "shop",
                                  .cutover_id = "",
                                  .event = "dlq.retry",
                                  .os_user = "anna",
                                  .db_user = "crossfade_apply",
                                  .host = "db1",
                                  .detail = "{\"all\":true}",
                                  .prev = audit_first_prev};
    char hash[SHA256_HEX];
    struct err err = ERR_INIT;
    assert_true(audit_hash(&row, hash, &err));
    assert_string_equal(hash, "4b80819e30a69cce2abc5016dd753ad769f1c18ed63bff23c1988988304c1073");
}

static int make_chain(void **state)
{
    struct err err = ERR_INIT;
    for (int i = 0; i < ROWS; i++) {
        rows[i] = (struct audit_row){.seq = i + 1,
                                     .at = "2026-01-31T12:34:56.123456Z",
                                     .pipeline = "shop",
                                     .cutover_id = i < 3 ? "" : "c1",
                                     .event = "test",
                                     .os_user = "u",
                                     .db_user = "d",
                                     .host = "h",
                                     .detail = "{}",
                                     .prev = i == 0 ? audit_first_prev : hashes[i - 1],
                                     .hash = hashes[i]};
        if (!audit_hash(&rows[i], hashes[i], &err))
            return -1;
    }
    return 0;
}

static struct audit_verdict walk(const int *order, size_t count, int64_t stored,
                                 struct audit_expected *expected)
{
    static struct audit_verdict verdict;
    struct chain_walk w = {.verdict = &verdict, .expected = expected, .expected_count = expected != NULL};
    struct err err = ERR_INIT;
    verdict = (struct audit_verdict){0};
    for (size_t i = 0; i < count; i++)
        assert_true(chain_walk_row(&w, &rows[order[i]], &err));
    chain_walk_end(&w, stored);
    return verdict;
}

#define WALK(stored, expected, ...)                                                                          \
    walk((const int[]){__VA_ARGS__}, sizeof((int[]){__VA_ARGS__}) / sizeof(int), stored, expected)

static void whole(void **state)
{
    struct audit_verdict v = WALK(6, NULL, 0, 1, 2, 3, 4, 5);
    assert_int_equal(v.finding_count, 0);
    assert_int_equal(v.rows, 6);
    assert_int_equal(v.last.seq, 6);
    assert_string_equal(v.last.hash, hashes[5]);
    assert_int_equal(walk(NULL, 0, 0, NULL).finding_count, 0);
}

static void has(const struct audit_verdict *v, const char *what)
{
    for (size_t i = 0; i < v->shown; i++) {
        if (strstr(v->findings[i], what) != NULL)
            return;
    }
    fail_msg("not found: %s", what);
}

static void gaps_and_copies(void **state)
{
    struct audit_verdict v = WALK(5, NULL, 0, 1, 3, 4, 5);
    has(&v, "missing: seq 3 to 3");
    has(&v, "broken link: seq 4");
    v = WALK(4, NULL, 2, 3, 4, 5);
    has(&v, "missing: seq 1 to 2");
    v = WALK(7, NULL, 0, 1, 1, 2, 3, 4, 5);
    has(&v, "inserted: seq 2 stands behind seq 2");
    v = WALK(7, NULL, 0, 1, 2, 3, 4, 5);
    has(&v, "7 rows are stored");
}

static void changed(void **state)
{
    const char *was = rows[2].cutover_id;
    rows[2].cutover_id = "c2";
    struct audit_verdict v = WALK(6, NULL, 0, 1, 2, 3, 4, 5);
    rows[2].cutover_id = was;
    assert_int_equal(v.finding_count, 1);
    has(&v, "changed: seq 3");
}

/* A text that moves from one field into the next gives another hash. */
static void fields_are_apart(void **state)
{
    struct audit_row a = rows[1], b = rows[1];
    char hash_a[SHA256_HEX], hash_b[SHA256_HEX];
    struct err err = ERR_INIT;
    a.os_user = "ab", a.db_user = "c";
    b.os_user = "a", b.db_user = "bc";
    assert_true(audit_hash(&a, hash_a, &err) && audit_hash(&b, hash_b, &err));
    assert_string_not_equal(hash_a, hash_b);
}

static void the_end(void **state)
{
    struct audit_expected last = {.from = "test", .mark = {.seq = 6}};
    memcpy(last.mark.hash, hashes[5], SHA256_HEX);
    assert_int_equal(WALK(6, &last, 0, 1, 2, 3, 4, 5).finding_count, 0);
    assert_true(last.met);
    last.met = false;
    struct audit_verdict v = WALK(4, &last, 0, 1, 2, 3);
    has(&v, "cut off: test knows seq 6");
    v = walk(NULL, 0, 0, &last);
    has(&v, "cut off: test knows seq 6, the chain ends at seq 0");
    last.mark.hash[0] = last.mark.hash[0] == '0' ? '1' : '0';
    v = WALK(6, &last, 0, 1, 2, 3, 4, 5);
    has(&v, "rewritten");
    struct audit_expected any = {.from = "test", .mark = {.seq = 0}};
    memcpy(any.mark.hash, hashes[2], SHA256_HEX);
    assert_int_equal(WALK(6, &any, 0, 1, 2, 3, 4, 5).finding_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_of_a_row), cmocka_unit_test(whole),   cmocka_unit_test(gaps_and_copies),
        cmocka_unit_test(changed),       cmocka_unit_test(the_end), cmocka_unit_test(fields_are_apart),
    };
    return cmocka_run_group_tests(tests, make_chain, NULL);
}
