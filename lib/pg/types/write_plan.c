/* Owns: the plan for one column: what the field's source type was, whether the target keeps it, and the
 * functions. */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "pg/conn.h"
#include "pg/types/read.h"
#include "write_internal.h"

struct plan {
    const struct field *field;
    const struct encoding *enc;
    struct pg_type_catalog *cat;
    struct pg_conn *conn;
    const struct pg_type *declared; /* of the target column */
    const struct pg_type *base;     /* its domains resolved */
    int32_t typmod;                 /* of base */
};

static bool refuse(const struct plan *p, const char *source, const char *reason, struct err *err)
{
    char target[160];
    types_print(p->declared, p->declared == p->base ? p->typmod : -1, target, sizeof target);
    return err_set(err, ERR_SCHEMA, "column %s: %s of the source does not fit %s: %s", p->field->name, source,
                   target, reason);
}

/* Is the target type the same user-made type, going by its name? */
static bool same_user_type(const struct plan *p, bool *ret, struct err *err)
{
    char name[160];
    const struct pg_type *elem = NULL;
    *ret = false;
    if (p->field->source_type == NULL)
        return true;
    if (p->declared->kind == PG_KIND_ARRAY &&
        !pg_type_catalog_get(p->cat, p->conn, p->declared->elem, &elem, err))
        return false;
    const struct pg_type *named = elem != NULL ? elem : p->declared;
    types_source_name(p->declared, elem, name, sizeof name);
    *ret = pg_type_builtin(named->oid) == NULL && strcasecmp(name, p->field->source_type) == 0;
    return true;
}

/* A built-in type as the field's encoding and source_type say; NULL: some other type. */
static const struct pg_type *builtin_source(const struct plan *p)
{
    static const char *const aliases[][2] = {
        {"SERIAL", "int4"}, {"BIGSERIAL", "int8"}, {"SMALLSERIAL", "int2"}};
    const char *name = p->field->source_type, *semantic;
    enum phys phys;
    if (name == NULL)
        return pg_type_builtin(p->enc->oid);
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++) {
        if (strcmp(name, aliases[i][0]) == 0)
            name = aliases[i][1];
    }
    const struct pg_type *type = pg_type_builtin_named(name);
    if (type != NULL) {
        types_rule(type, &phys, &semantic);
        if (phys == p->field->phys && encoding_find(phys, semantic) == p->enc)
            return type;
    }
    return pg_type_builtin(
        p->enc->oid); /* a type of the user's (maybe of this name): what its encoding says */
}

/* Source types that are not built in (domains, extensions): only their text is known here, and length and
 * scale. What is written is checked value by value, so that only text in PostgreSQL's own form passes as a
 * number. */
static const struct pg_type *guess_source(const struct plan *p)
{
    if (p->enc->semantic != NULL)
        return NULL;
    if (p->base->wire == PG_WIRE_NUMERIC)
        return pg_type_builtin(PG_OID_NUMERIC);
    if (p->base->oid == PG_OID_VARCHAR || strcmp(p->base->name, "citext") == 0)
        return pg_type_builtin(PG_OID_VARCHAR);
    return NULL;
}

static bool fits(const struct plan *p, const struct pg_type *source, struct err *err)
{
    struct fit f = {.source = source, .target = p->base, .target_typmod = p->typmod};
    const struct pg_type *source_elem = source->kind == PG_KIND_ARRAY ? pg_type_builtin(source->elem) : NULL;
    const struct pg_type *value = source_elem != NULL ? source_elem : source;
    char text[160];
    f.source_typmod = p->field->source_typmod != 0
                          ? p->field->source_typmod
                          : source_typmod(value, p->field->source_length, p->field->source_scale);
    types_print(source, f.source_typmod, text, sizeof text);
    if (takes_any_text(p->base, p->typmod))
        return true;
    if (p->base->kind == PG_KIND_ARRAY) {
        if (source_elem == NULL)
            return refuse(p, text, "it is not an array", err);
        if (!pg_type_catalog_base(p->cat, p->conn, p->base->elem, &f.target_typmod, &f.target, err))
            return false;
        if (source_elem->delim != f.target->delim)
            return refuse(p, text, "elements are separated by other characters in its text", err);
        f.source = source_elem;
        f.in_array = true;
    }
    return types_fit(&f) || refuse(p, text, f.reason, err);
}

/* The same user-made type on both sides: what it is made of is the server's affair, but a domain's base is
 * checked. */
static bool same_type_fits(const struct plan *p, struct err *err)
{
    enum phys phys;
    const char *semantic;
    types_rule(p->base, &phys, &semantic);
    if (encoding_find(phys, semantic) != p->enc)
        return refuse(p, p->field->source_type,
                      "types of this name are made of different things on the two sides", err);
    if (p->declared->kind == PG_KIND_DOMAIN && pg_type_builtin(p->base->oid) != NULL)
        return fits(p, p->base, err);
    return true;
}

