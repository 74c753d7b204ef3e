/*
 * cutover.triggers: when `cutover watch` raises an alert, pauses apply or rolls back. What is measured, its unit and what holds where
 * the configuration says nothing are the table in trigger_rules.c. @thread any
 */
#ifndef CONFIG_TRIGGER_RULES_H
#define CONFIG_TRIGGER_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct config;

enum trigger_kind {
    TRIGGER_RECONCILIATION = 0,
    TRIGGER_LATENCY_P95,
    TRIGGER_POOLER_LATENCY,
    TRIGGER_ERROR_RATE,
    TRIGGER_LAG,
    TRIGGER_FAILED_BATCHES,
    TRIGGER_ROLES,
    TRIGGER_DISK,
    TRIGGER_CORRUPTION,
    TRIGGER_KINDS
};

enum trigger_unit { TRIGGER_COUNT = 0, TRIGGER_RATIO, TRIGGER_PERCENT, TRIGGER_SECONDS };
enum trigger_action { TRIGGER_UNSET = 0, TRIGGER_ALERT, TRIGGER_PAUSE, TRIGGER_ROLLBACK };

#define TRIGGER_LEVELS_MAX 8

/* One level of one trigger. */
struct trigger_rule {
    double above;       /* it is on when more than this was measured, … */
    int64_t for_us;     /* … for this long, … */
    int64_t readings;   /* … so many times in a row; */
    double clear_below; /* and off again when it is this or less */
    enum trigger_action action;
};

struct trigger_info {
    const char *name; /* "lag": the option is cutover.triggers.lag */
    enum trigger_unit unit;
    const char *measured; /* for people */
    struct trigger_rule levels[TRIGGER_LEVELS_MAX];
    size_t level_count;
};

extern const struct trigger_info trigger_table[TRIGGER_KINDS];

const char *trigger_action_name(enum trigger_action action); /* "rollback" */
const char *trigger_unit_name(enum trigger_unit unit);       /* "seconds" */
/* What the configuration says of it, or the table; an empty list turns it off. ERR_CONFIG says which level and what of it. */
bool trigger_rules_from_config(const struct config *cfg, enum trigger_kind kind,
                               struct trigger_rule ret[TRIGGER_LEVELS_MAX], size_t *ret_count,
                               struct err *err) MUST_CHECK;
/* Whether one level reads (options.c). */
bool trigger_count_check(const char *text, struct err *err) MUST_CHECK;
bool trigger_ratio_check(const char *text, struct err *err) MUST_CHECK;
bool trigger_percent_check(const char *text, struct err *err) MUST_CHECK;
bool trigger_seconds_check(const char *text, struct err *err) MUST_CHECK;

#endif
