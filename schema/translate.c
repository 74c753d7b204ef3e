/* Owns: which expressions of PostgreSQL are certain on MariaDB. See translate.h. */
#include "translate.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"
#include "maria/conn.h"

#define TEXT_BYTES_MAX ((size_t)1 << 20)

/* --- tokens of what pg_get_expr() prints --- */

enum token_kind { TOKEN_END = 0, TOKEN_NAME, TOKEN_QUOTED, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_SIGN, TOKEN_BAD };

struct token {
    enum token_kind kind;
    struct strbuf text; /* without quotes */
};

struct reader {
    const char *p;
    struct token token;
};

static void read_quoted(struct reader *r, char quote)
{
    for (r->p++; *r->p != '\0'; r->p++) {
        if (*r->p == quote && *++r->p != quote)
            return;
        strbuf_addc(&r->token.text, *r->p);
    }
    r->token.kind = TOKEN_BAD;
}

static void read_sign(struct reader *r)
{
    static const char *const two[] = {"::", "<>", "<=", ">=", "!="};
    size_t len = 1;
    for (size_t i = 0; i < ARRAY_LEN(two); i++) {
        if (strncmp(r->p, two[i], 2) == 0)
            len = 2;
    }
    strbuf_add(&r->token.text, r->p, len);
    r->p += len;
    r->token.kind = TOKEN_SIGN;
}

static void take_while(struct reader *r, enum token_kind kind, const char *also)
{
    r->token.kind = kind;
    while (isalnum((unsigned char)*r->p) || (*r->p != '\0' && strchr(also, *r->p) != NULL))
        strbuf_addc(&r->token.text, *r->p++);
}

static void next(struct reader *r)
{
    strbuf_clear(&r->token.text);
    while (isspace((unsigned char)*r->p))
        r->p++;
    if (*r->p == '\0') {
        r->token.kind = TOKEN_END;
    } else if (*r->p == '\'') {
        r->token.kind = TOKEN_TEXT;
        read_quoted(r, '\'');
    } else if (*r->p == '"') {
        r->token.kind = TOKEN_QUOTED;
        read_quoted(r, '"');
    } else if (isdigit((unsigned char)*r->p)) {
        take_while(r, TOKEN_NUMBER, ".");
    } else if (isalpha((unsigned char)*r->p) || *r->p == '_' || (unsigned char)*r->p >= 0x80) {
        take_while(r, TOKEN_NAME, "_$");
        if ((unsigned char)*r->p >= 0x80)
            r->token.kind = TOKEN_BAD; /* such names come quoted */
    } else {
        read_sign(r);
    }
}

static void start(struct reader *r, const char *text)
{
    *r = (struct reader){.p = text};
    strbuf_init(&r->token.text, TEXT_BYTES_MAX);
    next(r);
}

static bool is_sign(const struct reader *r, const char *sign)
{
    return r->token.kind == TOKEN_SIGN && strcmp(r->token.text.data, sign) == 0;
}

static bool is_word(const struct reader *r, const char *word)
{
    return r->token.kind == TOKEN_NAME && strcasecmp(r->token.text.data, word) == 0;
}

static bool take_sign(struct reader *r, const char *sign)
{
    if (!is_sign(r, sign))
        return false;
    next(r);
    return true;
}

static bool take_word(struct reader *r, const char *word)
{
    if (!is_word(r, word))
        return false;
    next(r);
    return true;
}

/* Casts behind a value, "::character varying(20)[]"; the last type's first word is kept. */
static bool skip_casts(struct reader *r, struct strbuf *ret_type)
{
    while (take_sign(r, "::")) {
        strbuf_clear(ret_type);
        while (r->token.kind == TOKEN_NAME || r->token.kind == TOKEN_QUOTED || is_sign(r, ".")) {
            if (is_word(r, "AND") || is_word(r, "OR") || is_word(r, "IS"))
                break;
            strbuf_addf(ret_type, "%s%s", ret_type->len > 0 && !is_sign(r, ".") ? " " : "",
                        r->token.text.data);
            next(r);
        }
        if (ret_type->len == 0)
            return false;
        if (take_sign(r, "(")) {
            while (r->token.kind == TOKEN_NUMBER || is_sign(r, ","))
                next(r);
            if (!take_sign(r, ")"))
                return false;
        }
        if (take_sign(r, "[") && !take_sign(r, "]"))
            return false;
    }
    return true;
}

