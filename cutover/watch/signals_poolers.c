/*
 * Owns: the mean time of a query as PgBouncers tell it. Before a cutover it makes the baseline, which follows slowly (days of a watch, not its last
 * minute); after it, it is what the baseline is held against.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/pooler_rules.h"
#include "core/clock.h"
#include "cutover/poolers/console.h"
#include "watching.h"

#define ANSWER_MS 2000
#define SLOW      500 /* the baseline is a mean of about so many readings */
#define NOISE_US  200 /* a difference below this is none */

/* The mean of the pooler's last stats_period; false: nobody has asked anything in it. */
static bool query_us(const struct pooler_rule *rule, double *ret, struct err *err)
{
    struct pg_conn *conn = NULL;
    struct pg_result *res = NULL;
    bool gone;
    *ret = 0;
    if (!console_open(rule->admin, ANSWER_MS, &conn, &gone, err))
        return false;
    bool ok = console_query(conn, "SHOW STATS", clock_mono_us() + ANSWER_MS * 1000, &res, err);
    for (int i = 0; ok && i < pg_rows(res); i++) {
        if (strcmp(console_cell(res, i, "database"), rule->database) == 0)
            *ret = strtod(console_cell(res, i, "avg_query_time"), NULL);
    }
    pg_result_free(res);
    pg_close(conn);
    return ok;
}

static void learn(struct pooler_baseline *b, double us)
{
    b->samples = MIN_OF(b->samples + 1, SLOW);
    b->us += (us - b->us) / (double)b->samples;
}

static void judge(const struct pooler_baseline *b, const char *database, double us, struct signal *s)
{
    double ratio = us - b->us < NOISE_US ? 1 : us / b->us;
    if (!s->known || ratio > s->value)
        signal_set(s, ratio, "pooler of database %.100s: mean %.2f ms, before the cutover %.2f ms", database,
                   us / 1000, b->us / 1000);
}

static void one(struct watching *w, size_t i, const struct pooler_rule *rule, struct signal *s)
{
    struct err away = ERR_INIT;
    double us = 0;
    if (!query_us(rule, &us, &away)) {
        if (!s->known)
            signal_unknown(s, "pooler of database %.100s: %.150s", rule->database, away.text);
        return;
    }
    if (us <= 0) /* idle */
        return;
    if (w->stage == STAGE_BEFORE)
        learn(&w->poolers[i], us);
    else if (w->stage == STAGE_AFTER && w->poolers[i].samples > 0)
        judge(&w->poolers[i], rule->database, us, s);
}

void signal_of_poolers(struct watching *w)
{
    struct signal *s = &w->triggers[TRIGGER_POOLER_LATENCY].signal;
    struct pooler_rule *rules = NULL;
    size_t count = 0;
    struct err err = ERR_INIT;
    if (w->triggers[TRIGGER_POOLER_LATENCY].level_count == 0 ||
        !pooler_rules_from_config(w->cfg, &rules, &count, &err) || count == 0) {
        signal_unknown(s, "%.280s", err_is_set(&err) ? err.text : "no pooler is configured");
        pooler_rules_free(rules, count);
        return;
    }
    if (w->stage == STAGE_AFTER && w->co.maria != NULL) {
        signal_unknown(s, "PgBouncer leads to no MariaDB: how long its queries take, latency_p95 tells "
                          "(shadow queries)");
        pooler_rules_free(rules, count);
        return;
    }
    signal_unknown(s, w->stage == STAGE_AFTER ? "no query, or no baseline of before the cutover"
                                              : "the baseline is being made");
    for (size_t i = 0; i < count && i < WATCH_POOLERS_MAX; i++)
        one(w, i, &rules[i], s);
    pooler_rules_free(rules, count);
}
