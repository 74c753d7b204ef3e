/* What the files of this module share, and nobody else sees: the implementations, and small helpers of
 * theirs. */
#ifndef JOURNAL_JOURNAL_IMPL_H
#define JOURNAL_JOURNAL_IMPL_H

#include "journal/journal.h"

extern const struct journal_impl journal_impl_lmdb;
extern const struct journal_impl journal_impl_kafka;
extern const struct journal_impl journal_impl_fault;

/* A place that is not in the stream is asked for so often, and so far apart, before it counts. */
#define ASK_AGAIN_MAX 10
#define ASK_AGAIN_MS  300

/* The implementation that the URL's scheme names; NULL with ERR_CONFIG. */
const struct journal_impl *journal_impl_for(const char *url, struct err *err);

/* For what outlives the caller's configuration: all texts are copied. */
void journal_config_copy(struct journal_config *ret, const struct journal_config *config);
void journal_config_free(struct journal_config *copy);

/* Names to small numbers (indexes of the owner's arrays). Names are copied. @thread: one owner at a time */
struct name_map;
struct name_map *name_map_new(void);
void name_map_free(struct name_map *map); /* NULL allowed */
/* -1 = not there. */
int name_map_get(const struct name_map *map, const char *name);
void name_map_put(struct name_map *map, const char *name, int value);

#endif
