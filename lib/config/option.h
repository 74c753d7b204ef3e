/*
 * One row of the option table (options.c), and how its values are read from text. Private to this module.
 * Text forms: whole numbers; sizes "64MiB", "10kB", "4096" (bytes); durations "500ms", "10s", "5m", "24h",
 * "7d", or a whole number in the option's own unit.
 */
#ifndef CONFIG_OPTION_H
#define CONFIG_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/strbuf.h"

enum option_type {
    OPT_UNKNOWN = 0,
    OPT_TEXT,     /* `pattern` if there is one */
    OPT_ENUM,     /* `choices` */
    OPT_INT,      /* min..max */
    OPT_SIZE,     /* bytes, min..max */
    OPT_DURATION, /* in `unit`, min..max */
    OPT_BOOL,
    OPT_LIST,   /* of texts */
    OPT_URL,    /* begins with one of `choices` */
    OPT_LISTEN, /* host:port */
    OPT_PATH,
    OPT_MAP,   /* free keys; kept as a list of "name=value"; values count as secret */
    OPT_RULES, /* a list of maps; each kept as one text of YAML; values count as secret */
};

enum duration_unit { UNIT_NONE = 0, UNIT_MS, UNIT_S };

struct option {
    const char *key;
    enum option_type type;
    const char *def;     /* in text form; NULL = none */
    const char *def_key; /* default is the value of this other option, which stands before it in the table */
    enum duration_unit unit; /* of OPT_DURATION's number */
    int64_t min, max;        /* in the unit of the number; both 0 = any */
    const char *word;        /* OPT_DURATION: this word ("forever") is allowed, too, and gives -1 */
    const char *choices;     /* "a|b|c" */
    const char *pattern;     /* POSIX extended regular expression for the whole text */
    bool (*item_fits)(const char *text); /* OPT_LIST: whether an item reads; NULL = any text does */
    bool (*item_check)(const char *text, struct err *err); /* OPT_RULES: whether an item reads, and why not */
    bool one_rule;     /* OPT_RULES, OPT_LIST: one item may stand without a list around it */
    bool live;         /* a running role takes another value up (reload) */
    bool secret;       /* the value is never shown */
    const char *items; /* OPT_LIST, OPT_RULES: what an item is, for messages */
    const char *example;
    const char *used_by; /* commands that read it, by names divided by blanks; a '!' in front: they cannot run
                            without */
    const char *help;
};

extern const struct option option_table[];
extern const size_t option_count;

struct option_value {
    bool set;
    char *text;     /* as given; NULL for lists and maps */
    int64_t number; /* INT, SIZE, DURATION, BOOL */
    char **list;    /* LIST, MAP: NULL-terminated */
    size_t list_count;
};

/* Reads a scalar. False = it does not fit (option_expected says what would); *ret is then untouched. */
bool option_value_parse(const struct option *opt, const char *text, struct option_value *ret);
/* Adds to a list or map; `name` is for maps. */
void option_value_add(struct option_value *value, const char *name, const char *text);
/* Lists and maps from a flag: "a,b,c"; a comma inside double quotes does not divide. */
bool option_value_split(const struct option *opt, const char *text, struct option_value *ret);
void option_value_release(struct option_value *value);

/* "a whole number from 1 to 32", "one of avro, json" … */
void option_expected(const struct option *opt, struct strbuf *out);
const char *option_type_name(enum option_type type);
/* Its value is kept as a list. */
bool option_is_many(const struct option *opt);
/* Index in option_table, or -1. */
int option_find(const char *key);
/* True if the text is the name of a section ("capture"). */
bool option_is_section(const char *path);
/* True if `command` is among used_by; *ret_needed tells whether it cannot run without. */
bool option_used_by(const struct option *opt, const char *command, bool *ret_needed);

#endif
