/* What the servers are asked about one row. A question that cannot be answered is no error: it counts as "no". Private to cause/. */
#ifndef COMPARE_CAUSE_PROBE_H
#define COMPARE_CAUSE_PROBE_H

#include "cause/causes.h"
#include "cause/facts.h"
#include "cause/values.h"

/* What is asked once for a table. */
struct table_probe {
    const struct causes *causes;
    const struct plan_table *pt;
    struct rowset *columns, *triggers; /* NULL: could not be read */
    bool triggers_hidden;              /* there may be some that our role does not see */
};

void table_probe_open(const struct causes *causes, const struct plan_table *pt, struct table_probe *ret);
void table_probe_close(struct table_probe *probe);

/* Collation and type: fills alike and narrowed. */
void probe_values(const struct table_probe *probe, const struct values *v, size_t row, const char *const *key,
                  struct cause_facts *facts);
/* The source has a row of this key, which the rules leave out. */
bool probe_left_out(const struct table_probe *probe, const char *const *key);
/* Name of a trigger that fires for what apply does to such a row; NULL = none. The probe's. */
const char *probe_trigger(const struct table_probe *probe, enum compare_kind kind);
/* "transaction 731 at 2026-11-22 10:00:00+00, origin …"; fills other_origin, by_apply and unmarked. NULL = not known; malloc'd. */
char *probe_writer(const struct table_probe *probe, const char *const *key, struct cause_facts *facts);
/* The key as the journal writes it, texts with a NUL behind each. malloc'd, NULL = as it is. */
char *probe_journal_key(const struct table_probe *probe, const char *const *key, size_t *ret_len);

#endif
