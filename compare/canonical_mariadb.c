/*
 * Owns: canonical texts across PostgreSQL and MariaDB. See canonical_mariadb.h. The target's type chooses the form, since apply does so;
 * the source's family only where one target type is filled in several ways. What the target's column cannot hold has a text there that no
 * value of it has (infinity, more digits), unless target.unfit says what stands in its place.
 */
#include "canonical_mariadb.h"

#include <stdlib.h>
#include <string.h>

#include "canonical_family.h"
#include "core/alloc.h"
#include "core/attr.h"
#include "maria/quote.h"
#include "pg/conn.h"

/* Longer byte strings go as their SHA-256: their hexadecimal text may be more than a server takes as one value. */
#define BYTES_INLINE 1024

/* What is being made: both columns, and names as they stand in SQL. */
struct work {
    const struct cat_column *s;
    const struct mariadb_column *t;
    enum canonical_family family;
    enum maria_kind kind;
    enum target_unfit unfit;
    char *sn, *tn; /* t."a", t.`a` */
    struct canonical *out;
    const char *how; /* the rule's sentence */
};

/* `pattern` with every $ replaced by `name`. */
static char *fill(const char *pattern, const char *name)
{
    struct strbuf sb = STRBUF_INIT(STRBUF_SQL_MAX);
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '$')
            strbuf_adds(&sb, name);
        else
            strbuf_addc(&sb, *pattern);
    }
    return strbuf_detach(&sb);
}

static void put(char **slot, char *text)
{
    free(*slot);
    *slot = text;
}

static bool forms(struct work *w, const char *source, const char *target, const char *how)
{
    put(&w->out->form[0], fill(source, w->sn));
    put(&w->out->form[1], fill(target, w->tn));
    w->how = how;
    return true;
}

/* target.unfit: null: where `fits` does not hold the target has null. */
static void null_unless(struct work *w, const char *fits)
{
    if (w->unfit != TARGET_UNFIT_NULL)
        return;
    char *condition CLEANUP(free_ptr) = fill(fits, w->sn);
    put(&w->out->form[0], xasprintf("CASE WHEN %s THEN %s END", condition, w->out->form[0]));
    if (w->out->shown[0] != NULL)
        put(&w->out->shown[0], xasprintf("CASE WHEN %s THEN %s END", condition, w->out->shown[0]));
}

/* target.unfit: nearest: below and above, the target has these texts. */
static void ends(struct work *w, char *form, const char *below, const char *low, const char *above,
                 const char *high)
{
    if (w->unfit != TARGET_UNFIT_NEAREST) {
        free(form);
        return;
    }
    char *b CLEANUP(free_ptr) = fill(below, w->sn), *a CLEANUP(free_ptr) = fill(above, w->sn);
    put(&w->out->form[0],
        xasprintf("CASE WHEN %s THEN %s WHEN %s THEN %s ELSE %s END", b, low, a, high, form));
    free(form);
}

static char *form_again(const struct work *w)
{
    return xstrdup(w->out->form[0]);
}

#define PRINTED "CASE WHEN $ IS NOT NULL THEN format('%s', $) END"

/* What apply writes into a column of text: what PostgreSQL's output function prints, which for some types is not what a cast to text gives. */
static const char *output_of(const struct work *w)
{
    switch (w->family) {
    case CANON_INET:
    case CANON_XML:
        return PRINTED;
    case CANON_MONEY: /* apply writes it without the currency */
        return "$::numeric::text";
    default: /* a domain over a domain may be any of these; a composite with a null in it is not IS NOT NULL */
        return w->s->domain && !w->s->plain ? "CASE WHEN $::text IS NOT NULL THEN format('%s', $) END"
                                            : "$::text";
    }
}

static const char *target_text(const struct work *w)
{
    return w->kind == MARIA_ENUM || (w->t->collation != NULL && !mariadb_column_is_utf8mb4(w->t))
               ? "CONVERT($ USING utf8mb4)"
               : "$";
}

/* ---- numbers ---- */

