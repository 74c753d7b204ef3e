/* One rule of compare.queries, .aggregates, .samples, .counts, .rules or .contracts, from its text. Private to this module. */
#ifndef CONFIG_SEMANTIC_READ_H
#define CONFIG_SEMANTIC_READ_H

#include "config/fields.h"
#include "config/semantic_rules.h"

/* Each parses one text into a rule; on failure nothing is left to release. */
typedef bool semantic_reader(const char *text, void *ret, struct err *err);
semantic_reader query_pair_read, aggregate_rule_read, sample_rule_read, count_rule_read, data_rule_read,
    data_contract_read;
void query_pair_release(struct query_pair *query);
void aggregate_rule_release(struct aggregate_rule *rule);
void sample_rule_release(struct sample_rule *rule);
void count_rule_release(struct count_rule *rule);
void data_contract_release(struct data_contract *contract);

/* Fields that several kinds of rules have. */
bool read_choice(const struct fields *f, struct table_choice *ret) MUST_CHECK; /* table, where */
bool read_severity(const struct fields *f, enum severity *ret) MUST_CHECK;
bool read_tolerance(const struct fields *f, struct tolerances *ret) MUST_CHECK;
/* source_key, target_sql; the target's is the source's by default. */
bool read_sql(const struct fields *f, const char *source_key, char *ret[2]) MUST_CHECK;
void table_choice_release(struct table_choice *of);
void texts_release(char **texts, size_t count);

/* Parses text, labels the fields ("query revenue") by the field `name_key`, and calls read(). */
struct labelled {
    const char *option, *kind, *name_key;
};
bool read_labelled(const struct labelled *what, const char *text,
                   bool (*read)(const struct fields *f, void *ret), void *ret, struct err *err) MUST_CHECK;

#endif
