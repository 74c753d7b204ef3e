/* Owns: the order of causes, and the sentence of each. See facts.h. */
#include "cause/facts.h"

#include "core/attr.h"

static bool held(const struct cause_facts *f)
{
    return f->dead_letter;
}

static bool in_conflict(const struct cause_facts *f)
{
    return f->conflict;
}

static bool left_out(const struct cause_facts *f)
{
    return f->kind == DIFF_EXTRA && f->filtered;
}

static bool other_origin(const struct cause_facts *f)
{
    return f->kind != DIFF_MISSING && f->other_origin;
}

static bool placeholder(const struct cause_facts *f)
{
    return f->kind == DIFF_CHANGED && f->placeholder;
}

static bool alike(const struct cause_facts *f)
{
    return f->kind != DIFF_EXTRA && f->alike;
}

static bool key_alike(const struct cause_facts *f)
{
    return f->key_alike;
}

static bool narrowed(const struct cause_facts *f)
{
    return f->kind == DIFF_CHANGED && f->narrowed;
}

static bool unread(const struct cause_facts *f)
{
    return f->seen == SEEN_UNREAD;
}

/* The source has a row, and to the journal it is gone. */
static bool lost_insert(const struct cause_facts *f)
{
    return f->seen == SEEN_RECORD && f->kind != DIFF_EXTRA && f->gone;
}

static bool lost_delete(const struct cause_facts *f)
{
    return f->seen == SEEN_RECORD && f->kind == DIFF_EXTRA && !f->gone;
}

/* Apply has not touched the row since it was equal. */
static bool changed_since(const struct cause_facts *f)
{
    return f->seen == SEEN_RECORD && f->passed && !f->by_apply;
}

static bool unmarked(const struct cause_facts *f)
{
    return f->kind != DIFF_MISSING && f->unmarked;
}

/* (A direct load's sessions have no origin.) */
static bool unmarked_unread(const struct cause_facts *f)
{
    return unmarked(f) && f->seen == SEEN_UNREAD && !f->direct;
}

static bool wrote_itself(const struct cause_facts *f)
{
    return f->seen == SEEN_RECORD && f->kind != DIFF_MISSING && f->by_apply;
}

static bool wrote_unasked(const struct cause_facts *f)
{
    return f->seen == SEEN_NONE && f->kind == DIFF_EXTRA && f->by_apply;
}

static bool lacking(const struct cause_facts *f)
{
    return f->seen == SEEN_RECORD && f->kind == DIFF_CHANGED && f->lacking;
}

static bool undecided(const struct cause_facts *f)
{
    return f->seen == SEEN_RECORD && f->kind == DIFF_CHANGED && f->undecided;
}

static bool lost_update(const struct cause_facts *f)
{
    return f->seen == SEEN_RECORD && f->kind != DIFF_EXTRA && !f->undecided && !f->as_source;
}

static bool unmarked_read(const struct cause_facts *f)
{
    return unmarked(f) && !lost_update(f) &&
           (f->seen == SEEN_RECORD || (f->seen == SEEN_NONE_KEPT && !f->direct));
}

static bool stale(const struct cause_facts *f)
{
    return f->seen == SEEN_RECORD && f->kind != DIFF_MISSING && f->earlier_as_target;
}

static bool triggered(const struct cause_facts *f)
{
    return f->trigger &&
           (f->seen == SEEN_RECORD || (f->seen == SEEN_NONE && f->direct && f->kind != DIFF_EXTRA));
}

static bool recorded_missing(const struct cause_facts *f)
{
    return f->seen == SEEN_RECORD && f->kind == DIFF_MISSING;
}

static bool recorded_changed(const struct cause_facts *f)
{
    return f->seen == SEEN_RECORD && f->kind == DIFF_CHANGED;
}

static bool back_again(const struct cause_facts *f)
{
    return f->seen == SEEN_RECORD && f->kind == DIFF_EXTRA;
}

static bool never_there(const struct cause_facts *f)
{
    return f->seen == SEEN_NONE && f->kind == DIFF_EXTRA;
}

static bool copied_missing(const struct cause_facts *f)
{
    return f->seen == SEEN_NONE && f->direct && f->kind == DIFF_MISSING;
}

static bool copied_changed(const struct cause_facts *f)
{
    return f->seen == SEEN_NONE && f->direct && f->kind == DIFF_CHANGED;
}

static bool never_written(const struct cause_facts *f)
{
    return f->seen == SEEN_NONE;
}

static bool always(const struct cause_facts *f)
{
    (void)f;
    return true;
}