#define ZEROS_OFF "TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM $))"

static bool integer(struct work *w)
{
    const char *target = "CAST($ AS CHAR)";
    if (w->family == CANON_BOOL)
        return forms(w, "$::int::text", target, "true is 1, false is 0");
    if (w->family == CANON_UNKNOWN && w->s->domain) /* over a domain over boolean, say */
        return forms(w, "CASE $::text WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE $::text END", target,
                     "as integers, or true as 1 and false as 0");
    return forms(w, "$::text", target, "as integers");
}

static bool decimal(struct work *w)
{
    char fits[120];
    forms(w, "trim_scale($::numeric)::text", w->t->scale > 0 ? ZEROS_OFF : "CAST($ AS CHAR)",
          w->family == CANON_MONEY ? "as numbers, without the currency; zeros behind the point do not count"
                                   : "as numbers; zeros at the end behind the point do not count");
    /* NaN is more than any number; trunc() takes it as well */
    (void)snprintf(fits, sizeof fits,
                   "abs($::numeric) < 1e%d::numeric AND $::numeric = trunc($::numeric, %d)",
                   w->t->precision - w->t->scale, w->t->scale);
    null_unless(w, fits);
    return true;
}

/* MariaDB's text of a double is not PostgreSQL's: each chooses among the shortest by a rule of its own. A point's well-known binary has
 * its eight bytes, lowest first; float4 becomes double without loss on both sides. */
static bool floating(struct work *w)
{
    forms(w, "encode(float8send($::float8 + 0), 'hex')",
          "LOWER(HEX(REVERSE(SUBSTR(ST_AsWKB(POINT($ + 0e0, 0)), 6, 8))))",
          "by their bits, as double precision: every bit counts but the sign of zero, which MariaDB does not "
          "keep");
    put(&w->out->shown[0], fill("$::float8::text", w->sn));
    put(&w->out->shown[1], fill("CAST($ + 0e0 AS CHAR)", w->tn));
    null_unless(w, "$::float8 NOT IN ('NaN', 'Infinity', '-Infinity')");
    const char *most = w->kind == MARIA_FLOAT ? "3.4028234663852886e38" : "1.7976931348623157e308";
    char *low CLEANUP(free_ptr) = xasprintf("encode(float8send('-%s'), 'hex')", most);
    char *high CLEANUP(free_ptr) = xasprintf("encode(float8send('%s'), 'hex')", most);
    ends(w, form_again(w), "$::float8 = '-Infinity'", low, "$::float8 = 'Infinity'", high);
    return true;
}

static bool bits(struct work *w)
{
    char *target CLEANUP(free_ptr) = xasprintf("LPAD(BIN($ + 0), %d, '0')", w->t->precision);
    if (w->family == CANON_BOOL)
        return forms(w, "$::int::text", "CAST($ + 0 AS CHAR)", "true is 1, false is 0");
    return forms(w, "$::text", target, "as text of 0 and 1");
}

/* ---- times ---- */

static const char *trimmed(const struct work *w)
{
    return w->t->digits > 0 ? ZEROS_OFF : "CAST($ AS CHAR)";
}

static bool time_of_day(struct work *w)
{
    char fits[60];
    forms(w, "$::text", trimmed(w), "hh:mm:ss; zeros behind the last digit of a second do not count");
    (void)snprintf(fits, sizeof fits, "$ = $::time(%d)", w->t->digits);
    null_unless(w, fits);
    return true;
}

static bool date(struct work *w)
{
    forms(w, "$::date::text", "CAST($ AS CHAR)", "yyyy-mm-dd");
    null_unless(w, "$ BETWEEN '0001-01-01' AND '9999-12-31'");
    ends(w, form_again(w), "$ < '0001-01-01'", "'0001-01-01'", "$ > '9999-12-31'", "'9999-12-31'");
    return true;
}

