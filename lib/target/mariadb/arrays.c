/* Owns: arrays of PostgreSQL as JSON. {1,NULL,"a b"} is [1,null,"a b"], of any dimension. Integers, finite floats and numbers and
 * booleans are JSON's own; every other element is a string with PostgreSQL's text form of it. An array whose first index is not 1
 * ("[0:1]={…}") does not fit: JSON has no place for that.
 * Text form: PostgreSQL's documentation, "Array Input and Output Syntax". */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "mariadb.h"

#define MAX_DEPTH 6 /* MAXDIM of the server */

enum element { ELEMENT_STRING = 0, ELEMENT_NUMBER, ELEMENT_BOOL };

static enum element element_kind(const struct md_column *col)
{
    static const char *const numbers[] = {"_INT2",   "_INT4",    "_INT8", "_FLOAT4",
                                          "_FLOAT8", "_NUMERIC", "_OID"};
    const char *type = col->field->source_type != NULL ? col->field->source_type : "";
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (strcmp(type, numbers[i]) == 0)
            return ELEMENT_NUMBER;
    }
    return strcmp(type, "_BOOL") == 0 ? ELEMENT_BOOL : ELEMENT_STRING;
}

static void add_json_char(struct strbuf *sb, char c)
{
    if (c == '"' || c == '\\')
        strbuf_addc(sb, '\\');
    if ((unsigned char)c < 0x20)
        strbuf_addf(sb, "\\u%04x", (unsigned)(unsigned char)c);
    else
        strbuf_addc(sb, c);
}

/* -12.5e+30 as PostgreSQL prints it; NaN and infinities are none. A JSON number does not begin with '+' or '.', and PostgreSQL's
 * do not either. */
static bool is_number(const char *p, size_t len)
{
    size_t i = len > 0 && p[0] == '-';
    return i < len && isdigit((unsigned char)p[i]);
}

static void add_bare(struct strbuf *sb, enum element kind, const char *p, size_t len)
{
    if (len == 4 && memcmp(p, "NULL", 4) == 0) {
        strbuf_adds(sb, "null");
    } else if (kind == ELEMENT_NUMBER && is_number(p, len)) {
        strbuf_add(sb, p, len);
    } else if (kind == ELEMENT_BOOL && len == 1) {
        strbuf_adds(sb, p[0] == 't' ? "true" : "false");
    } else {
        strbuf_addc(sb, '"');
        for (size_t i = 0; i < len; i++)
            add_json_char(sb, p[i]);
        strbuf_addc(sb, '"');
    }
}

/* Behind the opening quote; returns where the closing one is, len if there is none. */
static size_t add_quoted(struct strbuf *sb, const char *p, size_t i, size_t len)
{
    strbuf_addc(sb, '"');
    for (; i < len && p[i] != '"'; i++) {
        i += p[i] == '\\' && i + 1 < len;
        add_json_char(sb, p[i]);
    }
    strbuf_addc(sb, '"');
    return i;
}

/* False: these are not the characters of an array. */
static bool add_array(struct strbuf *sb, enum element kind, char delimiter, const char *p, size_t len)
{
    int depth = 0;
    for (size_t i = 0; i < len; i++) {
        char c = p[i];
        if (c == '{' && ++depth <= MAX_DEPTH) {
            strbuf_addc(sb, '[');
        } else if (c == '}' && depth-- > 0) {
            strbuf_addc(sb, ']');
        } else if (c == delimiter) {
            strbuf_addc(sb, ',');
        } else if (c == '"' && depth > 0) {
            i = add_quoted(sb, p, i + 1, len);
        } else if (depth > 0) {
            size_t end = i;
            while (end < len && p[end] != delimiter && p[end] != '}')
                end++;
            add_bare(sb, kind, p + i, end - i);
            i = end - 1;
        } else {
            return false;
        }
    }
    return depth == 0 && len > 0;
}

enum md_put md_put_array(const struct md_column *col, const struct datum *value, struct md_value *out,
                         struct err *err)
{
    struct strbuf room = STRBUF_INIT(MD_TEXT_MAX);
    const char *text;
    size_t len;
    if (!md_text_form(col, value, &room, &text, &len, err)) {
        strbuf_release(&room);
        return MD_PUT_FAILED;
    }
    bool box = col->field->source_type != NULL && strcmp(col->field->source_type, "_BOX") == 0;
    enum md_put ret = MD_PUT_OK;
    if (len > 0 && text[0] == '[')
        ret = md_unfit(err, "22P02",
                       "a JSON array cannot say that its first index is not 1; use a column of text");
    else if (!add_array(out->bytes, element_kind(col), box ? ';' : ',', text, len))
        ret = err_set(err, ERR_PROTOCOL, "this is no array") ? MD_PUT_OK : MD_PUT_FAILED;
    else if (!strbuf_ok(out->bytes, "row", err))
        ret = MD_PUT_FAILED;
    strbuf_release(&room);
    return ret;
}
