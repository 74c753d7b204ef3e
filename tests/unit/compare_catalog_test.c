/* Tables by name: schema public is the URL's database on MariaDB, and lower_case_table_names takes the case away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "compare/catalog.h"

static char shop[] = "shop", other[] = "other", orders[] = "orders", public_schema[] = "public";
static struct cat_table tables[] = {{.schema = shop, .name = orders}, {.schema = other, .name = orders}};

static void names_of_mariadb(void **state)
{
    (void)state;
    struct catalog cat = {.dialect = DIALECT_MARIADB, .database = shop, .tables = tables, .table_count = 2};
    catalog_index(&cat);
    assert_ptr_equal(catalog_find(&cat, "public", "orders"), &tables[0]);
    assert_ptr_equal(catalog_find(&cat, "other", "orders"), &tables[1]);
    assert_null(catalog_find(&cat, "public", "Orders"));
    assert_null(catalog_find(&cat, "Other", "orders"));
    assert_string_equal(catalog_schema_of(&cat, &tables[0]), "public");
    assert_string_equal(catalog_schema_of(&cat, &tables[1]), "other");
    free(cat.by_name);
}

static void names_without_case(void **state)
{
    (void)state;
    char database[] = "Shop";
    struct catalog cat = {.dialect = DIALECT_MARIADB,
                          .database = database,
                          .caseless = true,
                          .tables = tables,
                          .table_count = 2};
    catalog_index(&cat);
    assert_ptr_equal(catalog_find(&cat, "public", "Orders"), &tables[0]);
    assert_ptr_equal(catalog_find(&cat, "Other", "ORDERS"), &tables[1]);
    assert_string_equal(catalog_schema_of(&cat, &tables[0]), "public");
    free(cat.by_name);
}

static void names_of_postgres(void **state)
{
    (void)state;
    struct cat_table one = {.schema = public_schema, .name = orders};
    struct catalog cat = {.dialect = DIALECT_POSTGRES, .database = shop, .tables = &one, .table_count = 1};
    catalog_index(&cat);
    assert_ptr_equal(catalog_find(&cat, "public", "orders"), &one);
    assert_null(catalog_find(&cat, "public", "Orders"));
    assert_null(catalog_find(&cat, "shop", "orders"));
    free(cat.by_name);
}

/* Names that differ in case alone, and a side whose rule for it is another. */
static void many_names(void **state)
{
    (void)state;
    char schemas[2][2] = {"a", "b"}, names[500][8];
    struct cat_table many[1000];
    for (size_t i = 0; i < 1000; i++) {
        (void)snprintf(names[i / 2], sizeof names[0], i / 2 % 3 == 0 ? "T%zu" : "t%zu", i / 6);
        many[i] = (struct cat_table){.schema = schemas[i % 2], .name = names[i / 2]};
    }
    struct catalog cat = {.dialect = DIALECT_POSTGRES, .database = shop, .tables = many, .table_count = 1000};
    struct catalog caseless = {.dialect = DIALECT_MARIADB, .caseless = true};
    catalog_index(&cat);
    for (size_t i = 0; i < 1000; i += 6) {
        assert_ptr_equal(catalog_find(&cat, "a", many[i].name), &many[i]);
        assert_ptr_equal(catalog_find(&cat, "b", many[i].name), &many[i + 1]);
    }
    assert_ptr_equal(catalog_find(&cat, "b", "t7"), &many[45]);
    assert_ptr_equal(catalog_find_like(&cat, &caseless, "B", "t7"), &many[43]);
    assert_null(catalog_find(&cat, "c", "t7"));
    assert_null(catalog_find(&cat, "a", "t7000"));
    assert_null(catalog_find(&cat, "a", ""));
    free(cat.by_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_of_mariadb),
                                       cmocka_unit_test(names_without_case),
                                       cmocka_unit_test(names_of_postgres), cmocka_unit_test(many_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
