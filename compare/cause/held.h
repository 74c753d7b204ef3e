/* What the control tables say of a table's rows: conflicts, dead letters, when all were equal. Private to cause/. */
#ifndef COMPARE_CAUSE_HELD_H
#define COMPARE_CAUSE_HELD_H

#include "cause/evidence.h"
#include "cause/journal_rows.h"

struct held {
    struct rowset *conflicts, *letters;
    struct passed passed;
    bool direct; /* the first copy was a direct load */
};

/* A failure leaves none; *err says why, and the session is recovered. */
bool held_read(struct session *target, const char *pipeline, const struct plan_table *pt, struct held *ret,
               struct err *err) MUST_CHECK;
void held_release(struct held *held);
/* "conflict 12 (update, open) lsn=0/1": of the row with this key; NULL = none. malloc'd. */
char *held_conflict(const struct held *held, const struct plan_table *pt, const char *const *key);
/* "dead letter 7 sqlstate=23514 topic=… …": one of the row's records; NULL = none. malloc'd. */
char *held_letter(const struct held *held, const char *topic, const struct wanted_row *row);

#endif
