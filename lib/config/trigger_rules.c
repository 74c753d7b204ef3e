/* Owns: the table of triggers, and what the texts of cutover.triggers mean. See trigger_rules.h. */
#include "config/trigger_rules.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/fields.h"
#include "core/alloc.h"

#define S      INT64_C(1000000)
#define OPTION "cutover.triggers"

/* By default nothing is done to a pipeline or an application: whoever wants that says so. */
const struct trigger_info trigger_table[TRIGGER_KINDS] = {
    [TRIGGER_RECONCILIATION] = {"reconciliation",
                                TRIGGER_COUNT,
                                "levels of comparison whose last verdict is FAIL",
                                {{.above = 0, .readings = 1, .clear_below = 0, .action = TRIGGER_ALERT}},
                                1},
    [TRIGGER_LATENCY_P95] =
        {"latency_p95",
         TRIGGER_RATIO,
         "95 of 100 answers to shadow queries: the time of the target by that of the source",
         {{.above = 1.25, .readings = 1, .clear_below = 1.15, .action = TRIGGER_ALERT},
          {.above = 1.5, .readings = 1, .clear_below = 1.35, .action = TRIGGER_ALERT},
          {.above = 2, .readings = 1, .clear_below = 1.7, .action = TRIGGER_ALERT}},
         3},
    [TRIGGER_POOLER_LATENCY] =
        {"pooler_latency",
         TRIGGER_RATIO,
         "mean time of a query as the poolers tell it, by that of the days before the cutover",
         {{.above = 1.25, .for_us = 120 * S, .readings = 3, .clear_below = 1.15, .action = TRIGGER_ALERT},
          {.above = 1.5, .for_us = 120 * S, .readings = 3, .clear_below = 1.35, .action = TRIGGER_ALERT},
          {.above = 2, .for_us = 120 * S, .readings = 3, .clear_below = 1.7, .action = TRIGGER_ALERT}},
         3},
    [TRIGGER_ERROR_RATE] = {"error_rate",
                            TRIGGER_PERCENT,
                            "shadow queries that fail on one side, or on each in its own way",
                            {{.above = 1, .readings = 1, .clear_below = 0.5, .action = TRIGGER_ALERT}},
                            1},
    [TRIGGER_LAG] =
        {"lag",
         TRIGGER_SECONDS,
         "age of what the target (after the cutover: the old source) has not applied yet",
         {{.above = 30, .for_us = 30 * S, .readings = 2, .clear_below = 10, .action = TRIGGER_ALERT}},
         1},
    [TRIGGER_FAILED_BATCHES] = {"failed_batches",
                                TRIGGER_COUNT,
                                "times in a row that apply has failed to write a batch",
                                {{.above = 2, .readings = 1, .clear_below = 0, .action = TRIGGER_ALERT}},
                                1},
    [TRIGGER_ROLES] =
        {"roles",
         TRIGGER_COUNT,
         "roles that do not answer or have halted",
         {{.above = 0, .for_us = 30 * S, .readings = 2, .clear_below = 0, .action = TRIGGER_ALERT}},
         1},
    [TRIGGER_DISK] = {"disk",
                      TRIGGER_PERCENT,
                      "use of the fullest file system of the journal and of cutover.watch.disk_paths",
                      {{.above = 90, .readings = 1, .clear_below = 85, .action = TRIGGER_ALERT}},
                      1},
    [TRIGGER_CORRUPTION] = {"corruption",
                            TRIGGER_COUNT,
                            "checksum failures of both databases, and errors that tell of damaged data",
                            {{.above = 0, .readings = 1, .clear_below = 0, .action = TRIGGER_ALERT}},
                            1},
};

static const char *const actions[] = {"", "alert", "pause", "rollback"};

const char *trigger_action_name(enum trigger_action action)
{
    return actions[action];
}

const char *trigger_unit_name(enum trigger_unit unit)
{
    static const char *const names[] = {"count", "ratio", "percent", "seconds"};
    return names[unit];
}

static const struct {
    const char *suffix;
    double times;
} seconds[] = {{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"", 1}};

static const char *const expected[] = {
    [TRIGGER_COUNT] = "a whole number",
    [TRIGGER_RATIO] = "a ratio, such as 1.5, 2x or +50%",
    [TRIGGER_PERCENT] = "a share, such as 90%",
    [TRIGGER_SECONDS] = "a time, such as 30s",
};

static bool seconds_of(double number, const char *suffix, double *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
        if (strcmp(seconds[i].suffix, suffix) == 0) {
            *ret = number * seconds[i].times;
            return true;
        }
    }
    return false;
}

