/* Owns: arrays as apply has them in MariaDB's JSON columns (lib/target/mariadb/arrays.c), back in PostgreSQL's text form: [1,null,"a b"] is
 * {1,NULL,"a b"}. Every string is quoted, so that none is taken for NULL. */
#include <string.h>

#include "change/json_read.h"
#include "write_internal.h"

#define MAX_DEPTH   6 /* MAXDIM of the server */
#define ARENA_BLOCK 4096

static void add_quoted(struct strbuf *out, const char *text, size_t len)
{
    strbuf_addc(out, '"');
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"' || text[i] == '\\')
            strbuf_addc(out, '\\');
        strbuf_addc(out, text[i]);
    }
    strbuf_addc(out, '"');
}

static void add_string(struct json_reader *jr, struct strbuf *out)
{
    const char *text;
    size_t len;
    json_take_string(jr, &text, &len);
    add_quoted(out, text, len);
}

/* A number, true or false: as it stands. */
static void add_bare(struct json_reader *jr, struct strbuf *out)
{
    const char *from = jr->p;
    json_skip(jr);
    strbuf_add(out, from, (size_t)(jr->p - from));
}

static void add_array(struct json_reader *jr, char delimiter, int depth, struct strbuf *out)
{
    bool first = true, any = false;
    if (depth > MAX_DEPTH)
        json_fail(jr, "too deep for an array");
    json_open(jr, '[');
    strbuf_addc(out, '{');
    while (json_element(jr, &first)) {
        if (any)
            strbuf_addc(out, delimiter);
        any = true;
        bool null = json_take_null(jr); /* blanks are behind it in any case */
        char next = jr->p < jr->end ? *jr->p : '\0';
        if (null)
            strbuf_adds(out, "NULL");
        else if (next == '[')
            add_array(jr, delimiter, depth + 1, out);
        else if (next == '"')
            add_string(jr, out);
        else if (next == '{')
            json_fail(jr, "an object is no element");
        else
            add_bare(jr, out);
    }
    strbuf_addc(out, '}');
}

/* PostgreSQL's own text, of a column that is no JSON: "{…}", "[0:1]={…}". */
static bool is_array_text(const char *p, size_t len)
{
    size_t i = len > 0 && p[0] == '[';
    if (i == 0)
        return len > 0 && p[0] == '{';
    i += i < len && p[i] == '-';
    size_t digits = 0;
    while (i + digits < len && p[i + digits] >= '0' && p[i + digits] <= '9')
        digits++;
    return digits > 0 && i + digits < len && p[i + digits] == ':';
}

bool array_from_json(const struct datum *value, char delimiter, struct strbuf *out, struct err *err)
{
    struct arena arena;
    struct json_reader jr;
    if (is_array_text(value->s.p, value->s.len)) {
        strbuf_add(out, value->s.p, value->s.len);
        return true;
    }
    arena_init(&arena, ARENA_BLOCK, TYPES_TEXT_MAX);
    json_reader_init(&jr, value->s.p, value->s.len, &arena);
    add_array(&jr, delimiter, 1, out);
    json_end(&jr);
    arena_release(&arena);
    if (jr.failed == NULL)
        return true;
    err_set(err, ERR_DATA,
            "this is no JSON array that an array of PostgreSQL can be made of (SQLSTATE 22P02)");
    memcpy(err->sqlstate, "22P02", 6);
    return false;
}
