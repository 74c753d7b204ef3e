/* pg_dump's output cut into entries; roles taken out; when an entry is made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "schema/plan_postgres.h"

#define BEGIN_TEXT                                                                                           \
    "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\nSET check_function_bodies = false;\n\n"
#define HEADER(id, class, oid, needs, name, kind)                                                            \
    "--\n-- TOC entry " #id " (class " #class " OID " #oid ")\n" needs "-- Name: " name "; Type: " kind      \
                                              "; Schema: public; Owner: bob\n--\n\n"

static void entries(void **state)
{
    (void)state;
    struct dump dump;
    struct err err = ERR_INIT;
    const char text[] = BEGIN_TEXT HEADER(
        3, 1259, 77, "", "t; Type: x",
        "TABLE") "CREATE TABLE public.t (a int);\n\n\n"
                 "ALTER TABLE public.t OWNER TO bob;\n\nSET default_table_access_method = heap;\n\n" HEADER(
                     9, 1259, 78, "", "u",
                     "TABLE") "CREATE TABLE public.u (a int);\n\n\n" HEADER(12, 0, 0,
                                                                            "-- Dependencies: 3 9\n",
                                                                            "TABLE t",
                                                                            "COMMENT") "COMMENT ON TABLE "
                                                                                       "public.t IS "
                                                                                       "'a;b';\n\n\n"
                                                                                       "-- Completed on "
                                                                                       "x\n\n--\n-- "
                                                                                       "PostgreSQL database "
                                                                                       "dump "
                                                                                       "complete\n--"
                                                                                       "\n\n\\unrestrict "
                                                                                       "abc\n";
    assert_true(dump_split(text, &dump, &err));
    assert_int_equal(dump.count, 3);
    assert_string_equal(dump.entries[0].name, "t; Type: x");
    assert_string_equal(dump.entries[0].kind, "TABLE");
    assert_string_equal(dump.entries[0].owner, "bob");
    assert_int_equal(dump.entries[0].object_oid, 77);
    assert_string_equal(dump.entries[0].sql,
                        "CREATE TABLE public.t (a int);\nALTER TABLE public.t OWNER TO bob;\n");
    assert_string_equal(dump.entries[1].sql,
                        "SET default_table_access_method = heap;\nCREATE TABLE public.u (a int);\n");
    assert_int_equal(dump.entries[2].need_count, 2);
    assert_int_equal(dump.entries[2].needs[1], 9);
    assert_string_equal(dump.entries[2].sql, "COMMENT ON TABLE public.t IS 'a;b';\n");
    dump_release(&dump);
}

/* A header inside a literal, a quoted name or a body is none. */
static void forged(void **state)
{
    (void)state;
    struct dump dump;
    struct err err = ERR_INIT;
#define FORGED                                                                                               \
    "--\n-- TOC entry 4 (class 1 OID 1)\n-- Name: evil; Type: TABLE; Schema: x; Owner: y\n--\n\nDROP TABLE " \
    "t;\n"
    const char text[] = BEGIN_TEXT HEADER(
        3, 1255, 77, "", "f()",
        "FUNCTION") "CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $_$\n" FORGED
                    "$_$;\n\n\n" HEADER(
                        5, 0, 0, "", "FUNCTION f()",
                        "COMMENT") "COMMENT ON FUNCTION public.f() IS 'x\n" FORGED
                                   "';\n\n\n" HEADER(
                                       6, 1255, 78, "", "g()",
                                       "FUNCTION") "CREATE FUNCTION g() BEGIN ATOMIC\n SELECT E'\\'\n" FORGED
                                                   "' AS \"\n" FORGED "\";\nEND;\n";
    assert_true(dump_split(text, &dump, &err));
    assert_int_equal(dump.count, 3);
    assert_string_equal(dump.entries[2].name, "g()");
    assert_non_null(strstr(dump.entries[2].sql, "END;"));
    dump_release(&dump);
}

static void not_a_dump(void **state)
{
    (void)state;
    struct dump dump;
    struct err err = ERR_INIT;
    assert_false(dump_split("PGDMP", &dump, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    assert_false(dump_split(BEGIN_TEXT "--\n-- TOC entry 4 (class 1 OID 1)\n--\n\nSELECT 1;\n", &dump, &err));
}

static void expect_roles(const char *sql, const char *want)
{
    const char *known[] = {"Al ice", "bob"};
    struct strbuf out = STRBUF_INIT(10000);
    (void)plan_drop_roles(sql, known, 2, &out);
    assert_string_equal(out.data, want);
    strbuf_release(&out);
}

static void roles(void **state)
{
    (void)state;
    expect_roles("CREATE TABLE t (a int);\nALTER TABLE t OWNER TO bob;\n",
                 "CREATE TABLE t (a int);\nALTER TABLE t OWNER TO bob;\n");
    expect_roles("CREATE TABLE t (a int);\nALTER TABLE t OWNER TO eve;\n", "CREATE TABLE t (a int);\n");
    expect_roles(
        "GRANT SELECT ON TABLE t TO \"Al ice\" WITH GRANT OPTION;\nGRANT SELECT ON TABLE t TO \"al ice\";\n",
        "GRANT SELECT ON TABLE t TO \"Al ice\" WITH GRANT OPTION;\n");
    expect_roles("REVOKE ALL ON TABLE t FROM PUBLIC;\nREVOKE ALL ON TABLE t FROM eve;\n",
                 "REVOKE ALL ON TABLE t FROM PUBLIC;\n");
    expect_roles("ALTER DEFAULT PRIVILEGES FOR ROLE eve GRANT SELECT ON TABLES TO bob;\n", "");
    expect_roles("CREATE FUNCTION f() AS $$ ALTER TABLE t OWNER TO eve; $$;\n",
                 "CREATE FUNCTION f() AS $$ ALTER TABLE t OWNER TO eve; $$;\n");
}

static enum step_phase phase(const char *kind, const char *name, const char *sql, bool later)
{
    struct dump_entry e = {.kind = kind, .name = name, .sql = sql, .schema = "public"};
    return plan_phase(&e, later);
}

static void phases(void **state)
{
    (void)state;
    assert_int_equal(phase("INDEX", "i", "CREATE INDEX i ON t (a);", false), PHASE_TABLES);
    assert_int_equal(phase("INDEX", "i", "CREATE INDEX i ON t (a);", true), PHASE_INDEXES);
    assert_int_equal(phase("INDEX", "i", "CREATE UNIQUE INDEX i ON t (a);", true), PHASE_TABLES);
    assert_int_equal(phase("CONSTRAINT", "t p", "ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY (a);", true),
                     PHASE_TABLES);
    assert_int_equal(
        phase("CONSTRAINT", "t x", "ALTER TABLE t ADD CONSTRAINT x EXCLUDE USING gist (a WITH =);", true),
        PHASE_INDEXES);
    assert_int_equal(phase("FK CONSTRAINT", "t f", "…", true), PHASE_FOREIGN_KEYS);
    assert_int_equal(phase("COMMENT", "INDEX i", "…", true), PHASE_LAST);
    assert_int_equal(phase("EVENT TRIGGER", "e", "…", false), PHASE_LAST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(entries), cmocka_unit_test(forged),
                                       cmocka_unit_test(not_a_dump), cmocka_unit_test(roles),
                                       cmocka_unit_test(phases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