static const struct cause_rule rules[] = {
    {CAUSE_CONFLICT, in_conflict, "both sides have changed the row", SHOW_HELD},
    {CAUSE_DEAD_LETTER, held, "apply holds its record, which the target refused", SHOW_HELD},
    {CAUSE_FILTER, left_out, "the source has a row of this key, which source.filters leaves out",
     SHOW_WRITER},
    {CAUSE_ROGUE_WRITER, other_origin, "the target's row came by another replication",
     SHOW_WRITER | SHOW_RECORD},
    {CAUSE_TOAST, placeholder, "the target has the text that stands for an unchanged value", SHOW_RECORD},
    {CAUSE_COLLATION, alike,
     "the target's collation takes both sides for equal: case, accents or blanks at the end differ",
     SHOW_RECORD | SHOW_WRITER},
    {CAUSE_COLLATION, key_alike,
     "the other side has a row whose key differs in case, accents, blanks at the end or Unicode form alone",
     SHOW_RECORD | SHOW_WRITER},
    {CAUSE_TYPE_RULE, narrowed, "the target has what its column's type makes of the source's value",
     SHOW_RECORD},
    {CAUSE_ROGUE_WRITER, unmarked_unread, "a session that is not apply's has written the target's row",
     SHOW_JOURNAL | SHOW_WRITER},
    {CAUSE_UNKNOWN, unread, "the row's records could not be looked up", SHOW_JOURNAL | SHOW_WRITER},
    {CAUSE_LOST_IN_JOURNAL, lost_insert,
     "the source has the row, and the journal's last record of it says that it is gone", SHOW_RECORD},
    {CAUSE_LOST_IN_JOURNAL, lost_delete,
     "the source has no such row, and the journal's last record of it says that it is there", SHOW_RECORD},
    {CAUSE_ROGUE_WRITER, unmarked_read, "a session that is not apply's has written the target's row",
     SHOW_RECORD | SHOW_WRITER},
    {CAUSE_UNKNOWN, undecided, "the last record does not carry the exact values of the columns that differ",
     SHOW_RECORD | SHOW_WRITER},
    {CAUSE_LOST_IN_JOURNAL, lost_update, "the journal's last record of the row is not what the source has",
     SHOW_RECORD},
    {CAUSE_ROGUE_WRITER, changed_since,
     "the row was equal in an earlier comparison, behind its last record: somebody else has changed it since",
     SHOW_PASSED | SHOW_RECORD | SHOW_WRITER},
    {CAUSE_TOAST, lacking,
     "the last record does not carry the columns that differ: they had not changed, and the target had "
     "other values",
     SHOW_RECORD | SHOW_WRITER},
    {CAUSE_TRIGGER, triggered, "a trigger of the target fires for what apply writes",
     SHOW_TRIGGER | SHOW_RECORD | SHOW_WRITER},
    {CAUSE_NOT_APPLIED, stale,
     "the target has the row as it was at an earlier record: the last one was not applied, or undone",
     SHOW_RECORD | SHOW_EARLIER | SHOW_WRITER},
    {CAUSE_UNKNOWN, wrote_itself,
     "a session of apply has written the target's row, and its last record says otherwise: a trigger that is "
     "gone by now, or one of another table",
     SHOW_RECORD | SHOW_WRITER},
    {CAUSE_TRIGGER, wrote_unasked,
     "a session of apply has written the row, and no record of this key ever was in the journal: a trigger "
     "of "
     "another table",
     SHOW_JOURNAL | SHOW_WRITER},
    {CAUSE_NOT_APPLIED, recorded_missing,
     "the row is in the journal, and apply has passed it: it was not applied, or somebody "
     "else has deleted it since",
     SHOW_RECORD | SHOW_DOUBT},
    {CAUSE_ROGUE_WRITER, recorded_changed,
     "the journal's last record of the row is what the source has, and apply has passed "
     "it: somebody else has changed it since",
     SHOW_RECORD | SHOW_WRITER | SHOW_DOUBT},
    {CAUSE_ROGUE_WRITER, back_again,
     "the journal's last record of the row says that it is gone, and apply has passed it: "
     "somebody else has written it since",
     SHOW_RECORD | SHOW_WRITER | SHOW_DOUBT},
    {CAUSE_ROGUE_WRITER, never_there,
     "no record of this key ever was in the journal: somebody else has written the row",
     SHOW_JOURNAL | SHOW_WRITER},
    {CAUSE_NOT_APPLIED, copied_missing,
     "the source has not changed the row since the direct load: it was not loaded, or somebody "
     "else has deleted it since",
     SHOW_JOURNAL},
    {CAUSE_ROGUE_WRITER, copied_changed,
     "the source has not changed the row since the direct load: somebody else has changed it",
     SHOW_JOURNAL | SHOW_WRITER},
    {CAUSE_LOST_IN_JOURNAL, never_written,
     "no record of this key is in the journal, and the source has the row", SHOW_JOURNAL},
    {CAUSE_UNKNOWN, always, "no record of this key is in what the journal still holds",
     SHOW_JOURNAL | SHOW_WRITER},
};

const struct cause_rule *cause_judge(const struct cause_facts *facts)
{
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(rules) && !rules[i].holds(facts))
        i++;
    return &rules[i];
}
