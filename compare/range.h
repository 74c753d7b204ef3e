/* Key ranges: digests of both sides, narrowed to the rows that differ. Private to this module. */
#ifndef COMPARE_RANGE_H
#define COMPARE_RANGE_H

#include "engine.h"

/* For a digest that the target could not make. */
bool range_no_digest(struct err *err);

struct range_digest {
    int64_t rows[SIDE_COUNT];
    bool same;
    bool capped; /* the target has more rows than were counted */
};

/* Compares one range and adds what it finds to the table. */
bool range_compare(struct engine *engine, struct pair *pair, struct plan_table *pt,
                   const struct key_range *range, struct range_digest *ret, struct err *err) MUST_CHECK;
/* The key `offset_rows` behind the lower bound (NULL = from the first); *ret_key NULL: there is none. */
bool range_walk(struct session *source, const struct plan_table *pt, char *const *lower, int64_t offset_rows,
                char ***ret_key, struct err *err) MUST_CHECK;
/* Fetches keys and row hashes of a range of at most `rows` source rows and adds the rows that differ
 * (bisect.c). */
bool range_narrow(struct engine *engine, struct pair *pair, struct plan_table *pt,
                  const struct key_range *range, int64_t rows, struct err *err) MUST_CHECK;

/* The same statement for both sides of a range; release frees texts and parameters. */
struct range_statement {
    struct statement sides[SIDE_COUNT];
    const char **params;
};
void range_statement_init(struct range_statement *rs, const struct plan_table *pt,
                          const struct key_range *range);
void range_statement_release(struct range_statement *rs);
struct range_bounds range_bounds_of(const struct key_range *range);
/* limit_rows: the source has no more rows than this in the range. */
bool range_digests(struct pair *pair, const struct plan_table *pt, const struct key_range *range,
                   int64_t limit_rows, struct range_digest *ret, struct err *err) MUST_CHECK;

#endif
