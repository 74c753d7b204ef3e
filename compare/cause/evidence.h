/* What is told of a cause: a sentence, and where it can be looked up. Never a row's values. Private to cause/. */
#ifndef COMPARE_CAUSE_EVIDENCE_H
#define COMPARE_CAUSE_EVIDENCE_H

#include "compare/cause/facts.h"
#include "compare/cause/journal_rows.h"

/* The newest comparison of all rows of all tables that was a PASS, and where it stood. */
struct passed {
    lsn_t lsn; /* 0 = there was none */
    uint64_t fence_id;
};

/* Each may be NULL. */
struct evidence {
    const char *topic;
    const struct record_place *last, *earlier;
    const char *writer, *held, *trigger, *journal;
    const struct passed *passed;
    bool triggers_hidden; /* our role may not see the target's triggers */
};

/* malloc'd */
char *evidence_text(const struct cause_rule *rule, const struct evidence *e);

#endif
