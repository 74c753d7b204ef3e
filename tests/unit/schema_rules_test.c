/* Which type of MariaDB a column gets, and what counts in keys and rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "schema/plan.h"
#include "schema/rules.h"

#define VARLENA(n)    ((n) + 4)
#define NUMERIC(p, s) ((((p) << 16) | ((s)&0x7ff)) + 4)

static struct schema_model model;

static int start(void **state)
{
    (void)state;
    arena_init(&model.mem, 4096, 1 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    model_release(&model);
    return 0;
}

static struct mapping map(const char *base, int32_t typmod)
{
    struct sch_column c = {.name = "c", .base = base, .kind = 'b', .typmod = typmod};
    struct mapping ret = {0};
    rules_mariadb(&model, &c, &ret);
    return ret;
}

static void expect(const char *base, int32_t typmod, enum map_kind kind, const char *type)
{
    struct mapping m = map(base, typmod);
    assert_int_equal(m.kind, kind);
    if (type == NULL)
        assert_null(m.type);
    else
        assert_string_equal(m.type, type);
}

static void plain_types(void **state)
{
    (void)state;
    expect("bool", -1, MAP_EXACT, "tinyint(1)");
    expect("int8", -1, MAP_EXACT, "bigint");
    expect("text", -1, MAP_EXACT, "longtext");
    expect("bytea", -1, MAP_EXACT, "longblob");
    expect("uuid", -1, MAP_EXACT, "uuid");
    expect("jsonb", -1, MAP_EXACT, "json");
    expect("inet", -1, MAP_LOSSY, "varchar(43)");
    expect("interval", -1, MAP_LOSSY, "varchar(100)");
    expect("geometry", -1, MAP_DECIDE, NULL);
}

static void lengths_and_places(void **state)
{
    (void)state;
    expect("varchar", VARLENA(20), MAP_EXACT, "varchar(20)");
    expect("varchar", VARLENA(16383), MAP_EXACT, "varchar(16383)");
    expect("varchar", VARLENA(16384), MAP_LOSSY, "longtext");
    expect("varchar", -1, MAP_EXACT, "longtext");
    expect("bpchar", VARLENA(5), MAP_EXACT, "char(5)");
    expect("bpchar", VARLENA(300), MAP_EXACT, "varchar(300)");
    expect("timestamptz", -1, MAP_EXACT, "datetime(6)");
    expect("timestamp", 0, MAP_EXACT, "datetime(0)");
    expect("time", 3, MAP_EXACT, "time(3)");
    expect("bit", 64, MAP_EXACT, "bit(64)");
    expect("bit", 65, MAP_LOSSY, "varchar(65)");
}

static void numerics(void **state)
{
    (void)state;
    expect("numeric", -1, MAP_DECIDE, NULL);
    expect("numeric", NUMERIC(12, 2), MAP_EXACT, "decimal(12,2)");
    expect("numeric", NUMERIC(65, 38), MAP_EXACT, "decimal(65,38)");
    expect("numeric", NUMERIC(66, 2), MAP_DECIDE, NULL);
    expect("numeric", NUMERIC(50, 39), MAP_DECIDE, NULL);
    expect("numeric", NUMERIC(3, -2), MAP_EXACT, "decimal(5,0)"); /* 99900 */
    expect("numeric", NUMERIC(2, 4), MAP_EXACT, "decimal(4,4)");  /* 0.0099 */
}

static void types_of_the_user(void **state)
{
    (void)state;
    const char *labels[] = {"a", "it's", "back\\slash"}, *blank[] = {"a ", "a"};
    struct sch_column e = {
        .name = "c", .base = "mood", .kind = 'e', .typmod = -1, .labels = labels, .label_count = 3};
    struct mapping m = {0};
    rules_mariadb(&model, &e, &m);
    assert_string_equal(m.type, "enum('a','it''s','back\\\\slash')");
    e.labels = blank; /* MariaDB would cut the blank: two labels would be one */
    e.label_count = 2;
    rules_mariadb(&model, &e, &m);
    assert_int_equal(m.kind, MAP_DECIDE);
    struct sch_column array = {.name = "c", .base = "int4", .kind = 'b', .array = true, .typmod = -1};
    rules_mariadb(&model, &array, &m);
    assert_string_equal(m.type, "json");
    array.domain = true; /* apply writes a domain as text */
    rules_mariadb(&model, &array, &m);
    assert_string_equal(m.type, "longtext");
    struct sch_column folded = {.name = "c", .base = "text", .kind = 'b', .typmod = -1, .ignores_case = true};
    rules_mariadb(&model, &folded, &m);
    assert_int_equal(m.kind, MAP_DECIDE);
}

static void sizes(void **state)
{
    (void)state;
    assert_int_equal(rules_mariadb_key_bytes("varchar(768)"), MARIA_KEY_BYTES);
    assert_int_equal(rules_mariadb_key_bytes("longtext"), 0);
    assert_int_equal(rules_mariadb_key_bytes("int unsigned"), 4);
    assert_true(rules_mariadb_is_long("longtext collate utf8mb4_general_nopad_ci"));
    assert_true(rules_mariadb_is_long("json"));
    assert_false(rules_mariadb_is_long("varchar(20)"));
    assert_int_equal(rules_mariadb_row_bytes("varchar(100)"), 402);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(plain_types), cmocka_unit_test(lengths_and_places),
                                       cmocka_unit_test(numerics), cmocka_unit_test(types_of_the_user),
                                       cmocka_unit_test(sizes)};
    return cmocka_run_group_tests(tests, start, end);
}
