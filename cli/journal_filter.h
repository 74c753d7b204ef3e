/* Which records `crossfade journal cat` shows: by key and by commit position. */
#ifndef CLI_JOURNAL_FILTER_H
#define CLI_JOURNAL_FILTER_H

#include "core/lsn.h"
#include "journal/journal.h"
#include "record_json.h"

struct record_filter;

/* key_json: NULL = any; else an object, or one value for a key of one column. False: it is no JSON (ERR_CONFIG). */
bool record_filter_new(const char *key_json, lsn_t from_lsn, struct record_filter **ret,
                       struct err *err) MUST_CHECK;
void record_filter_free(struct record_filter *filter); /* NULL allowed */
/* Records of a partition must come in order: a tombstone goes with the record before it. */
bool record_filter_wants(struct record_filter *filter, const struct journal_record *rec,
                         const struct record_texts *texts);

#endif
