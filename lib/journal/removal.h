/*
 * Taking a journal away: what it consists of, which of it is provably this pipeline's, and removing one part after the other. On Kafka a topic is the
 * pipeline's when its fences name it, or when it is one of the streams that the prefix names (fences, schemas, Debezium's own records); others that
 * begin as the prefix does may be another pipeline's ("shop" and "shop.eu") and stay. An LMDB folder is the pipeline's by the row that says so in it.
 * The part that proves it all comes last, so that whoever was killed half-way finds the rest again.
 * @thread any; nobody may write to the journal meanwhile
 */
#ifndef JOURNAL_REMOVAL_H
#define JOURNAL_REMOVAL_H

#include "journal/journal.h"

struct journal_part {
    char name[512];
    char action[640];       /* what removing does */
    int64_t bytes, records; /* -1 = not known */
    bool ours;
    char why[300];     /* why it is not removed, if it is not ours */
    char used_by[200]; /* who is at it, as far as can be seen; "" = nobody */
};

typedef void journal_part_fn(void *ctx, const struct journal_part *part);

/* In the order in which they are to be removed; none: there is no journal. */
bool journal_parts(const struct journal_config *config, journal_part_fn *each, void *ctx,
                   struct err *err) MUST_CHECK;
/* By its name, a part that journal_parts() has told as ours. One that is gone is no error. */
bool journal_remove_part(const struct journal_config *config, const char *name, struct err *err) MUST_CHECK;

#endif