/* A session in UTC: so the cast gives UTC's clock for a timestamptz (and for a domain over a domain of one). */
static bool date_time(struct work *w)
{
    const char *latest = w->t->latest; /* 0 of a timestamp is the zero date, which does not count */
    const char *first = latest != NULL ? "> '1970-01-01'" : ">= '0001-01-01'";
    const char *before = latest != NULL ? "<= '1970-01-01'" : "< '0001-01-01'";
    const char *low = latest != NULL ? "'1970-01-01 00:00:01'" : "'0001-01-01 00:00:00'";
    char fits[300], below[60], above[100], end[60] = "'10000-01-01'", high[48];
    if (latest != NULL)
        (void)snprintf(end, sizeof end, "'%.19s'::timestamp + '1 s'::interval", latest);
    (void)snprintf(high, sizeof high, "'%.19s%.*s'", latest != NULL ? latest : "9999-12-31 23:59:59",
                   w->t->digits > 0 ? 1 + w->t->digits : 0, ".999999");
    forms(w, "$::timestamp::text", trimmed(w),
          w->family == CANON_TIMESTAMPTZ
              ? "the clock of UTC; zeros behind the last digit of a second do not count"
              : "yyyy-mm-dd hh:mm:ss; zeros behind the last digit of a second do not count");
    (void)snprintf(fits, sizeof fits,
                   "$::timestamp %s AND $::timestamp < %s AND $::timestamp = $::timestamp(%d)", first, end,
                   w->t->digits);
    null_unless(w, fits);
    (void)snprintf(below, sizeof below, "$::timestamp %s", before);
    (void)snprintf(above, sizeof above, "$::timestamp >= %s", end);
    ends(w, form_again(w), below, low, above, high);
    return true;
}

/* ---- bytes ---- */

static bool bytes(struct work *w)
{
    char source[200], target[200], fits[60];
    if (w->family == CANON_UUID)
        return forms(w, "replace($::text, '-', '')", "LOWER(HEX($))", "by their 16 bytes");
    (void)snprintf(source, sizeof source,
                   "CASE WHEN octet_length($) > %d THEN 'sha256 ' || encode(sha256($), 'hex') ELSE "
                   "encode($, 'hex') END",
                   BYTES_INLINE);
    (void)snprintf(target, sizeof target,
                   "IF(LENGTH($) > %d, CONCAT('sha256 ', SHA2($, 256)), LOWER(HEX($)))", BYTES_INLINE);
    forms(w, source, target, "byte by byte; more than 1024 by their SHA-256");
    if (w->t->most > 0) {
        (void)snprintf(fits, sizeof fits, "octet_length($) %s %lld",
                       w->kind == MARIA_BINARY ? "=" : "<=", w->t->most);
        null_unless(w, fits);
    }
    return true;
}

static bool uuid(struct work *w)
{
    forms(w, "$::text", "LOWER(CAST($ AS CHAR))", "as text in lower case");
    /* what MariaDB's type does not take: lib/target/mariadb/values.c */
    null_unless(w, "NOT (substr($::text, 15, 1) COLLATE \"C\" BETWEEN '8' AND 'f' AND substr($::text, 20, 2) "
                   "COLLATE \"C\" BETWEEN '01' AND '80')");
    return true;
}

/* An address alone, and not one that is written as IPv4 mapped into IPv6. */
#define NO_MASK "masklen($) = CASE family($) WHEN 4 THEN 32 ELSE 128 END"
#define FITS_4  NO_MASK " AND family($) = 4"
#define FITS_6  NO_MASK " AND NOT (family($) = 6 AND $ <<= '::ffff:0:0/96')"
#define ADDRESS "encode(substr(inet_send($), 5), 'hex')"

