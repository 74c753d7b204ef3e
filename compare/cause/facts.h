/*
 * From what was found about one row to its cause: a table of rules, the first that holds decides (docs/COMPARE.md, "Why a row
 * differs"). No I/O. Private to compare.
 */
#ifndef COMPARE_CAUSE_FACTS_H
#define COMPARE_CAUSE_FACTS_H

#include <stdbool.h>

#include "compare/compare.h"

/* What the journal has of the row's key, up to the fence. */
enum cause_seen {
    SEEN_UNREAD = 0, /* it could not be read, or not far enough */
    SEEN_NONE_KEPT,  /* no record in what it still holds, which is not all */
    SEEN_NONE,       /* no record, and it holds all since the first copy */
    SEEN_RECORD
};

struct cause_facts {
    enum compare_kind kind;
    bool conflict, dead_letter;
    bool filtered; /* extra: the source has a row of this key, and the rules leave it out */
    /* Who wrote the target's row as it is, by the replication origin of that transaction; all false: it is not known. */
    bool other_origin; /* a replication that is not this pipeline's apply */
    bool by_apply;     /* a session of this pipeline's apply (or a trigger in it) */
    bool unmarked;     /* a session without an origin, at a time when apply's had theirs */
    bool alike;        /* all that differs is equal by the target's collations */
    bool key_alike;    /* missing, extra: the other side has a key that differs in case, accents … alone */
    bool narrowed;     /* …, or is what the column's type makes of the source's value */
    bool placeholder;  /* the target has the text that stands for an unchanged value */
    bool trigger;      /* one fires on the target for what apply does to this row */
    bool direct;       /* rows of the first copy are not in the journal (capture.snapshot_path: direct) */
    enum cause_seen seen;
    /* RECORD: */
    bool gone;              /* the last record is a delete, or a TRUNCATE */
    bool lacking;           /* it carries none of the columns that differ */
    bool as_source;         /* as far as it carries them they are the source's values */
    bool undecided;         /* some of them cannot be read exactly from it */
    bool earlier_as_target; /* an earlier record has the target's values */
    bool passed;            /* the last record is older than a comparison that found all rows equal */
};

/* Which things to show beside a rule's sentence. */
enum cause_show {
    SHOW_RECORD = 1,  /* the last record's place */
    SHOW_EARLIER = 2, /* the place of the earlier record that the target has */
    SHOW_WRITER = 4,  /* which transaction wrote the target's row */
    SHOW_HELD = 8,    /* the conflict, or the dead letter */
    SHOW_TRIGGER = 16,
    SHOW_JOURNAL = 32, /* what of the journal was read, or why it was not */
    SHOW_PASSED = 128, /* the comparison that found it equal */
    SHOW_DOUBT = 64    /* where triggers cannot be seen, that one may have been it */
};

struct cause_rule {
    enum cause_kind kind;
    bool (*holds)(const struct cause_facts *f);
    const char *text;
    unsigned show;
};

/* Never NULL: the last rule always holds. */
const struct cause_rule *cause_judge(const struct cause_facts *facts);

#endif
