/* Owns: the rule table for MariaDB. See rules.h. */
#include "rules.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/attr.h"
#include "core/utf8.h"
#include "plan.h"

#define VARHDR 4 /* typmods of varchar, char and numeric count the length word */

typedef void map_type(struct schema_model *m, const struct sch_column *c, struct mapping *ret);

struct rule {
    const char *source; /* pg_type.typname; as SQL writes it in `shown` */
    const char *shown;
    enum map_kind kind;
    const char *target; /* as it stands in the document; the type itself unless `map` makes it */
    map_type *map;
    const char *note;
};

static void set(struct mapping *ret, enum map_kind kind, const char *type, const char *note)
{
    ret->kind = kind;
    ret->type = type;
    ret->note = note;
}

static void map_varchar(struct schema_model *m, const struct sch_column *c, struct mapping *ret)
{
    int chars = c->typmod - VARHDR;
    if (c->typmod < VARHDR)
        set(ret, MAP_EXACT, "longtext", ret->note);
    else if (chars <= MARIA_VARCHAR_CHARS)
        set(ret, MAP_EXACT, model_textf(m, "varchar(%d)", chars), ret->note);
    else
        set(ret, MAP_LOSSY, "longtext",
            "the limit on the length is not kept: MariaDB's varchar ends at 16383 characters");
}

static void map_char(struct schema_model *m, const struct sch_column *c, struct mapping *ret)
{
    int chars = c->typmod - VARHDR;
    if (c->typmod < VARHDR)
        set(ret, MAP_LOSSY, "longtext", "blanks at the end count on MariaDB, and do not on PostgreSQL");
    else if (chars <= MARIA_CHAR_CHARS)
        set(ret, MAP_EXACT, model_textf(m, "char(%d)", chars), ret->note);
    else
        map_varchar(m, c, ret);
}

static void map_numeric(struct schema_model *m, const struct sch_column *c, struct mapping *ret)
{
    if (c->typmod < VARHDR) {
        set(ret, MAP_DECIDE, NULL,
            "numeric without precision holds more than any decimal of MariaDB: say which digits are needed, "
            "such as decimal(38,10)");
        return;
    }
    int precision = (c->typmod - VARHDR) >> 16 & 0xffff, scale = ((c->typmod - VARHDR) & 0x7ff);
    scale = (scale ^ 1024) - 1024; /* signed since PostgreSQL 15 */
    int digits = scale < 0 ? precision - scale : precision < scale ? scale : precision;
    int places = scale < 0 ? 0 : scale;
    if (digits > MARIA_DECIMAL_DIGITS || places > MARIA_DECIMAL_SCALE)
        set(ret, MAP_DECIDE, NULL, "MariaDB's decimal ends at 65 digits, 38 of them behind the point");
    else
        set(ret, MAP_EXACT, model_textf(m, "decimal(%d,%d)", digits, places), ret->note);
}

/* Seconds' places of time and timestamp types: 6 when not given. */
static int places_of(const struct sch_column *c)
{
    return c->typmod >= 0 && c->typmod <= 6 ? c->typmod : 6;
}

static void map_datetime(struct schema_model *m, const struct sch_column *c, struct mapping *ret)
{
    ret->type = model_textf(m, "datetime(%d)", places_of(c));
}

static void map_time(struct schema_model *m, const struct sch_column *c, struct mapping *ret)
{
    ret->type = model_textf(m, "time(%d)", places_of(c));
}

static void map_bit(struct schema_model *m, const struct sch_column *c, struct mapping *ret)
{
    if (c->typmod < 1 || c->typmod <= MARIA_BIT_BITS)
        set(ret, MAP_EXACT, model_textf(m, "bit(%d)", c->typmod < 1 ? 1 : c->typmod), NULL);
    else
        set(ret, MAP_LOSSY,
            c->typmod <= MARIA_VARCHAR_CHARS ? model_textf(m, "varchar(%d)", c->typmod) : "longtext",
            "kept as text of 0 and 1: MariaDB's bit ends at 64");
}

static void map_varbit(struct schema_model *m, const struct sch_column *c, struct mapping *ret)
{
    ret->type = c->typmod > 0 && c->typmod <= MARIA_VARCHAR_CHARS ? model_textf(m, "varchar(%d)", c->typmod)
                                                                  : "longtext";
}