/* --- defaults --- */

static bool is_number_text(const char *s)
{
    s += *s == '-';
    size_t whole = strspn(s, "0123456789");
    s += whole;
    if (*s == '.') {
        size_t part = strspn(s + 1, "0123456789");
        whole += part;
        s += 1 + part;
    }
    return whole > 0 && *s == '\0';
}

static bool among(const char *word, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (strcmp(word, *list) == 0)
            return true;
    }
    return false;
}

static bool is_number_type(const struct sch_column *c)
{
    static const char *const names[] = {"int2", "int4", "int8", "numeric", "float4", "float8", "oid", NULL};
    return !c->array && among(c->base, names);
}

static bool is_text_type(const struct sch_column *c)
{
    static const char *const names[] = {"text", "varchar", "citext", NULL};
    return !c->array && (c->kind == 'e' || among(c->base, names));
}

/* "2024-01-31", "10:00:00", "2024-01-31 10:00:00.5" and, where the column has a zone, "+00" behind it (the session's is UTC). */
static bool take_time_text(const struct sch_column *c, const char *text, struct strbuf *out)
{
    size_t len = strlen(text);
    bool zone = strcmp(c->base, "timestamptz") == 0;
    if (zone && (len < 4 || strcmp(text + len - 3, "+00") != 0))
        return false;
    len -= zone ? 3 : 0;
    if (text[strspn(text, "0123456789-: .+")] != '\0' || !isdigit((unsigned char)text[0]))
        return false;
    bool date = len >= 10 && text[4] == '-' && text[7] == '-';
    if (strcmp(c->base, "time") != 0 && (!date || strncmp(text, "0000", 4) == 0))
        return false;
    char *copy CLEANUP(free_ptr) = xstrndup(text, len);
    maria_quote_literal(out, copy);
    return true;
}

static bool take_text_constant(const struct sch_column *c, const char *text, struct strbuf *out)
{
    static const char *const times[] = {"date", "time", "timestamp", "timestamptz", NULL};
    static const char *const json[] = {"json", "jsonb", NULL};
    if (c->array) {
        strbuf_adds(out, "'[]'");
        return strcmp(text, "{}") == 0;
    }
    if (is_text_type(c) || among(c->base, json) || strcmp(c->base, "uuid") == 0) {
        maria_quote_literal(out, text);
        return true;
    }
    if (is_number_type(c) && is_number_text(text)) {
        strbuf_adds(out, text);
        return true;
    }
    return among(c->base, times) && take_time_text(c, text, out);
}

static bool read_default(struct reader *r, const struct sch_column *c, struct strbuf *type,
                         struct strbuf *out)
{
    bool parens = take_sign(r, "("), minus = take_sign(r, "-");
    bool now = is_word(r, "now") || is_word(r, "CURRENT_TIMESTAMP"), call = is_word(r, "now");
    bool boolean = !c->array && strcmp(c->base, "bool") == 0;
    bool ok = false;
    if (now) {
        next(r);
        ok = (!call || (take_sign(r, "(") && take_sign(r, ")"))) && strcmp(c->base, "timestamptz") == 0 &&
             !c->array && !minus;
        strbuf_adds(out, "(utc_timestamp(6))");
        return ok && !parens && r->token.kind == TOKEN_END;
    }
    if (r->token.kind == TOKEN_NUMBER) {
        ok = is_number_type(c) && is_number_text(r->token.text.data);
        strbuf_addf(out, "%s%s", minus ? "-" : "", r->token.text.data);
    } else if (r->token.kind == TOKEN_TEXT && !minus) {
        ok = take_text_constant(c, r->token.text.data, out);
    } else if (boolean && (is_word(r, "true") || is_word(r, "false"))) {
        ok = true;
        strbuf_adds(out, is_word(r, "true") ? "1" : "0");
    } else if (is_word(r, "NULL")) {
        ok = true;
        strbuf_adds(out, "NULL");
    }
    if (!ok)
        return false;
    next(r);
    return (!parens || take_sign(r, ")")) && skip_casts(r, type) && r->token.kind == TOKEN_END;
}

