/*
 * Every type against a real server: values leave it with COPY BINARY, become datums, come back through COPY
 * BINARY (or a text staging column), and must be the same, byte for byte. The text form must be what the
 * server prints. CF_SEED chooses the random values, CF_CHECK_MODE=full makes ten times as many.
 */
#include "pg_server.h"

#include <endian.h>
#include <time.h>

#include "core/alloc.h"
#include "core/arena.h"
#include "pg/conn.h"
#include "pg/types/read.h"
#include "pg/types/text.h"
#include "pg/types/write.h"

#include "pg_types_cases.h"

struct rig {
    struct pg_server server;
    struct pg_conn *conn; /* COPY goes over this one */
    struct pg_conn *side; /* looks types and names up */
    struct pg_type_catalog *cat;
    struct arena arena;
    unsigned seed;
    int random_rows;
};

static struct err err;

static void ok(bool good)
{
    if (!good)
        fail_msg("%s: %s", err_code_name(err.code), err.text);
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    const struct pg_options options = {.application_name = "pg_types_test"};
    const char *seed = getenv("CF_SEED"), *mode = getenv("CF_CHECK_MODE");
    *state = rig;
    rig->seed = seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)time(NULL);
    rig->random_rows = mode != NULL && strcmp(mode, "full") == 0 ? 2000 : 200;
    printf("seed %u\n", rig->seed);
    pg_server_start(&rig->server);
    ok(pg_open(rig->server.url, &options, &rig->conn, &err));
    ok(pg_open(rig->server.url, &options, &rig->side, &err));
    ok(pg_exec(rig->conn, "SET search_path = public, pg_catalog",
               &err)); /* where the cases' types are made */
    ok(pg_exec(rig->side, "SET search_path = public, pg_catalog", &err));
    ok(pg_exec(rig->conn, case_setup, &err));
    ok(pg_execf(rig->conn, &err, "SELECT setseed(%g)", (double)(rig->seed % 1000000) / 1e6));
    rig->cat = pg_type_catalog_new();
    arena_init(&rig->arena, 1 << 16, (size_t)64 << 20);
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    pg_type_catalog_free(rig->cat);
    arena_release(&rig->arena);
    pg_close(rig->side);
    pg_close(rig->conn);
    pg_server_stop(&rig->server);
    free(rig);
    return 0;
}

/* ---- one COPY BINARY field after the other ---- */

struct cell {
    const char *bytes;
    uint32_t len;
    bool null;
};

static size_t next_row(const char *p, size_t len, struct cell *cells, int count)
{
    static const char signature[] = "PGCOPY\n\377\r\n";
    size_t at = len >= 19 && memcmp(p, signature, sizeof signature) == 0 ? 19 : 0;
    uint16_t fields;
    memcpy(&fields, p + at, 2);
    if (be16toh(fields) == 0xffff)
        return 0;
    assert_int_equal(be16toh(fields), count);
    at += 2;
    for (int i = 0; i < count; i++) {
        uint32_t n;
        memcpy(&n, p + at, 4);
        n = be32toh(n);
        cells[i] = (struct cell){p + at + 4, n, n == UINT32_MAX};
        at += 4 + (cells[i].null ? 0 : n);
    }
    assert_true(at <= len);
    return at;
}

static void begin_copy_in(struct rig *rig, const char *sql, struct pg_conn *conn)
{
    static const char header[19] = "PGCOPY\n\377\r\n";
    ok(pg_copy_in_begin(conn, sql, &err));
    ok(pg_copy_in_put(conn, header, sizeof header, &err));
}

/* ---- a case ---- */

/* `values` is a list of expressions: each one, between commas at the top level, becomes a row. */
static void insert_values(struct rig *rig, const struct type_case *c)
{
    int depth = 0;
    bool quoted = false;
    for (const char *start = c->values, *p = start;; p++) {
        quoted ^= *p == '\'';
        depth += quoted ? 0 : (*p == '(' || *p == '[') - (*p == ')' || *p == ']');
        if (*p != '\0' && (*p != ',' || quoted || depth > 0))
            continue;
        ok(pg_execf(rig->conn, &err, "INSERT INTO src (v) VALUES (CAST(%.*s AS %s))", (int)(p - start), start,
                    c->type));
        if (*p == '\0')
            return;
        start = p + 1;
    }
}