#define FINITE "NaN and the infinities have no place in it: refused, or by rule at run time"
#define ZONE                                                                                                 \
    "holds UTC, and does not say so; years 1 to 9999: infinity and years beyond are refused, or go by rule " \
    "at run time"
#define YEARS   "years 1 to 9999: infinity, BC and years beyond are refused, or go by rule at run time"
#define AS_TEXT "kept as PostgreSQL's text: order, operators and indexes of the type are not"

static const struct rule rules[] = {
    {"bool", "boolean", MAP_EXACT, "tinyint(1)", NULL, "true is 1, false is 0"},
    {"int2", "smallint", MAP_EXACT, "smallint", NULL, NULL},
    {"int4", "integer", MAP_EXACT, "int", NULL, NULL},
    {"int8", "bigint", MAP_EXACT, "bigint", NULL, NULL},
    {"oid", "oid", MAP_EXACT, "bigint", NULL, NULL},
    {"float4", "real", MAP_EXACT, "float", NULL, FINITE},
    {"float8", "double precision", MAP_EXACT, "double", NULL, FINITE},
    {"numeric", "numeric(p,s)", MAP_EXACT,
     "decimal(p,s), up to 65 digits and 38 places; without p,s: to decide", map_numeric, FINITE},
    {"money", "money", MAP_LOSSY, "decimal(19,2)", NULL,
     "the currency is not kept; a lc_monetary without two places needs another type"},
    {"text", "text", MAP_EXACT, "longtext", NULL, NULL},
    {"varchar", "character varying(n)", MAP_EXACT, "varchar(n); longtext above 16383 or without n",
     map_varchar, NULL},
    {"bpchar", "character(n)", MAP_EXACT, "char(n), above 255 varchar(n)", map_char,
     "blanks at the end mean nothing, as in PostgreSQL: MariaDB gives them back without"},
    {"char", "\"char\"", MAP_EXACT, "varchar(4)", NULL, NULL},
    {"name", "name", MAP_EXACT, "varchar(63)", NULL, NULL},
    {"citext", "citext", MAP_LOSSY, "longtext collate utf8mb4_general_nopad_ci", NULL,
     "compared without case by MariaDB's rules, which also ignore accents"},
    {"bytea", "bytea", MAP_EXACT, "longblob", NULL, NULL},
    {"uuid", "uuid", MAP_EXACT, "uuid", NULL,
     "of versions 8 to f, those whose ninth byte is 01 to 80 (no variant that RFC 9562 makes, but for 80) "
     "are "
     "refused, or go by rule at run time: char(36) takes all"},
    {"json", "json", MAP_EXACT, "json", NULL, "nested deeper than 32 levels is refused by MariaDB"},
    {"jsonb", "jsonb", MAP_EXACT, "json", NULL, "nested deeper than 32 levels is refused by MariaDB"},
    {"xml", "xml", MAP_LOSSY, "longtext", NULL, "nothing checks that it is well-formed"},
    {"date", "date", MAP_EXACT, "date", NULL, YEARS},
    {"time", "time(p)", MAP_EXACT, "time(p), 6 without p", map_time, NULL},
    {"timetz", "time with time zone", MAP_LOSSY, "varchar(24)", NULL, AS_TEXT},
    {"timestamp", "timestamp(p)", MAP_EXACT, "datetime(p), 6 without p", map_datetime, YEARS},
    {"timestamptz", "timestamp(p) with time zone", MAP_EXACT, "datetime(p) in UTC, 6 without p", map_datetime,
     ZONE},
    {"interval", "interval", MAP_LOSSY, "varchar(100)", NULL, AS_TEXT},
    {"bit", "bit(n)", MAP_EXACT, "bit(n), above 64 text", map_bit, NULL},
    {"varbit", "bit varying(n)", MAP_LOSSY, "varchar(n) or longtext", map_varbit, "kept as text of 0 and 1"},
    {"inet", "inet", MAP_LOSSY, "varchar(43)", NULL,
     "kept as text with its mask; inet6 can be chosen where no value has one"},
    {"cidr", "cidr", MAP_LOSSY, "varchar(43)", NULL, AS_TEXT},
    {"macaddr", "macaddr", MAP_LOSSY, "char(17)", NULL, AS_TEXT},
    {"macaddr8", "macaddr8", MAP_LOSSY, "char(23)", NULL, AS_TEXT},
    {"point", "point", MAP_LOSSY, "varchar(100)", NULL, AS_TEXT},
    {"line", "line", MAP_LOSSY, "varchar(200)", NULL, AS_TEXT},
    {"lseg", "lseg", MAP_LOSSY, "varchar(200)", NULL, AS_TEXT},
    {"box", "box", MAP_LOSSY, "varchar(200)", NULL, AS_TEXT},
    {"circle", "circle", MAP_LOSSY, "varchar(200)", NULL, AS_TEXT},
    {"path", "path", MAP_LOSSY, "longtext", NULL, AS_TEXT},
    {"polygon", "polygon", MAP_LOSSY, "longtext", NULL, AS_TEXT},
    {"tsvector", "tsvector", MAP_LOSSY, "longtext", NULL, AS_TEXT},
    {"tsquery", "tsquery", MAP_LOSSY, "longtext", NULL, AS_TEXT},
    {"pg_lsn", "pg_lsn", MAP_LOSSY, "varchar(17)", NULL, AS_TEXT},
    {"hstore", "hstore", MAP_LOSSY, "longtext", NULL, AS_TEXT},
    {"ltree", "ltree", MAP_LOSSY, "longtext", NULL, AS_TEXT},
};