static bool inet(struct work *w)
{
    if (w->kind == MARIA_INET4)
        forms(w, "CASE WHEN " FITS_4 " THEN " ADDRESS " ELSE " PRINTED " END",
              "LOWER(HEX(CAST($ AS BINARY(4))))", "by the 4 bytes of the address");
    else
        forms(w,
              "CASE WHEN " FITS_6
              " THEN CASE family($) WHEN 4 THEN '00000000000000000000ffff' ELSE '' END || " ADDRESS
              " ELSE " PRINTED " END",
              "LOWER(HEX(CAST($ AS BINARY(16))))", "by the 16 bytes of the address; IPv4 is ::ffff:a.b.c.d");
    put(&w->out->shown[0], fill(PRINTED, w->sn));
    put(&w->out->shown[1], fill("CAST($ AS CHAR)", w->tn));
    null_unless(w, w->kind == MARIA_INET4 ? FITS_4 : FITS_6);
    return true;
}

/* ---- text ---- */

/* The text must have room: by characters, or by bytes in what MariaDB calls text. */
static void null_unless_short(struct work *w)
{
    char fits[200];
    if (w->t->most <= 0)
        return;
    bool stripped = w->kind == MARIA_CHAR && w->family == CANON_BPCHAR;
    (void)snprintf(fits, sizeof fits, "%s(%s) <= %lld%s", w->t->bytes ? "octet_length" : "char_length",
                   stripped ? "$::text" : "format('%s', $)", w->t->most,
                   w->kind == MARIA_CHAR && !stripped ? " AND right(format('%s', $), 1) <> ' '" : "");
    null_unless(w, fits);
}

static bool blank_padded(struct work *w)
{
    /* a cast to text takes the padding off; MariaDB's char has none when it is read */
    char *target CLEANUP(free_ptr) =
        xasprintf(w->kind == MARIA_CHAR ? "%s" : "TRIM(TRAILING ' ' FROM %s)", target_text(w));
    return forms(w, "$::text", target, "blanks at the end are padding, and do not count");
}

static bool enumeration(struct work *w)
{
    const char *labels = strchr(w->t->type, '(');
    forms(w, output_of(w), target_text(w), "by label");
    if (labels != NULL && strchr(labels, '$') == NULL) {
        char *fits CLEANUP(free_ptr) = xasprintf("$::text IN %s", labels);
        null_unless(w, fits);
    }
    return true;
}

static bool query_of_words(struct work *w)
{
    w->out->note = xasprintf("column %s: parentheses and blanks of a tsquery are left out: that words are "
                             "grouped in another way is not "
                             "seen",
                             w->s->name);
    char *target CLEANUP(free_ptr) =
        xasprintf("REPLACE(REPLACE(REPLACE(%s, ' ', ''), '(', ''), ')', '')", target_text(w));
    return forms(w, "translate($::text, ' ()', '')", target, "as text, without parentheses and blanks");
}

static bool text(struct work *w)
{
    if (w->family == CANON_BPCHAR)
        blank_padded(w);
    else if (w->family == CANON_TSQUERY)
        query_of_words(w);
    else if (w->family == CANON_TEXT)
        forms(w, output_of(w), target_text(w), "character by character, in whatever Unicode form they are");
    else
        forms(w, output_of(w), target_text(w), "PostgreSQL's text of it, character by character");
    null_unless_short(w);
    return true;
}

/* ---- JSON ---- */

/*
 * Apply writes arrays as JSON of its own making (lib/target/mariadb/arrays.c): array_to_json() of the elements' texts gives the same but
 * for five control characters, which it writes as \n and the like. So that a backslash which stands for itself cannot begin such a
 * one, pairs of backslashes become a character that JSON has not on both sides: U+0001.
 */
#define PAIRS_PG "replace(%s::text, E'\\\\\\\\', E'\\x01')"
#define PAIRS_MD "REPLACE($, CHAR(92, 92 USING utf8mb4), CHAR(1 USING utf8mb4))"

