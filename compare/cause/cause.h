/*
 * Why a row differs: what compare could find out about each difference, with its evidence (docs/COMPARE.md, "Why a row differs").
 * A cause explains; it changes no verdict.
 */
#ifndef COMPARE_CAUSE_CAUSE_H
#define COMPARE_CAUSE_CAUSE_H

/* Never renumbered or renamed: reports carry the names. */
enum cause_kind {
    CAUSE_UNKNOWN = 0, /* could not be found out: the evidence says why */
    CAUSE_TYPE_RULE, /* the target's column type cannot hold the source's value: it has what that makes of it */
    CAUSE_COLLATION,       /* the same to the target's collation: case, accents, blanks at the end */
    CAUSE_TRIGGER,         /* a trigger of the target fires for what apply writes */
    CAUSE_ROGUE_WRITER,    /* apply wrote the source's row, or never a row of this key: somebody else did */
    CAUSE_DEAD_LETTER,     /* apply holds its record: the target refused it */
    CAUSE_CONFLICT,        /* both sides have changed it (apply.conflicts) */
    CAUSE_TOAST,           /* only columns differ that the last record does not carry */
    CAUSE_LOST_IN_JOURNAL, /* the source's row is not in the journal */
    CAUSE_NOT_APPLIED,     /* it is in the journal, and the target has not got it */
    CAUSE_FILTER,          /* source.filters leaves the source's row out */
    CAUSE_KIND_COUNT
};

/* Of one difference. evidence: NULL = nobody has looked. malloc'd; without row values. */
struct compare_cause {
    enum cause_kind kind;
    char *evidence;
};

/* "rogue_writer" */
const char *cause_kind_name(enum cause_kind kind);

#endif