static bool amount_of(enum trigger_unit unit, const char *text, double *ret)
{
    char *rest;
    bool more = unit == TRIGGER_RATIO && *text == '+';
    const char *digits = text + more;
    double number = strtod(digits, &rest);
    if (rest == digits || *digits < '0' || *digits > '9' || !isfinite(number))
        return false;
    *ret = number;
    switch (unit) {
    case TRIGGER_COUNT:
        return *rest == '\0' && number <= 1e9 && (double)(int64_t)number == number;
    case TRIGGER_RATIO:
        *ret = more ? 1 + number / 100 : number;
        return strcmp(rest, more ? "%" : "x") == 0 || (!more && *rest == '\0');
    case TRIGGER_PERCENT:
        return number <= 100 && (*rest == '\0' || strcmp(rest, "%") == 0);
    case TRIGGER_SECONDS:
        return seconds_of(number, rest, ret);
    }
    return false;
}

static bool read_amount(const struct fields *f, const char *key, enum trigger_unit unit, double *ret)
{
    const struct yaml_node *node = fields_find(f, key);
    return node == NULL || (node->kind == YAML_SCALAR && amount_of(unit, node->text, ret)) ||
           fields_refuse(f, key, node, expected[unit]);
}

static bool read_level(const struct fields *f, enum trigger_unit unit, struct trigger_rule *ret)
{
    double for_s = 0, unset = -1;
    int action = TRIGGER_ALERT;
    *ret = (struct trigger_rule){.above = unset, .clear_below = unset, .readings = 1};
    if (!fields_known(f, "above|for|readings|clear_below|action") ||
        !read_amount(f, "above", unit, &ret->above) || !read_amount(f, "for", TRIGGER_SECONDS, &for_s) ||
        !fields_int(f, "readings", 1, 100000, &ret->readings) ||
        !read_amount(f, "clear_below", unit, &ret->clear_below) ||
        !fields_choice(f, "action", "alert|pause|rollback", &action))
        return false;
    if (ret->above < 0)
        return fields_refuse(f, "above", NULL, expected[unit]);
    if (ret->clear_below < 0)
        ret->clear_below = ret->above;
    ret->for_us = (int64_t)(for_s * 1e6);
    ret->action = (enum trigger_action)action;
    return ret->clear_below <= ret->above ||
           fields_refuse(f, "clear_below", fields_find(f, "clear_below"), "at most what `above` says");
}

static bool read_one(const char *option, enum trigger_unit unit, const char *text, struct trigger_rule *ret,
                     struct err *err)
{
    struct yaml_node *root = NULL;
    if (!yaml_parse(option, text, strlen(text), &root, err))
        return false;
    const struct fields f = {option, "level", root, err};
    bool ok = read_level(&f, unit, ret);
    yaml_free(root);
    return ok;
}

static bool check(enum trigger_unit unit, const char *text, struct err *err)
{
    struct trigger_rule rule;
    return read_one(OPTION, unit, text, &rule, err);
}

bool trigger_count_check(const char *text, struct err *err)
{
    return check(TRIGGER_COUNT, text, err);
}

bool trigger_ratio_check(const char *text, struct err *err)
{
    return check(TRIGGER_RATIO, text, err);
}

bool trigger_percent_check(const char *text, struct err *err)
{
    return check(TRIGGER_PERCENT, text, err);
}

bool trigger_seconds_check(const char *text, struct err *err)
{
    return check(TRIGGER_SECONDS, text, err);
}

bool trigger_rules_from_config(const struct config *cfg, enum trigger_kind kind,
                               struct trigger_rule ret[TRIGGER_LEVELS_MAX], size_t *ret_count,
                               struct err *err)
{
    const struct trigger_info *info = &trigger_table[kind];
    size_t count = 0;
    char *key CLEANUP(free_ptr) = xasprintf(OPTION ".%s", info->name);
    const char *const *texts = config_list(cfg, key, &count);
    if (!config_is_set(cfg, key)) {
        memcpy(ret, info->levels, sizeof info->levels);
        *ret_count = info->level_count;
        return true;
    }
    if (count > TRIGGER_LEVELS_MAX)
        return err_set(err, ERR_CONFIG, "%s: found %zu levels, expected at most %d", key, count,
                       TRIGGER_LEVELS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!read_one(key, info->unit, texts[i], &ret[i], err))
            return false;
    }
    *ret_count = count;
    return true;
}