static void fill_source(struct rig *rig, const struct type_case *c)
{
    ok(pg_execf(
        rig->conn, &err,
        "DROP TABLE IF EXISTS src, dst; CREATE TABLE dst (id int, v %s); "
        "CREATE TABLE src (id int GENERATED ALWAYS AS IDENTITY, v %s); INSERT INTO src (v) VALUES (NULL)",
        c->type, c->type));
    insert_values(rig, c);
    if (c->random == NULL)
        return;
    /* a random value may be out of the type's range: left out */
    ok(pg_execf(rig->conn, &err,
                "DO $do$ BEGIN FOR n IN 1..%d LOOP BEGIN INSERT INTO src (v) SELECT (%s)::%s; "
                "EXCEPTION WHEN data_exception OR check_violation THEN NULL; END; END LOOP; END $do$",
                rig->random_rows, c->random, c->type));
}

static void column_type(struct rig *rig, uint32_t *oid, int32_t *typmod)
{
    PG_RESULT_AUTO res = NULL;
    ok(pg_query(
        rig->conn,
        "SELECT atttypid, atttypmod FROM pg_attribute WHERE attrelid = 'src'::regclass AND attname = 'v'", 0,
        NULL, &res, &err));
    *oid = (uint32_t)pg_cell_int64(res, 0, 0);
    *typmod = (int32_t)pg_cell_int64(res, 0, 1);
}

static bool prints_differently(const struct type_case *c, const char *text)
{
    /* see text.h: names are qualified, "char" above 127 is escaped */
    return strncmp(c->type, "reg", 3) == 0 || (strncmp(c->type, "\"char\"", 6) == 0 && text[0] == '\\');
}

static void check_text(struct rig *rig, const struct type_case *c, uint32_t oid, const struct cell *cells)
{
    struct strbuf text = STRBUF_INIT((size_t)64 << 20);
    ok(pg_value_to_text(rig->cat, rig->side, oid, cells[1].bytes, cells[1].len, &text, &err));
    if (!prints_differently(c, text.data) &&
        (text.len != cells[2].len || memcmp(text.data, cells[2].bytes, text.len) != 0))
        fail_msg("%s: text is «%s», the server prints «%.*s»", c->type, text.data, (int)cells[2].len,
                 cells[2].bytes);
    strbuf_release(&text);
}

/* Reads the source and writes every row into `rows` (COPY BINARY) and as text into `texts`. */
static int convert(struct rig *rig, const struct type_case *c, const struct pg_column_reader *reader,
                   const struct pg_column_writer *writer, struct strbuf *rows, struct strbuf *texts)
{
    const char *p;
    size_t len;
    int count = 0;
    ok(pg_copy_out_begin(rig->conn,
                         "COPY (SELECT id, v, CASE WHEN v IS NOT NULL OR v::text IS NOT NULL THEN "
                         "format('%s', v) END FROM src "
                         "ORDER BY id) TO STDOUT (FORMAT binary)",
                         &err));
    for (;;) {
        struct cell cells[3];
        ok(pg_copy_out_get(rig->conn, &p, &len, &err));
        if (len == 0)
            return count;
        if (next_row(p, len, cells, 3) == 0)
            continue;
        struct datum value = {.state = DATUM_NULL};
        if (!cells[1].null) {
            check_text(rig, c, reader->oid, cells);
            ok(pg_read_value(reader, cells[1].bytes, cells[1].len, false, &rig->arena, &value, &err));
        }
        strbuf_add_be16(rows, 2);
        strbuf_add(rows, cells[0].bytes - 4, 8);
        ok(pg_write_copy(writer, &value, rows, &err));
        strbuf_add_be16(texts, 2);
        strbuf_add(texts, cells[0].bytes - 4, 8);
        size_t start = texts->len;
        strbuf_add_be32(texts, UINT32_MAX);
        if (value.state != DATUM_NULL) {
            ok(pg_write_text(writer, &value, texts, &err));
            uint32_t be = htobe32((uint32_t)(texts->len - start - 4));
            memcpy(texts->data + start, &be, 4);
        }
        arena_clear(&rig->arena);
        count++;
    }
}