/* Kinds of types that have no name of their own. */
static const struct rule rule_array = {
    "[]",      "type[] (any array)",
    MAP_LOSSY, "json",
    NULL,      "kept as JSON: lower bounds, and what the element's type checks, are not"};
static const struct rule rule_array_domain = {
    "domain of []", "a domain of an array", MAP_LOSSY, "longtext", NULL, AS_TEXT};
static const struct rule rule_enum = {"enum", "an enum", MAP_EXACT, "enum(labels), in their order",
                                      NULL,   NULL};
static const struct rule rule_range = {
    "range",
    "a range or multirange",
    MAP_LOSSY,
    "longtext",
    NULL,
    AS_TEXT "; `columns(lower,upper)` in types adds the bounds of a range as columns of their own"};
static const struct rule rule_composite = {"composite", "a composite type", MAP_LOSSY, "longtext", NULL,
                                           AS_TEXT};

const char *map_kind_name(enum map_kind kind)
{
    static const char *const names[] = {
        [MAP_UNKNOWN] = "?",     [MAP_EXACT] = "exact",   [MAP_LOSSY] = "lossy",
        [MAP_DECIDE] = "decide", [MAP_CHOSEN] = "chosen", [MAP_LEFT_OUT] = "left out"};
    return names[kind];
}

static const struct rule *find_rule(const struct sch_column *c)
{
    if (c->array)
        return c->domain ? &rule_array_domain : &rule_array;
    if (c->kind == 'e')
        return &rule_enum;
    if (c->kind == 'r' || c->kind == 'm')
        return &rule_range;
    if (c->kind == 'c')
        return &rule_composite;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (strcmp(rules[i].source, c->base) == 0)
            return &rules[i];
    }
    return NULL;
}

/* MariaDB cuts blanks at a label's end, and labels that are equal without them would be one. */
static bool label_fits(const char *label)
{
    size_t len = strlen(label);
    return len == 0 || (label[len - 1] != ' ' && utf8_count(label) <= 255);
}

static void add_label(struct strbuf *out, const char *label)
{
    strbuf_addc(out, '\'');
    for (; *label != '\0'; label++) {
        if (*label == '\'' || *label == '\\')
            strbuf_addc(out, *label);
        strbuf_addc(out, *label);
    }
    strbuf_addc(out, '\'');
}

static void map_enum(struct schema_model *m, const struct sch_column *c, struct mapping *ret)
{
    struct strbuf type = STRBUF_INIT(STRBUF_SQL_MAX);
    bool fits = c->label_count > 0;
    strbuf_adds(&type, "enum(");
    for (size_t i = 0; i < c->label_count; i++) {
        fits = fits && label_fits(c->labels[i]);
        strbuf_adds(&type, i > 0 ? "," : "");
        add_label(&type, c->labels[i]);
    }
    strbuf_addc(&type, ')');
    if (fits)
        ret->type = model_text(m, type.data);
    else
        set(ret, MAP_DECIDE, NULL,
            "a label that MariaDB's enum does not take as it is (a blank at its end, or longer than 255), or "
            "none at all");
    m->failed = m->failed || type.failed;
    strbuf_release(&type);
}