bool translate_default(const struct sch_column *c, struct strbuf *out)
{
    struct reader r;
    struct strbuf type = STRBUF_INIT(1000), made = STRBUF_INIT(TEXT_BYTES_MAX);
    start(&r, c->def);
    bool ok = read_default(&r, c, &type, &made) && !made.failed && !r.token.text.failed;
    if (ok)
        strbuf_adds(out, made.data);
    strbuf_release(&r.token.text);
    strbuf_release(&type);
    strbuf_release(&made);
    return ok;
}

/* --- checks: OR of AND of comparisons, in parentheses as PostgreSQL prints them --- */

struct checker {
    struct reader r;
    const struct sch_table *table;
    struct strbuf *out;
    struct strbuf type; /* of casts; not looked at */
    int depth;
};

#define DEPTH_MAX 100

static bool read_or(struct checker *k);

/* A column, in any number of parentheses, with casts between texts. */
static const struct sch_column *read_column(struct checker *k)
{
    if (++k->depth > DEPTH_MAX)
        return NULL;
    const struct sch_column *c = NULL;
    if (take_sign(&k->r, "(")) {
        c = read_column(k);
        if (c == NULL || !take_sign(&k->r, ")"))
            return NULL;
    } else if (k->r.token.kind == TOKEN_NAME || k->r.token.kind == TOKEN_QUOTED) {
        size_t at = sch_table_column(k->table, k->r.token.text.data);
        if (at == SIZE_MAX)
            return NULL;
        c = &k->table->columns[at];
        next(&k->r);
    }
    k->depth--;
    if (c == NULL)
        return NULL;
    strbuf_clear(&k->type);
    if (!skip_casts(&k->r, &k->type))
        return NULL;
    if (k->type.len > 0 && !(is_text_type(c) && c->kind != 'e' && strcmp(k->type.data, "text") == 0))
        return NULL; /* a cast that changes the value */
    return c->map.kind == MAP_EXACT ? c : NULL;
}

static bool read_constant(struct checker *k, const struct sch_column *c)
{
    if (++k->depth > DEPTH_MAX)
        return false;
    bool parens = take_sign(&k->r, "("), minus = !parens && take_sign(&k->r, "-"), ok = false;
    if (parens) {
        ok = (is_sign(&k->r, "-") || is_sign(&k->r, "(") || k->r.token.kind != TOKEN_SIGN) &&
             read_constant(k, c) && take_sign(&k->r, ")");
    } else if (k->r.token.kind == TOKEN_NUMBER && is_number_type(c)) {
        ok = is_number_text(k->r.token.text.data);
        strbuf_addf(k->out, "%s%s", minus ? "-" : "", k->r.token.text.data);
        next(&k->r);
    } else if (k->r.token.kind == TOKEN_TEXT && is_number_type(c)) {
        ok = !minus && is_number_text(k->r.token.text.data);
        strbuf_adds(k->out, k->r.token.text.data);
        next(&k->r);
    } else if (k->r.token.kind == TOKEN_TEXT && is_text_type(c)) {
        ok = !minus;
        maria_quote_literal(k->out, k->r.token.text.data);
        next(&k->r);
    }
    k->depth--;
    return ok && skip_casts(&k->r, &k->type);
}

