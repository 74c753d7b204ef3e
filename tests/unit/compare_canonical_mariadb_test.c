/* Forms across PostgreSQL and MariaDB: which pairs have one, what target.unfit puts in place of what does not fit, which keys sort alike. That
 * the forms are right is for tests/system/test_schema_types.py and test_compare_selftest.py to show, on servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare/canonical_mariadb.h"

static char name[] = "a\"`b", c_collation[] = "UTF8 C", de_collation[] = "UTF8 i de 153.1";

static struct cat_column column(char *type, uint32_t oid)
{
    return (struct cat_column){
        .name = name, .type = type, .type_oid = oid, .typmod = -1, .plain = true, .collation = c_collation};
}

static struct mariadb_column target(const char *type, const char *collation)
{
    struct mariadb_column col = {.name = name, .type = type, .collation = collation};
    mariadb_column_describe(&col);
    return col;
}

static void expect_of(char *type, uint32_t oid, struct mariadb_column col, enum target_unfit unfit,
                      const char *s, const char *t)
{
    struct cat_column source = column(type, oid);
    struct canonical made = {0};
    char *reason = NULL;
    assert_true(canonical_forms_mariadb(&source, &col, unfit, &made, &reason));
    assert_null(reason);
    assert_string_equal(made.form[0], s);
    assert_string_equal(made.form[1], t);
    assert_memory_equal(made.rule, type, strlen(type));
    canonical_release(&made);
}

static void expect(char *type, uint32_t oid, const char *maria, enum target_unfit unfit, const char *s,
                   const char *t)
{
    expect_of(type, oid, target(maria, "utf8mb4_nopad_bin"), unfit, s, t);
}

#define S "t.\"a\"\"`b\""
#define T "t.`a\"``b`"

static void forms(void **state)
{
    (void)state;
    expect((char[]){"integer"}, 23, "int(11)", TARGET_UNFIT_NULL, S "::text", "CAST(" T " AS CHAR)");
    expect((char[]){"boolean"}, 16, "tinyint(1)", TARGET_UNFIT_HALT, S "::int::text", "CAST(" T " AS CHAR)");
    expect((char[]){"text"}, 25, "longtext", TARGET_UNFIT_NULL, S "::text", T);
    expect((char[]){"date"}, 1082, "date", TARGET_UNFIT_HALT, S "::date::text", "CAST(" T " AS CHAR)");
    expect((char[]){"date"}, 1082, "date", TARGET_UNFIT_NULL,
           "CASE WHEN " S " BETWEEN '0001-01-01' AND '9999-12-31' THEN " S "::date::text END",
           "CAST(" T " AS CHAR)");
    expect((char[]){"timestamp without time zone"}, 1114, "datetime(3)", TARGET_UNFIT_NEAREST,
           "CASE WHEN " S "::timestamp < '0001-01-01' THEN '0001-01-01 00:00:00' WHEN " S
           "::timestamp >= '10000-01-01' THEN '9999-12-31 23:59:59.999' ELSE " S "::timestamp::text END",
           "TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM " T "))");
    expect((char[]){"timestamp without time zone"}, 1114, "datetime", TARGET_UNFIT_NEAREST,
           "CASE WHEN " S "::timestamp < '0001-01-01' THEN '0001-01-01 00:00:00' WHEN " S
           "::timestamp >= '10000-01-01' THEN '9999-12-31 23:59:59' ELSE " S "::timestamp::text END",
           "CAST(" T " AS CHAR)");
    expect((char[]){"numeric"}, 1700, "decimal(10,0)", TARGET_UNFIT_HALT, "trim_scale(" S "::numeric)::text",
           "CAST(" T " AS CHAR)");
}

/* A timestamp has the years 1970 to 2038, or 2106. */
static void calendars(void **state)
{
    (void)state;
    struct mariadb_column col = target("timestamp(3)", NULL);
    col.latest = "2106-02-07 06:28:15";
    expect_of((char[]){"timestamp with time zone"}, 1184, col, TARGET_UNFIT_NEAREST,
              "CASE WHEN " S "::timestamp <= '1970-01-01' THEN '1970-01-01 00:00:01' WHEN " S
              "::timestamp >= '2106-02-07 06:28:15'::timestamp + '1 s'::interval THEN '2106-02-07 "
              "06:28:15.999' ELSE " S "::timestamp::text END",
              "TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM " T "))");
    expect_of((char[]){"timestamp with time zone"}, 1184, col, TARGET_UNFIT_NULL,
              "CASE WHEN " S "::timestamp > '1970-01-01' AND " S
              "::timestamp < '2106-02-07 06:28:15'::timestamp + '1 s'::interval AND " S "::timestamp = " S
              "::timestamp(3) THEN " S "::timestamp::text END",
              "TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM " T "))");
}