static void load(struct rig *rig, const struct pg_column_writer *writer, const struct strbuf *rows,
                 bool as_text)
{
    struct strbuf sql = STRBUF_INIT(4096), cast = STRBUF_INIT(1024), type = STRBUF_INIT(1024);
    pg_writer_cast(writer, &cast);
    if (as_text)
        strbuf_adds(&type, "pg_catalog.text");
    else
        pg_writer_staging_type(writer, &type);
    ok(pg_execf(rig->conn, &err, "DROP TABLE IF EXISTS stage; CREATE TABLE stage (id int, v %s)", type.data));
    begin_copy_in(rig, "COPY stage FROM STDIN (FORMAT binary)", rig->conn);
    ok(pg_copy_in_put(rig->conn, rows->data, rows->len, &err));
    ok(pg_copy_in_put(rig->conn, "\377\377", 2, &err));
    ok(pg_copy_in_end(rig->conn, NULL, &err));
    bool needs_cast = as_text || writer->mode == PG_WRITE_TEXT;
    ok(pg_execf(rig->conn, &err, "TRUNCATE dst; INSERT INTO dst SELECT id, v%s%s FROM stage",
                needs_cast ? "::" : "", needs_cast ? cast.data : ""));
    strbuf_release(&sql);
    strbuf_release(&cast);
    strbuf_release(&type);
}

static void copy_all(struct rig *rig, const char *table, struct strbuf *out)
{
    char sql[120];
    const char *p;
    size_t len;
    snprintf(sql, sizeof sql, "COPY (SELECT id, v FROM %s ORDER BY id) TO STDOUT (FORMAT binary)", table);
    strbuf_clear(out);
    ok(pg_copy_out_begin(rig->conn, sql, &err));
    do {
        ok(pg_copy_out_get(rig->conn, &p, &len, &err));
        strbuf_add(out, p, len);
    } while (len > 0);
    assert_false(out->failed);
}

/* The target's bytes are the source's: stronger than IS NOT DISTINCT FROM, which json, xml or point do not
 * even have. */
static void compare(struct rig *rig, const struct type_case *c, const char *way)
{
    struct strbuf a = STRBUF_INIT((size_t)256 << 20), b = STRBUF_INIT((size_t)256 << 20);
    copy_all(rig, "src", &a);
    copy_all(rig, "dst", &b);
    if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0) {
        PG_RESULT_AUTO res = NULL;
        ok(pg_query(rig->conn,
                    "SELECT id, src.v, dst.v FROM src FULL JOIN dst USING (id) WHERE format('%s', src.v) <> "
                    "format('%s', dst.v) "
                    "LIMIT 1",
                    0, NULL, &res, &err));
        fail_msg("%s, %s: source and target differ: %s «%s» «%s»", c->type, way,
                 pg_rows(res) ? pg_cell(res, 0, 0) : "in binary", pg_rows(res) ? pg_cell(res, 0, 1) : "",
                 pg_rows(res) ? pg_cell(res, 0, 2) : "");
    }
    strbuf_release(&a);
    strbuf_release(&b);
}

