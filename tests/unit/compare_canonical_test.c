/* Which form a pair of columns is compared in, and when two sides sort alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare/canonical.h"

static char name[] = "a\"b", no_collation[] = "", c_collation[] = "UTF8 C",
            de_collation[] = "UTF8 i de 153.1";
static char types[][20] = {"integer", "bigint", "numeric", "text", "bpchar", "double precision",
                           "real",    "json",   "jsonb",   "mood", "uuid"};
static const uint32_t oids[] = {23, 20, 1700, 25, 1042, 701, 700, 114, 3802, 16999, 2950};

enum { INT4, INT8, NUMERIC, TEXT, BPCHAR, FLOAT8, FLOAT4, JSON, JSONB, ENUM, UUID };

static struct cat_column column(int type, int typmod)
{
    return (struct cat_column){.name = name,
                               .type = types[type],
                               .type_oid = oids[type],
                               .typmod = typmod,
                               .plain = type != ENUM,
                               .collation = type == TEXT ? c_collation : no_collation};
}

static void expect(struct cat_column s, struct cat_column t, const char *source, const char *target,
                   bool noted)
{
    char *forms[2], *note = NULL;
    canonical_forms(&s, &t, forms, &note);
    assert_string_equal(forms[0], source);
    assert_string_equal(forms[1], target);
    assert_int_equal(note != NULL, noted);
    free(forms[0]);
    free(forms[1]);
    free(note);
}

static void forms(void **state)
{
#define V "t.\"a\"\"b\""
    expect(column(INT4, -1), column(INT4, -1), V, V, false);
    expect(column(INT4, -1), column(INT8, -1), V "::int8", V "::int8", true);
    expect(column(INT4, -1), column(NUMERIC, -1), "trim_scale(" V "::numeric)", "trim_scale(" V "::numeric)",
           true);
    expect(column(NUMERIC, 9), column(NUMERIC, 9), V, V, false);
    expect(column(NUMERIC, 9), column(NUMERIC, -1), "trim_scale(" V "::numeric)",
           "trim_scale(" V "::numeric)", true);
    expect(column(BPCHAR, 9), column(BPCHAR, 9), V, V, false);
    expect(column(BPCHAR, 9), column(BPCHAR, 8), V "::text", V "::text", true);
    expect(column(BPCHAR, 9), column(TEXT, -1), V "::text", V "::text", true);
    expect(column(FLOAT8, -1), column(FLOAT8, -1), V "::text", V "::text", false);
    expect(column(FLOAT4, -1), column(FLOAT8, -1), V "::float8::text", V "::float8::text", true);
    expect(column(JSON, -1), column(JSONB, -1), V "::jsonb", V "::jsonb", true);
    expect(column(ENUM, -1), column(ENUM, -1), V "::text", V "::text", false);
    expect(column(UUID, -1), column(TEXT, -1), V "::text", V "::text", true);
    struct cat_column domain = column(INT4, -1);
    domain.domain = true; /* a domain's own object id must not get into the bytes */
    expect(domain, column(INT4, -1), V "::integer", V, false);
    domain.plain = false; /* a domain over a domain */
    expect(domain, domain, V "::text", V "::text", false);
}

static bool alike(struct cat_column s, struct cat_column t)
{
    return canonical_sorts_alike(&s, &t);
}

static void orders(void **state)
{
    struct cat_column german = column(TEXT, -1), loose = column(TEXT, -1);
    german.collation = de_collation;
    loose.collation = NULL;
    assert_true(alike(column(INT4, -1), column(INT4, -1)));
    assert_true(alike(column(INT4, -1), column(NUMERIC, -1)));
    assert_true(alike(column(TEXT, -1), column(TEXT, -1)));
    assert_true(alike(german, german));
    assert_false(alike(german, column(TEXT, -1)));
    assert_false(alike(loose, loose));
    assert_false(alike(column(ENUM, -1), column(ENUM, -1)));
    assert_false(alike(column(UUID, -1), column(TEXT, -1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms), cmocka_unit_test(orders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
