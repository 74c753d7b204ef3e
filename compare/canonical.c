/* Owns: the choice of canonical forms by type. Object ids: src/include/catalog/pg_type.dat of PostgreSQL. */
#include "canonical.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/attr.h"
#include "pg/conn.h"

enum family {
    FAMILY_OTHER = 0, /* by text */
    FAMILY_EXACT,     /* binary form is exact and the same everywhere */
    FAMILY_INT,
    FAMILY_NUMERIC,
    FAMILY_FLOAT, /* NaN has many bit patterns: by text */
    FAMILY_TEXT,
    FAMILY_BPCHAR, /* blanks at the end have no meaning */
    FAMILY_JSON,
    FAMILY_JSONB,
    FAMILY_XML, /* output drops the declaration's encoding, a cast to text keeps it: by output */
};

struct type_fact {
    uint32_t oid;
    enum family family;
    bool sorts; /* btree order does not depend on server or collation (text: if collations agree) */
};

static const struct type_fact facts[] = {
    {16, FAMILY_EXACT, true},     /* bool */
    {17, FAMILY_EXACT, true},     /* bytea */
    {18, FAMILY_EXACT, true},     /* "char" */
    {19, FAMILY_TEXT, true},      /* name */
    {20, FAMILY_INT, true},       /* int8 */
    {21, FAMILY_INT, true},       /* int2 */
    {23, FAMILY_INT, true},       /* int4 */
    {25, FAMILY_TEXT, true},      /* text */
    {26, FAMILY_EXACT, true},     /* oid */
    {114, FAMILY_JSON, false},    /* json */
    {142, FAMILY_XML, false},     /* xml */
    {650, FAMILY_EXACT, true},    /* cidr */
    {700, FAMILY_FLOAT, true},    /* float4 */
    {701, FAMILY_FLOAT, true},    /* float8 */
    {774, FAMILY_EXACT, true},    /* macaddr8 */
    {790, FAMILY_EXACT, true},    /* money */
    {829, FAMILY_EXACT, true},    /* macaddr */
    {869, FAMILY_EXACT, true},    /* inet */
    {1042, FAMILY_BPCHAR, true},  /* bpchar */
    {1043, FAMILY_TEXT, true},    /* varchar */
    {1082, FAMILY_EXACT, true},   /* date */
    {1083, FAMILY_EXACT, true},   /* time */
    {1114, FAMILY_EXACT, true},   /* timestamp */
    {1184, FAMILY_EXACT, true},   /* timestamptz */
    {1186, FAMILY_EXACT, true},   /* interval */
    {1266, FAMILY_EXACT, true},   /* timetz */
    {1560, FAMILY_EXACT, true},   /* bit */
    {1562, FAMILY_EXACT, true},   /* varbit */
    {1700, FAMILY_NUMERIC, true}, /* numeric */
    {2950, FAMILY_EXACT, true},   /* uuid */
    {3220, FAMILY_EXACT, true},   /* pg_lsn */
    {3802, FAMILY_JSONB, false},  /* jsonb */
};

static const struct type_fact *fact_of(const struct cat_column *c)
{
    static const struct type_fact other = {0, FAMILY_OTHER, false};
    for (size_t i = 0; c->plain && i < ARRAY_LEN(facts); i++) {
        if (facts[i].oid == c->type_oid)
            return &facts[i];
    }
    return &other;
}

static bool is_number(enum family f)
{
    return f == FAMILY_INT || f == FAMILY_NUMERIC;
}

static bool is_text(enum family f)
{
    return f == FAMILY_TEXT || f == FAMILY_BPCHAR;
}

static bool is_json(enum family f)
{
    return f == FAMILY_JSON || f == FAMILY_JSONB;
}

/* before || t."name" || after */
static char *around(const struct cat_column *c, const char *before, const char *after)
{
    struct strbuf sb = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sb, before);
    strbuf_adds(&sb, "t.");
    pg_quote_ident(&sb, c->name);
    strbuf_adds(&sb, after);
    return strbuf_detach(&sb);
}

static char *as_it_is(const struct cat_column *c)
{
    char *cast =
        c->domain ? xasprintf("::%s", c->type) : xstrdup(""); /* a domain has an object id of its own */
    char *form = around(c, "", cast);
    free(cast);
    return form;
}

static void both(const struct cat_column *s, const struct cat_column *t, char *ret[2], const char *before,
                 const char *after)
{
    ret[0] = around(s, before, after);
    ret[1] = around(t, before, after);
}

static char *as_output(const struct cat_column *c)
{
    char *test = around(c, "CASE WHEN ", " IS NOT NULL THEN format('%s', "), *value = around(c, "", ") END");
    char *form = xasprintf("%s%s", test, value);
    free(test);
    free(value);
    return form;
}

