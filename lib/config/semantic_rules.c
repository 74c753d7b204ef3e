/* Owns: all of a comparison's checks together, from a loaded configuration. See semantic_rules.h. */
#include "config/semantic_rules.h"

#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/semantic_read.h"
#include "core/alloc.h"

#define CHECKER(function, reader, type, release)                                                             \
    bool function(const char *text, struct err *err)                                                         \
    {                                                                                                        \
        type rule;                                                                                           \
        if (!reader(text, &rule, err))                                                                       \
            return false;                                                                                    \
        release(&rule);                                                                                      \
        return true;                                                                                         \
    }

CHECKER(query_pair_check, query_pair_read, struct query_pair, query_pair_release)
CHECKER(aggregate_rule_check, aggregate_rule_read, struct aggregate_rule, aggregate_rule_release)
CHECKER(sample_rule_check, sample_rule_read, struct sample_rule, sample_rule_release)
CHECKER(count_rule_check, count_rule_read, struct count_rule, count_rule_release)
CHECKER(data_rule_check, data_rule_read, struct data_contract, data_contract_release)
CHECKER(data_contract_check, data_contract_read, struct data_contract, data_contract_release)

/* Adds what the option lists to an array of items. */
static bool read_all(const struct config *cfg, const char *option, semantic_reader *read, size_t size,
                     void **items, size_t *count, struct err *err)
{
    size_t texts;
    const char *const *list = config_list(cfg, option, &texts);
    *items = xrealloc(*items, (*count + texts + 1) * size);
    for (size_t i = 0; i < texts; i++) {
        if (!read(list[i], (char *)*items + *count * size, err))
            return false;
        ++*count;
    }
    return true;
}

static bool names_differ(const struct semantic_rules *rules, struct err *err)
{
    for (size_t i = 0; i < rules->query_count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(rules->queries[i].name, rules->queries[k].name) == 0)
                return err_set(err, ERR_CONFIG,
                               "compare.queries: query %s: found the name twice, expected each once",
                               rules->queries[i].name);
        }
    }
    return true;
}

bool semantic_rules_from_config(const struct config *cfg, struct semantic_rules *ret, struct err *err)
{
    struct semantic_rules r = {0};
#define READ(option, reader, field, number)                                                                  \
    read_all(cfg, option, reader, sizeof *r.field, (void **)&r.field, &r.number, err)
    bool ok = READ("compare.queries", query_pair_read, queries, query_count) &&
              READ("compare.aggregates", aggregate_rule_read, aggregates, aggregate_count) &&
              READ("compare.samples", sample_rule_read, samples, sample_count) &&
              READ("compare.counts", count_rule_read, counts, count_count) &&
              READ("compare.contracts", data_contract_read, contracts, contract_count) &&
              READ("compare.rules", data_rule_read, contracts, contract_count) && names_differ(&r, err);
#undef READ
    if (!ok) {
        semantic_rules_release(&r);
        return false;
    }
    *ret = r;
    return true;
}

void semantic_rules_release(struct semantic_rules *r)
{
    for (size_t i = 0; i < r->query_count; i++)
        query_pair_release(&r->queries[i]);
    for (size_t i = 0; i < r->aggregate_count; i++)
        aggregate_rule_release(&r->aggregates[i]);
    for (size_t i = 0; i < r->sample_count; i++)
        sample_rule_release(&r->samples[i]);
    for (size_t i = 0; i < r->count_count; i++)
        count_rule_release(&r->counts[i]);
    for (size_t i = 0; i < r->contract_count; i++)
        data_contract_release(&r->contracts[i]);
    free(r->queries);
    free(r->aggregates);
    free(r->samples);
    free(r->counts);
    free(r->contracts);
    *r = (struct semantic_rules){0};
}