static bool source_fits(const struct plan *p, struct err *err)
{
    bool same;
    if (!same_user_type(p, &same, err))
        return false;
    if (same)
        return same_type_fits(p, err);
    bool is_enum = p->enc->semantic != NULL && strcmp(p->enc->semantic, "io.debezium.data.Enum") == 0;
    if (takes_any_text(p->base, p->typmod) || (is_enum && p->base->kind == PG_KIND_ENUM))
        return true;
    const struct pg_type *source = builtin_source(p);
    if (source == NULL)
        source = guess_source(p);
    const char *name = p->field->source_type != NULL ? p->field->source_type : "a type that is not named";
    if (source == NULL)
        return refuse(
            p, name,
            "only its text is known here. Hint: make a type of the same name on the target, or use text",
            err);
    return fits(p, source, err);
}

static void set_limits(const struct plan *p, struct pg_column_writer *w)
{
    int precision, scale;
    w->limit = w->digits = -1;
    switch (p->base->wire) {
    case PG_WIRE_NUMERIC:
        w->limit = w->digits = NUMERIC_ANY;
        if (pg_typmod_numeric(p->typmod, &precision, &scale)) {
            w->limit = precision - scale;
            w->digits = scale;
        }
        break;
    case PG_WIRE_TEXT:
        if ((p->base->oid == PG_OID_VARCHAR || p->base->oid == PG_OID_BPCHAR) && p->typmod >= 4)
            w->limit = p->typmod - 4;
        break;
    case PG_WIRE_INTERVAL:
        w->limit = pg_typmod_interval_range(p->typmod);
        w->digits = pg_typmod_interval_digits(p->typmod);
        break;
    default:
        w->digits = pg_typmod_time_digits(p->typmod);
    }
}

static void set_functions(const struct plan *p, struct pg_column_writer *w)
{
    w->text = p->enc->text;
    w->binary = binary_writer(p->enc, p->base);
    w->mode = w->binary != NULL ? PG_WRITE_BINARY : PG_WRITE_TEXT;
    if (w->binary == NULL)
        w->binary = w->text; /* the bytes of a staging column of type text */
    /* Arrays of "char" go as text; before 16, the server reads "\203" back as a backslash. */
    bool qchars = p->base->kind == PG_KIND_ARRAY && p->base->elem == PG_OID_QCHAR;
    if (qchars && p->conn != NULL && pg_server_version(p->conn) < 160000)
        w->binary = w->text = write_text_without_escapes;
}

static char delimiter_of(const struct plan *p)
{
    const struct pg_type *elem = p->base->kind == PG_KIND_ARRAY ? pg_type_builtin(p->base->elem) : NULL;
    return elem != NULL ? elem->delim : ',';
}

static bool plan_writer(const struct field *field, uint32_t target_oid, int32_t target_typmod, bool back,
                        struct pg_type_catalog *cat, struct pg_conn *conn, struct pg_column_writer *ret,
                        struct err *err)
{
    struct field exact;
    struct plan p = {.field = field, .cat = cat, .conn = conn, .typmod = target_typmod};
    if (!pg_type_catalog_get(cat, conn, target_oid, &p.declared, err) ||
        !pg_type_catalog_base(cat, conn, target_oid, &p.typmod, &p.base, err))
        return err_wrap(err, "column %s", field->name);
    pg_adapt_fn *adapt = back ? back_adapter(field, p.base, &exact) : foreign_adapter(field, p.base, &exact);
    if (adapt != NULL)
        p.field = &exact;
    p.enc = encoding_find(p.field->phys, p.field->semantic);
    if (p.enc == NULL)
        return refuse(&p, field->semantic != NULL ? field->semantic : "an unknown encoding",
                      "this encoding of values is not read here", err);
    if (!(back && back_fits(p.field, p.base, p.typmod)) && !foreign_text_fits(field, p.field, p.base) &&
        !source_fits(&p, err))
        return false;
    struct pg_column_writer w = {.target = p.declared,
                                 .field = field,
                                 .adapt = adapt,
                                 .base = p.base,
                                 .target_typmod = p.typmod,
                                 .interval_marks = interval_marks(conn),
                                 .delimiter = delimiter_of(&p)};
    set_limits(&p, &w);
    set_functions(&p, &w);
    if (foreign_needs_server(p.field, p.base) || (back && back_needs_server(p.field, p.base))) {
        w.mode = PG_WRITE_TEXT;
        w.binary = w.text;
    }
    *ret = w;
    return true;
}

bool pg_writer_plan(const struct field *field, uint32_t target_oid, int32_t target_typmod,
                    struct pg_type_catalog *cat, struct pg_conn *conn, struct pg_column_writer *ret,
                    struct err *err)
{
    return plan_writer(field, target_oid, target_typmod, false, cat, conn, ret, err);
}