static bool goes_as_it_is(const struct cat_column *s, const struct cat_column *t, enum family f)
{
    if (s->type_oid != t->type_oid || f == FAMILY_OTHER || f == FAMILY_FLOAT || f == FAMILY_XML)
        return false;
    /* numeric(10,2) and numeric(12,4) show one value with 2 and 4 digits; char(5) and char(8) pad it
     * differently */
    return (f != FAMILY_BPCHAR && f != FAMILY_NUMERIC) || s->typmod == t->typmod;
}

void canonical_forms(const struct cat_column *source, const struct cat_column *target, char *ret_form[2],
                     char **ret_note)
{
    enum family s = fact_of(source)->family, t = fact_of(target)->family;
    if (goes_as_it_is(source, target, s)) {
        ret_form[0] = as_it_is(source);
        ret_form[1] = as_it_is(target);
        return;
    }
    if (s == FAMILY_XML && t == FAMILY_XML) {
        ret_form[0] = as_output(source);
        ret_form[1] = as_output(target);
        return;
    }
    bool same_type = strcmp(source->type, target->type) == 0;
    const char *how = "as text";
    if (same_type && s != FAMILY_NUMERIC) {
        both(source, target, ret_form, "", "::text");
        if (s != FAMILY_BPCHAR)
            return;
        how = "without blanks at the end";
    } else if (s == FAMILY_INT && t == FAMILY_INT) {
        both(source, target, ret_form, "", "::int8");
        how = "as numbers";
    } else if (is_number(s) && is_number(t)) {
        both(source, target, ret_form, "trim_scale(", "::numeric)");
        how = "as numbers";
    } else if (s == FAMILY_FLOAT && t == FAMILY_FLOAT) {
        both(source, target, ret_form, "", "::float8::text");
        how = "as double precision";
    } else if (is_json(s) && is_json(t)) {
        both(source, target, ret_form, "", "::jsonb");
        how = "as jsonb";
    } else {
        both(source, target, ret_form, "", "::text");
        if (s == FAMILY_TEXT && t == FAMILY_TEXT)
            return;
        if (is_text(s) && is_text(t))
            how = "without blanks at the end";
    }
    *ret_note = xasprintf("column %s is %s on the source and %s%s on the target: compared %s", source->name,
                          source->type, target->type, same_type ? " of another size" : "", how);
}

static const char *rule_of_one_type(enum family f)
{
    switch (f) {
    case FAMILY_EXACT:
    case FAMILY_INT:
        return "by its binary form";
    case FAMILY_NUMERIC:
        return "by its binary form: digits at the end count, as in 1.0 and 1.00";
    case FAMILY_FLOAT:
        return "by its shortest exact text: every bit counts, as does the sign of zero; NaN is one value";
    case FAMILY_TEXT:
        return "character by character, in whatever Unicode form they are";
    case FAMILY_BPCHAR:
        return "character by character, with its padding";
    case FAMILY_JSON:
        return "its text as it stands, with order of keys, form of numbers and blanks";
    case FAMILY_JSONB:
        return "by its binary form: keys in jsonb's order, numbers with their digits";
    case FAMILY_XML:
        return "by what the server prints of it";
    case FAMILY_OTHER:
        break;
    }
    return "PostgreSQL's text of it, character by character";
}

static const char *rule_of_two_types(enum family s, enum family t)
{
    if (is_number(s) && is_number(t))
        return "as numbers; digits at the end do not count";
    if (s == FAMILY_FLOAT && t == FAMILY_FLOAT)
        return "as double precision, by its shortest exact text";
    if (is_json(s) && is_json(t))
        return "as jsonb";
    return (s == FAMILY_BPCHAR || t == FAMILY_BPCHAR) && is_text(s) && is_text(t)
               ? "as text, without blanks at the end of char(n)"
               : "as text";
}

char *canonical_rule(const struct cat_column *source, const struct cat_column *target)
{
    enum family s = fact_of(source)->family, t = fact_of(target)->family;
    bool one = strcmp(source->type, target->type) == 0 &&
               ((s != FAMILY_NUMERIC && s != FAMILY_BPCHAR) || source->typmod == target->typmod);
    if (one)
        return xasprintf("%s: %s", source->type, rule_of_one_type(s));
    return xasprintf("%s to %s: %s", source->type, target->type, rule_of_two_types(s, t));
}

bool canonical_sorts_alike(const struct cat_column *source, const struct cat_column *target)
{
    const struct type_fact *s = fact_of(source), *t = fact_of(target);
    if (!s->sorts || !t->sorts || source->collation == NULL || target->collation == NULL ||
        strcmp(source->collation, target->collation) != 0)
        return false;
    if (source->type_oid == target->type_oid)
        return true;
    return (is_number(s->family) && is_number(t->family)) ||
           (s->family == FAMILY_TEXT && t->family == FAMILY_TEXT);
}