void rules_mariadb(struct schema_model *model, const struct sch_column *c, struct mapping *ret)
{
    const struct rule *rule = find_rule(c);
    if (rule == NULL) {
        *ret = (struct mapping){.kind = MAP_DECIDE,
                                .rule = "none",
                                .note = "there is no rule for this type: say what it becomes"};
        return;
    }
    *ret =
        (struct mapping){.kind = rule->kind, .type = rule->target, .rule = rule->source, .note = rule->note};
    if (rule == &rule_enum)
        map_enum(model, c, ret);
    else if (rule->map != NULL)
        rule->map(model, c, ret);
    if (c->ignores_case && ret->kind == MAP_EXACT && ret->type != NULL &&
        strncmp(ret->type, "longtext", 8) == 0)
        set(ret, MAP_DECIDE, NULL,
            "its collation takes different texts for equal: name a type with a collation of MariaDB that "
            "does the same");
}

static bool begins(const char *type, const char *word)
{
    size_t len = strlen(word);
    return strncmp(type, word, len) == 0 && (type[len] == '\0' || !isalnum((unsigned char)type[len]));
}

/* n of "varchar(n)". */
static size_t first_number(const char *type)
{
    const char *open = strchr(type, '(');
    return open != NULL ? strtoul(open + 1, NULL, 10) : 1;
}

bool rules_mariadb_is_long(const char *type)
{
    static const char *const names[] = {"longtext",   "longblob", "text",     "blob", "mediumtext",
                                        "mediumblob", "tinytext", "tinyblob", "json", "geometry"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (begins(type, names[i]))
            return true;
    }
    return false;
}

static size_t fixed_bytes(const char *type)
{
    static const struct {
        const char *name;
        size_t bytes;
    } fixed[] = {{"tinyint", 1}, {"smallint", 2}, {"int", 4},      {"bigint", 8},  {"float", 4},
                 {"double", 8},  {"uuid", 16},    {"inet6", 16},   {"date", 3},    {"time", 6},
                 {"enum", 2},    {"bit", 8},      {"datetime", 8}, {"decimal", 30}};
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        if (begins(type, fixed[i].name))
            return fixed[i].bytes;
    }
    return 0;
}

size_t rules_mariadb_key_bytes(const char *type)
{
    if (rules_mariadb_is_long(type))
        return 0;
    if (begins(type, "varchar") || begins(type, "char"))
        return first_number(type) * (strstr(type, "latin1") != NULL || strstr(type, "ascii") != NULL ? 1 : 4);
    if (begins(type, "varbinary") || begins(type, "binary"))
        return first_number(type);
    return fixed_bytes(type);
}

size_t rules_mariadb_row_bytes(const char *type)
{
    if (rules_mariadb_is_long(type))
        return 12; /* pointer and length */
    size_t bytes = rules_mariadb_key_bytes(type);
    return begins(type, "varchar") || begins(type, "varbinary") ? bytes + 2 : bytes;
}

static void add_rule(struct strbuf *out, const struct rule *r)
{
    strbuf_addf(out, "| `%s` | `%s` | %s | %s |\n", r->shown, r->target, map_kind_name(r->kind),
                r->note != NULL ? r->note : "");
}

void rules_markdown(struct strbuf *out)
{
    strbuf_adds(
        out,
        "# Types: PostgreSQL → MariaDB\n\nWritten by `tools/docs` from the rules themselves "
        "(`schema/rules.c`); docs/SCHEMA.md "
        "says how they are used. *exact*: every value that the column takes comes back as it was. *lossy*: "
        "values are kept, something of the type is not. Any other type has no rule and needs an entry in "
        "`types`.\n\nOn the way back (docs/OPERATIONS.md, \"The way back from MariaDB\") every value of "
        "these columns is again "
        "what it was. Four things are not: `numeric` without precision has the zeros "
        "at its end that "
        "MariaDB's decimal shows; a value that `target.unfit` has replaced stays replaced; and what an "
        "application "
        "on MariaDB writes into an array or an interval beyond the digits or fields that PostgreSQL's type "
        "keeps "
        "(`numeric(6,2)[]`, `interval year to month`), PostgreSQL rounds or cuts; the JSON object `{}` in an "
        "array's column comes back as the empty array (any other object is refused there).\n\n| PostgreSQL | "
        "MariaDB "
        "| kind | what to know |\n|---|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        add_rule(out, &rules[i]);
    add_rule(out, &rule_enum);
    add_rule(out, &rule_array);
    add_rule(out, &rule_array_domain);
    add_rule(out, &rule_range);
    add_rule(out, &rule_composite);
}