static void other_character_sets(void **state)
{
    (void)state;
    expect_of((char[]){"character(5)"}, 1042, target("varchar(5)", "latin1_bin"), TARGET_UNFIT_HALT,
              S "::text", "TRIM(TRAILING ' ' FROM CONVERT(" T " USING utf8mb4))");
    expect_of((char[]){"tsquery"}, 3615, target("text", "latin1_bin"), TARGET_UNFIT_HALT,
              "translate(" S "::text, ' ()', '')",
              "REPLACE(REPLACE(REPLACE(CONVERT(" T " USING utf8mb4), ' ', ''), '(', ''), ')', '')");
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        char type[20];
        uint32_t oid;
        const char *maria;
    } pairs[] = {{"text", 25, "int(11)"},  {"bytea", 17, "date"},     {"numeric", 1700, "double"},
                 {"date", 1082, "time"},   {"integer", 23, "uuid"},   {"uuid", 2950, "inet6"},
                 {"text", 25, "geometry"}, {"boolean", 16, "double"}, {"jsonb", 3802, "longblob"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char type[20];
        memcpy(type, pairs[i].type, sizeof type);
        struct cat_column source = column(type, pairs[i].oid);
        struct mariadb_column col = target(pairs[i].maria, NULL);
        struct canonical made = {0};
        char *reason = NULL;
        assert_false(canonical_forms_mariadb(&source, &col, TARGET_UNFIT_HALT, &made, &reason));
        assert_non_null(strstr(reason, pairs[i].maria));
        assert_null(made.form[0]);
        free(reason);
    }
}

static bool alike(char *type, uint32_t oid, char *sorted_by, const char *maria, const char *collation)
{
    struct cat_column source = column(type, oid);
    source.collation = sorted_by;
    struct mariadb_column col = target(maria, collation);
    return canonical_sorts_alike_mariadb(&source, &col);
}

static void orders(void **state)
{
    (void)state;
    char integer[] = "integer", text[] = "text", uuid[] = "uuid", mood[] = "mood", none[] = "";
    assert_true(alike(integer, 23, none, "bigint(20)", NULL));
    assert_true(alike(integer, 23, none, "decimal(12,2)", NULL));
    assert_false(alike(integer, 23, none, "longtext", "utf8mb4_nopad_bin")); /* 10 before 9 */
    assert_true(alike(text, 25, c_collation, "varchar(20)", "utf8mb4_nopad_bin"));
    assert_false(alike(text, 25, c_collation, "varchar(20)", "utf8mb4_bin")); /* pads: a\x01 comes before a */
    assert_false(alike(text, 25, de_collation, "varchar(20)", "utf8mb4_nopad_bin"));
    assert_false(alike(text, 25, NULL, "varchar(20)", "utf8mb4_nopad_bin"));
    assert_true(alike(uuid, 2950, none, "char(36)", "ascii_bin"));
    assert_true(alike(uuid, 2950, none, "binary(16)", NULL));
    assert_false(alike(uuid, 2950, none, "uuid", NULL));
    assert_false(alike(mood, 99999, none, "enum('b','a')", "utf8mb4_nopad_bin"));
}

static void types(void **state)
{
    (void)state;
    struct mariadb_column col = target("decimal(20,4)", NULL);
    assert_int_equal(col.kind, MARIA_DECIMAL);
    assert_int_equal(col.precision, 20);
    assert_int_equal(col.scale, 4);
    col = target("bigint(20) unsigned", NULL);
    assert_int_equal(col.kind, MARIA_INT);
    col = target("varchar(20)", "latin1_bin");
    assert_int_equal(col.most, 20);
    assert_false(col.bytes);
    assert_false(mariadb_column_is_utf8mb4(&col));
    col = target("text", "utf8mb4_bin");
    assert_int_equal(col.most, 65535);
    assert_true(col.bytes && mariadb_column_is_utf8mb4(&col));
    col = target("datetime(3)", NULL);
    assert_int_equal(col.digits, 3);
    col = target("enum('a','decimal(1,2)')", "utf8mb4_bin");
    assert_int_equal(col.kind, MARIA_ENUM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),   cmocka_unit_test(calendars), cmocka_unit_test(other_character_sets),
        cmocka_unit_test(refused), cmocka_unit_test(orders),    cmocka_unit_test(types)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