static bool array(struct work *w)
{
    static const char *const escapes[][2] = {
        {"b", "0008"}, {"t", "0009"}, {"n", "000a"}, {"f", "000c"}, {"r", "000d"}};
    const char *elements = "$::text::text[]";
    if (w->family == CANON_ARRAY_NATIVE)
        elements = "$";
    else if (w->family == CANON_ARRAY_OID)
        elements = "$::int8[]";
    else if (w->family == CANON_ARRAY_BOX) /* the only type whose arrays have another delimiter */
        elements = "$::text[]";
    char *json CLEANUP(free_ptr) = xasprintf("array_to_json(%s)", elements);
    char *form = xasprintf(PAIRS_PG, json);
    for (size_t i = 0;
         w->family != CANON_ARRAY_NATIVE && w->family != CANON_ARRAY_OID && i < ARRAY_LEN(escapes); i++)
        put(&form, xasprintf("replace(%s, E'\\\\%s', E'\\\\u%s')", form, escapes[i][0], escapes[i][1]));
    /* lower bounds have no place in JSON */
    char *source CLEANUP(free_ptr) = xasprintf(
        "CASE WHEN (array_ndims($) = 1 AND array_lower($, 1) = 1) OR left($::text, 1) <> '[' THEN %s "
        "ELSE $::text END",
        form);
    free(form);
    char *target CLEANUP(free_ptr) = fill(PAIRS_MD, target_text(w));
    forms(w, source, target, "element by element, as JSON");
    null_unless(w, "left($::text, 1) <> '['");
    if (w->family == CANON_ARRAY_TSQUERY) {
        put(&w->out->form[0], xasprintf("translate(%s, ' ()', '')", w->out->form[0]));
        put(&w->out->form[1],
            xasprintf("REPLACE(REPLACE(REPLACE(%s, ' ', ''), '(', ''), ')', '')", w->out->form[1]));
        w->how = "element by element, as JSON, without parentheses and blanks";
        w->out->note = xasprintf("column %s: parentheses and blanks of tsqueries are left out: that words "
                                 "are grouped in another way is "
                                 "not seen",
                                 w->s->name);
    }
    return true;
}

static bool json(struct work *w)
{
    char *loose CLEANUP(free_ptr) =
        fill("COALESCE(JSON_LOOSE($),$)", target_text(w)); /* null of what is no JSON */
    if (w->family == CANON_JSONB)
        return forms(w, "$::text", w->t->json ? loose : target_text(w),
                     w->t->json
                         ? "the text of jsonb (keys in its order, numbers with their digits); blanks between "
                           "parts do not count"
                         : "the text of jsonb");
    return forms(w, "$::text", target_text(w),
                 "its text as it stands, with order of keys, form of numbers and blanks");
}

/* ---- which form ---- */

static bool is_number_family(enum canonical_family f)
{
    return f == CANON_INT || f == CANON_NUMERIC || f == CANON_MONEY || f == CANON_UNKNOWN;
}

static bool of_text(struct work *w)
{
    if (w->kind == MARIA_ENUM)
        return enumeration(w);
    if (w->family == CANON_JSON || w->family == CANON_JSONB)
        return json(w);
    if (canonical_is_array(w->family) && w->t->json && !w->s->domain)
        return array(w);
    return text(w);
}

static bool choose(struct work *w)
{
    enum canonical_family f = w->family;
    bool unknown = f == CANON_UNKNOWN;
    switch (w->kind) {
    case MARIA_INT:
        return (f == CANON_BOOL || f == CANON_INT || unknown) && integer(w);
    case MARIA_DECIMAL:
        return is_number_family(f) && decimal(w);
    case MARIA_FLOAT:
    case MARIA_DOUBLE:
        return (f == CANON_FLOAT || f == CANON_INT || unknown) && floating(w);
    case MARIA_BIT:
        return (f == CANON_BOOL || f == CANON_BIT || unknown) && bits(w);
    case MARIA_CHAR:
    case MARIA_TEXT:
    case MARIA_ENUM:
        return of_text(w);
    case MARIA_BYTES:
    case MARIA_BINARY:
        return (f == CANON_BYTES || f == CANON_UUID || unknown) && bytes(w);
    case MARIA_DATE:
        return (f == CANON_DATE || unknown) && date(w);
    case MARIA_TIME:
        return (f == CANON_TIME || unknown) && time_of_day(w);
    case MARIA_DATETIME:
        return (f == CANON_TIMESTAMP || f == CANON_TIMESTAMPTZ || unknown) && date_time(w);
    case MARIA_UUID:
        return (f == CANON_UUID || unknown) && uuid(w);
    case MARIA_INET4:
    case MARIA_INET6:
        return (f == CANON_INET || unknown) && inet(w);
    case MARIA_OTHER:
        break;
    }
    return false;
}

