/* Tables by name: schema public is the URL's database on MariaDB, and lower_case_table_names takes the case away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compare/catalog.h"

static char shop[] = "shop", other[] = "other", orders[] = "orders", public_schema[] = "public";
static struct cat_table tables[] = {{.schema = shop, .name = orders}, {.schema = other, .name = orders}};

static void names_of_mariadb(void **state)
{
    (void)state;
    struct catalog cat = {.dialect = DIALECT_MARIADB, .database = shop, .tables = tables, .table_count = 2};
    assert_ptr_equal(catalog_find(&cat, "public", "orders"), &tables[0]);
    assert_ptr_equal(catalog_find(&cat, "other", "orders"), &tables[1]);
    assert_null(catalog_find(&cat, "public", "Orders"));
    assert_null(catalog_find(&cat, "Other", "orders"));
    assert_string_equal(catalog_schema_of(&cat, &tables[0]), "public");
    assert_string_equal(catalog_schema_of(&cat, &tables[1]), "other");
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
    assert_ptr_equal(catalog_find(&cat, "public", "Orders"), &tables[0]);
    assert_ptr_equal(catalog_find(&cat, "Other", "ORDERS"), &tables[1]);
    assert_string_equal(catalog_schema_of(&cat, &tables[0]), "public");
}

static void names_of_postgres(void **state)
{
    (void)state;
    struct cat_table one = {.schema = public_schema, .name = orders};
    struct catalog cat = {.dialect = DIALECT_POSTGRES, .database = shop, .tables = &one, .table_count = 1};
    assert_ptr_equal(catalog_find(&cat, "public", "orders"), &one);
    assert_null(catalog_find(&cat, "public", "Orders"));
    assert_null(catalog_find(&cat, "shop", "orders"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_of_mariadb),
                                       cmocka_unit_test(names_without_case),
                                       cmocka_unit_test(names_of_postgres)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
