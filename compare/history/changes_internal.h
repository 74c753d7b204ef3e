/* What the files of changes.h share. */
#ifndef COMPARE_HISTORY_CHANGES_INTERNAL_H
#define COMPARE_HISTORY_CHANGES_INTERNAL_H

#include "change/codec.h"
#include "core/arena.h"
#include "history/changes.h"
#include "journal/journal.h"

struct part_range {
    bool there;
    uint64_t first, next;
};

/* A stream with some of the tables: changes.tables[first … first + count), which are sorted by topic and name. */
struct topic {
    const char *name;
    size_t first, count;
    size_t lost_count; /* so many of the first ones are known to be lost */
    uint64_t since_id; /* the earliest of its tables' */
    struct part_range *parts;
    size_t part_count;
};

/* All that is needed while the journal is read. */
struct walk {
    struct changes *changes;
    struct journal_reader *reader;
    struct topic *topics; /* by name */
    size_t topic_count;
};

/* changes_fences.c: walks the fences behind the tables' own and up to `until`: fills the topics' ranges; tables whose fence is not
 * there, or behind which something else than a stream of changes came, are lost. */
bool changes_walk_fences(struct walk *walk, const char *stream, struct err *err) MUST_CHECK;
struct topic *changes_topic(struct walk *walk, const char *name); /* NULL: none of ours */

/* changes_key.c: the keys that a change names, handed to changes.key(). */
bool changes_take(struct changes *changes, struct changed_table *table, const struct change *chg,
                  struct err *err) MUST_CHECK;
void key_reader_free(struct key_reader *reader); /* NULL allowed */

void changed_table_lose(struct changed_table *table, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