bool pg_writer_plan_back(const struct field *field, uint32_t target_oid, int32_t target_typmod,
                         struct pg_type_catalog *cat, struct pg_conn *conn, struct pg_column_writer *ret,
                         struct err *err)
{
    return plan_writer(field, target_oid, target_typmod, true, cat, conn, ret, err);
}

static bool is_value(const struct datum *value, struct err *err)
{
    if (value->state == DATUM_VALUE)
        return true;
    return err_set(err, ERR_BUG, "a value that is %s cannot be written",
                   value->state == DATUM_NULL ? "null" : "not available (unchanged TOAST)");
}

/* Writes the value in the form that the writers are for. */
static bool write_adapted(const struct pg_column_writer *w, pg_write_fn *write, const struct datum *value,
                          struct strbuf *out, struct err *err)
{
    struct strbuf room = STRBUF_INIT(TYPES_TEXT_MAX);
    struct datum exact;
    bool ok = w->adapt(w, w->field, value, &room, &exact, err) && write(w, &exact, out, err);
    strbuf_release(&room);
    return ok;
}

bool pg_write_binary(const struct pg_column_writer *w, const struct datum *value, struct strbuf *out,
                     struct err *err)
{
    if (!is_value(value, err))
        return false;
    bool ok = w->adapt == NULL ? w->binary(w, value, out, err) : write_adapted(w, w->binary, value, out, err);
    return ok && strbuf_ok(out, "row", err);
}

static bool write_text(const struct pg_column_writer *w, const struct datum *value, struct strbuf *out,
                       struct err *err)
{
    size_t start = out->len;
    if (w->mode == PG_WRITE_BINARY) { /* for its checks: a cast and an assignment round in silence */
        if (!w->binary(w, value, out, err))
            return false;
        out->len = start;
        if (out->cap != 0)
            out->data[start] = '\0';
    }
    return w->text(w, value, out, err);
}

bool pg_write_text(const struct pg_column_writer *w, const struct datum *value, struct strbuf *out,
                   struct err *err)
{
    if (!is_value(value, err))
        return false;
    bool ok =
        w->adapt == NULL ? write_text(w, value, out, err) : write_adapted(w, write_text, value, out, err);
    return ok && strbuf_ok(out, "text form of a value", err);
}

bool pg_write_copy(const struct pg_column_writer *w, const struct datum *value, struct strbuf *out,
                   struct err *err)
{
    if (value->state == DATUM_NULL) {
        strbuf_add_be32(out, UINT32_MAX);
        return strbuf_ok(out, "row", err);
    }
    size_t start = out->len;
    strbuf_add_be32(out, 0);
    if (!pg_write_binary(w, value, out, err))
        return false;
    size_t len = out->len - start - 4;
    if (len > INT32_MAX)
        return err_set(err, ERR_DATA, "a value of %zu bytes is larger than a field can be", len);
    uint32_t be = htobe32((uint32_t)len);
    memcpy(out->data + start, &be, sizeof be);
    return true;
}

static void add_type(const struct pg_type *type, struct strbuf *out)
{
    pg_quote_table(out, type->schema, type->name);
}

void pg_field_type_print(const struct field *field, struct strbuf *out)
{
    struct plan p = {.field = field, .enc = encoding_find(field->phys, field->semantic)};
    const char *name = field->source_type != NULL ? field->source_type : "text";
    bool is_array = name[0] == '_';
    const struct pg_type *type = pg_type_builtin_named(name);
    if (type == NULL && field->source_type == NULL && p.enc != NULL)
        type = pg_type_builtin(p.enc->oid);
    if (type != NULL) {
        char text[160];
        const struct pg_type *value = is_array ? pg_type_builtin(type->elem) : type;
        int32_t typmod = field->source_typmod != 0
                             ? field->source_typmod
                             : source_typmod(value, field->source_length, field->source_scale);
        types_print(type, typmod, text, sizeof text);
        strbuf_adds(out, text);
        return;
    }
    char lower[PG_SOURCE_TYPE_MAX];
    size_t n = 0;
    for (const char *c = is_array ? name + 1 : name; *c != '\0' && n + 1 < sizeof lower; c++)
        lower[n++] = (char)tolower((unsigned char)*c);
    lower[n] = '\0';
    pg_quote_ident(out, lower);
    strbuf_adds(out, is_array ? "[]" : "");
}

void pg_writer_cast(const struct pg_column_writer *w, struct strbuf *out)
{
    /* text::regclass looks names up and knows neither "-" nor numbers; by way of char, regclass's input
     * function runs. */
    if (strcmp(w->base->name, "regclass") == 0) {
        add_type(pg_type_builtin(PG_OID_BPCHAR), out);
        strbuf_adds(out, "::");
    }
    add_type(w->base, out);
}

void pg_writer_staging_type(const struct pg_column_writer *w, struct strbuf *out)
{
    add_type(w->mode == PG_WRITE_TEXT ? pg_type_builtin(PG_OID_TEXT) : w->base, out);
}