static char *quoted(void quote(struct strbuf *sb, const char *name), const char *name)
{
    struct strbuf sb = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sb, "t.");
    quote(&sb, name);
    return strbuf_detach(&sb);
}

bool canonical_forms_mariadb(const struct cat_column *source, const struct mariadb_column *target,
                             enum target_unfit unfit, struct canonical *ret, char **ret_reason)
{
    struct canonical out = {0};
    struct work w = {.s = source,
                     .t = target,
                     .family = canonical_family(source),
                     .kind = target->kind,
                     .unfit = unfit,
                     .out = &out};
    w.sn = quoted(pg_quote_ident, source->name);
    w.tn = quoted(maria_quote_ident, target->name);
    bool ok = choose(&w);
    if (ok) {
        out.rule = xasprintf("%s to %s: %s", source->type, target->type, w.how);
        *ret = out;
    } else {
        *ret_reason =
            xasprintf("column %s: apply carries no %s into %s", source->name, source->type, target->type);
        canonical_release(&out);
    }
    free(w.sn);
    free(w.tn);
    return ok;
}

/* Which text sorts as its value does under the collation: by code points, without padding. */
static bool by_code_points(const struct mariadb_column *target)
{
    return target->collation != NULL && strstr(target->collation, "_nopad_bin") != NULL;
}

static bool any_binary(const struct mariadb_column *target)
{
    size_t len = target->collation != NULL ? strlen(target->collation) : 0;
    return len > 4 && strcmp(target->collation + len - 4, "_bin") == 0;
}

/* "UTF8 C", and C.* of libc, which sorts by code point as well. */
static bool source_by_code_points(const struct cat_column *source)
{
    return source->collation != NULL && strncmp(source->collation, "UTF8 C", 6) == 0 &&
           (source->collation[6] == '\0' || source->collation[6] == '.');
}

bool canonical_sorts_alike_mariadb(const struct cat_column *source, const struct mariadb_column *target)
{
    enum canonical_family f = canonical_family(source);
    switch (target->kind) {
    case MARIA_INT:
        return f == CANON_INT || f == CANON_BOOL;
    case MARIA_DECIMAL:
        return f == CANON_INT || f == CANON_NUMERIC || f == CANON_MONEY;
    case MARIA_FLOAT:
    case MARIA_DOUBLE:
        return f == CANON_FLOAT || f == CANON_INT;
    case MARIA_BIT:
        return f == CANON_BIT || f == CANON_BOOL;
    case MARIA_BYTES:
    case MARIA_BINARY:
        return f == CANON_BYTES || f == CANON_UUID;
    case MARIA_DATE:
        return f == CANON_DATE;
    case MARIA_TIME:
        return f == CANON_TIME;
    case MARIA_DATETIME:
        return f == CANON_TIMESTAMP || f == CANON_TIMESTAMPTZ;
    case MARIA_CHAR: /* of one length, digits before letters: an address or uuid as text sorts as its bytes */
    case MARIA_TEXT:
        if (f == CANON_UUID || f == CANON_MACADDR)
            return any_binary(target);
        return f == CANON_TEXT && source_by_code_points(source) && by_code_points(target);
    default: /* MariaDB sorts a uuid by its last part first, inet6 with IPv4 in the middle; an enum by its own order */
        return false;
    }
}

void canonical_release(struct canonical *canonical)
{
    for (int side = 0; side < 2; side++) {
        free(canonical->form[side]);
        free(canonical->shown[side]);
    }
    free(canonical->rule);
    free(canonical->note);
    *canonical = (struct canonical){0};
}
