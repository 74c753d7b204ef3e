/* cutover.poolers: the PgBouncers that a cutover switches, read from their texts. @thread any (immutable once made) */
#ifndef CONFIG_POOLER_RULES_H
#define CONFIG_POOLER_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct config;

struct pooler_rule {
    char *admin;                /* URL of the console */
    char *ini;                  /* path of its configuration, absolute */
    char *database;             /* name in [databases] */
    char *host, *port, *dbname; /* where it finds the target; NULL = as target.url says */
    char *login;                /* URL of an application's user; NULL = none is tried */
};

/* *ret: one for each item; NULL where there is none. ERR_CONFIG says which and what of it. */
bool pooler_rules_from_config(const struct config *cfg, struct pooler_rule **ret, size_t *ret_count,
                              struct err *err) MUST_CHECK;
void pooler_rules_free(struct pooler_rule *rules, size_t count); /* NULL allowed */
/* Whether one item reads (options.c). */
bool pooler_rule_check(const char *text, struct err *err) MUST_CHECK;

/* Whether it is an item of cutover.read_steps: a whole number from 1 to 100. */
bool read_share_fits(const char *text);

#endif