static int run_case(struct rig *rig, const struct type_case *c)
{
    uint32_t oid;
    int32_t typmod;
    struct pg_column_reader reader;
    struct pg_column_writer writer;
    struct field field;
    struct strbuf rows = STRBUF_INIT((size_t)256 << 20), texts = STRBUF_INIT((size_t)256 << 20);
    fill_source(rig, c);
    column_type(rig, &oid, &typmod);
    ok(pg_reader_plan(rig->cat, rig->side, oid, typmod, &reader, &err));
    assert_false(reader.as_text);
    pg_reader_field(&reader, "v", true, false, &field);
    if (!pg_writer_plan(&field, oid, typmod, rig->cat, rig->side, &writer, &err))
        fail_msg("%s: %s", c->type, err.text);
    if ((writer.mode == PG_WRITE_TEXT) != c->text_only)
        fail_msg("%s goes the other way than expected", c->type);
    int count = convert(rig, c, &reader, &writer, &rows, &texts);
    load(rig, &writer, &rows, false);
    compare(rig, c, "COPY");
    load(rig, &writer, &texts, true);
    compare(rig, c, "text and cast");
    strbuf_release(&rows);
    strbuf_release(&texts);
    free(field.name);
    free(field.semantic);
    free(field.source_type);
    return count;
}

static void every_type_comes_back_the_same(void **state)
{
    struct rig *rig = *state;
    const char *only = getenv("CF_TYPE");
    int values = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (only == NULL || strcmp(only, cases[i].type) == 0)
            values += run_case(rig, &cases[i]);
    }
    printf("%zu column types, %d values\n", sizeof cases / sizeof cases[0], values);
}

/* ---- plans between types of the user's ---- */

static uint32_t type_oid(struct rig *rig, const char *name)
{
    const char *params[] = {name};
    int64_t oid;
    ok(pg_query_int64(rig->side, "SELECT $1::regtype::oid", 1, params, &oid, &err));
    return (uint32_t)oid;
}

static bool plan_pair(struct rig *rig, const char *from, int32_t from_mod, const char *to, int32_t to_mod)
{
    struct pg_column_reader reader;
    struct pg_column_writer writer;
    struct field field;
    err_clear(&err);
    ok(pg_reader_plan(rig->cat, rig->side, type_oid(rig, from), from_mod, &reader, &err));
    pg_reader_field(&reader, "c", true, false, &field);
    bool fits = pg_writer_plan(&field, type_oid(rig, to), to_mod, rig->cat, rig->side, &writer, &err);
    free(field.name);
    free(field.semantic);
    free(field.source_type);
    return fits;
}

static void plans_between_user_types(void **state)
{
    static const struct {
        const char *from, *to;
        int32_t to_mod;
        bool fits;
    } t[] = {
        {"dom_num", "numeric", -1, true},
        {"dom_num", "numeric", ((12 << 16) | 3) + 4, true},
        {"dom_num", "numeric", ((11 << 16) | 3) + 4, false},
        {"dom_num", "dom_dom", -1, true}, /* other name, but a number that fits */
        {"dom_num", "dom_plain", -1, true},
        {"dom_plain", "dom_num", -1, false},
        {"numeric", "dom_num", -1, false},
        {"int4", "dom_plain", -1, true},
        {"dom_text", "text", -1, true},
        {"dom_text", "varchar", 34, true},
        {"dom_text", "varchar", 33, false},
        {"dom_arr", "dom_arr", -1, true},
        {"dom_arr", "int4[]", -1, false}, /* its text may be anything */
        {"int4[]", "dom_arr", -1, true},
        {"mood", "mood2", -1, true},
        {"mood", "text", -1, true},
        {"text", "mood", -1, false},
        {"mood[]", "mood[]", -1, true},
        {"mood[]", "text[]", -1, false},
        {"comp", "comp", -1, true},
        {"comp", "comp2", -1, false},
        {"comp", "text", -1, true},
        {"citext", "text", -1, true},
        {"text", "citext", -1, true},
        {"hstore", "hstore", -1, true},
        {"hstore", "jsonb", -1, false},
        {"ltree", "text", -1, true},
        {"floatrange", "floatrange", -1, true},
        {"floatrange", "numrange", -1, false},
        {"hidden.mood", "mood", -1, false}, /* a composite of the same name: not made of the same */
    };
    struct rig *rig = *state;
    ok(pg_exec(rig->conn, "CREATE TYPE mood2 AS ENUM ('sad'); CREATE TYPE hidden.mood AS (a int)", &err));
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        bool fits = plan_pair(rig, t[i].from, -1, t[i].to, t[i].to_mod);
        if (fits != t[i].fits)
            fail_msg("%s → %s %d: %s", t[i].from, t[i].to, t[i].to_mod, fits ? "fits" : err.text);
        if (!fits)
            assert_int_equal(err.code, ERR_SCHEMA);
    }
}