/* = ANY ((ARRAY['a'::text, 'b'::text])::text[]) */
static bool read_any(struct checker *k, const struct sch_column *c)
{
    int open = 0;
    if (!take_word(&k->r, "ANY"))
        return false;
    while (take_sign(&k->r, "("))
        open++;
    if (open < 1 || open > 2 || !take_word(&k->r, "ARRAY") || !take_sign(&k->r, "["))
        return false;
    strbuf_adds(k->out, " IN (");
    for (bool first = true; first || take_sign(&k->r, ","); first = false) {
        strbuf_adds(k->out, first ? "" : ", ");
        if (!read_constant(k, c))
            return false;
    }
    strbuf_addc(k->out, ')');
    if (!take_sign(&k->r, "]"))
        return false;
    for (; open > 0; open--) {
        if (!take_sign(&k->r, ")") || !skip_casts(&k->r, &k->type))
            return false;
    }
    return true;
}

static bool read_null_test(struct checker *k)
{
    bool negated = take_word(&k->r, "NOT");
    strbuf_adds(k->out, negated ? " IS NOT NULL" : " IS NULL");
    return take_word(&k->r, "NULL");
}

/* Texts are only asked for equality: their order belongs to a collation. */
static bool read_comparison(struct checker *k)
{
    static const char *const any[] = {"=", "<>", "<", ">", "<=", ">=", NULL}, *const equal[] = {"=", "<>",
                                                                                                NULL};
    const struct sch_column *c = read_column(k);
    if (c == NULL)
        return false;
    maria_quote_ident(k->out, c->target);
    if (take_word(&k->r, "IS"))
        return read_null_test(k);
    char sign[4] = "";
    if (k->r.token.kind != TOKEN_SIGN || k->r.token.text.len > 2)
        return false;
    memcpy(sign, k->r.token.text.data, k->r.token.text.len);
    next(&k->r);
    if (!among(sign, is_number_type(c) ? any : equal))
        return false;
    if (strcmp(sign, "=") == 0 && is_word(&k->r, "ANY"))
        return read_any(k, c);
    strbuf_addf(k->out, " %s ", sign);
    return read_constant(k, c);
}

/* A parenthesis may hold a condition or a column: what comes out is tried as the first, then as the second. */
static bool read_term(struct checker *k)
{
    if (++k->depth > DEPTH_MAX)
        return false;
    const char *at = k->r.p;
    size_t made = k->out->len;
    bool ok = false;
    if (is_sign(&k->r, "(")) {
        next(&k->r);
        strbuf_addc(k->out, '(');
        ok = read_or(k) && take_sign(&k->r, ")");
        strbuf_addc(k->out, ')');
        if (!ok) { /* back to the parenthesis */
            k->r.p = at - 1;
            next(&k->r);
            k->out->len = made;
            if (k->out->cap > 0)
                k->out->data[made] = '\0';
        }
    }
    if (!ok)
        ok = read_comparison(k);
    k->depth--;
    return ok;
}

static bool read_and(struct checker *k)
{
    if (!read_term(k))
        return false;
    while (take_word(&k->r, "AND")) {
        strbuf_adds(k->out, " AND ");
        if (!read_term(k))
            return false;
    }
    return true;
}

static bool read_or(struct checker *k)
{
    if (!read_and(k))
        return false;
    while (take_word(&k->r, "OR")) {
        strbuf_adds(k->out, " OR ");
        if (!read_and(k))
            return false;
    }
    return true;
}

bool translate_check(const struct sch_table *t, const char *def, struct strbuf *out)
{
    struct strbuf made = STRBUF_INIT(TEXT_BYTES_MAX);
    struct checker k = {.table = t, .out = &made};
    strbuf_init(&k.type, 1000);
    start(&k.r, def);
    bool ok = take_word(&k.r, "CHECK") && is_sign(&k.r, "(") && read_term(&k);
    (void)take_word(&k.r, "NO"); /* NO INHERIT says nothing of rows; NOT VALID would */
    (void)take_word(&k.r, "INHERIT");
    ok = ok && k.r.token.kind == TOKEN_END && !made.failed && !k.r.token.text.failed;
    if (ok)
        strbuf_adds(out, made.data);
    strbuf_release(&k.r.token.text);
    strbuf_release(&k.type);
    strbuf_release(&made);
    return ok;
}