static void refuses_unknown_binary_forms(void **state)
{
    struct rig *rig = *state;
    struct pg_column_reader reader;
    static const char *const types[] = {"cube", "cube[]", "with_cube", "pg_node_tree"};
    ok(pg_exec(rig->conn, "CREATE TYPE with_cube AS (a int, c cube)", &err));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        err_clear(&err);
        assert_false(pg_reader_plan(rig->cat, rig->side, type_oid(rig, types[i]), -1, &reader, &err));
        assert_int_equal(err.code, ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, "Hint"));
    }
    err_clear(&err);
    assert_false(pg_reader_plan(rig->cat, rig->side, 4294967295, -1, &reader, &err));
    assert_int_equal(err.code, ERR_SCHEMA);
    err_clear(&err);
    assert_false(pg_in_transaction(rig->side)); /* nothing failed on the server */
}

static void names_of_objects_are_qualified(void **state)
{
    struct rig *rig = *state;
    struct strbuf text = STRBUF_INIT(1000);
    char *path = NULL;
    int64_t oid;
    ok(pg_query_int64(rig->side, "SELECT '\"Weird Table\"'::regclass::oid", 0, NULL, &oid, &err));
    uint32_t be = htobe32((uint32_t)oid);
    ok(pg_exec(rig->side, "BEGIN; SET LOCAL search_path = hidden, public", &err));
    pg_type_catalog_forget_names(rig->cat);
    ok(pg_value_to_text(rig->cat, rig->side, 2205, &be, 4, &text, &err));
    assert_string_equal(text.data, "public.\"Weird Table\"");
    ok(pg_query_text(rig->side, "SHOW search_path", 0, NULL, &path, &err));
    assert_string_equal(path, "hidden, public");
    ok(pg_exec(rig->side, "COMMIT", &err));
    free(path);
    strbuf_clear(&text);
    ok(pg_value_to_text(rig->cat, NULL, 2205, &be, 4, &text, &err)); /* from the cache: no connection */
    assert_string_equal(text.data, "public.\"Weird Table\"");
    strbuf_release(&text);
}

/* A type without binary form: the source sends text, the target casts it. */
static void passes_text_of_types_without_binary_form(void **state)
{
    struct rig *rig = *state;
    struct pg_column_reader reader;
    struct pg_column_writer writer;
    struct field field;
    struct datum value;
    struct strbuf sql = STRBUF_INIT(1000);
    char *back = NULL;
    static const char acl[] = "postgres=arwdDxt/postgres";
    ok(pg_reader_plan(rig->cat, rig->side, 1033, -1, &reader, &err));
    assert_true(reader.as_text);
    pg_reader_field(&reader, "acl", true, false, &field);
    ok(pg_writer_plan(&field, 1033, -1, rig->cat, rig->side, &writer, &err));
    assert_int_equal(writer.mode, PG_WRITE_TEXT);
    ok(pg_read_value(&reader, acl, sizeof acl - 1, true, &rig->arena, &value, &err));
    strbuf_adds(&sql, "SELECT ('");
    ok(pg_write_text(&writer, &value, &sql, &err));
    strbuf_adds(&sql, "'::text::");
    pg_writer_cast(&writer, &sql);
    strbuf_adds(&sql, ")::text");
    ok(pg_query_text(rig->side, sql.data, 0, NULL, &back, &err));
    assert_string_equal(back, acl);
    free(back);
    strbuf_release(&sql);
    free(field.name);
    free(field.source_type);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_comes_back_the_same),
        cmocka_unit_test(plans_between_user_types),
        cmocka_unit_test(refuses_unknown_binary_forms),
        cmocka_unit_test(names_of_objects_are_qualified),
        cmocka_unit_test(passes_text_of_types_without_binary_form),
    };
    return cmocka_run_group_tests_name("pg_types", tests, set_up, tear_down);
}
