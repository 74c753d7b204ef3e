/* Where in a stream the transactions of a position of the source begin, by the fences. */
#ifndef CLI_JOURNAL_FROM_H
#define CLI_JOURNAL_FROM_H

#include "core/lsn.h"
#include "journal/journal.h"

/* Finds the first fence that holds what was committed at `lsn` or later: *ret_fence_offset is its offset in the fence stream
 * (its end if there is none), starts[p] the offset at which partition p of the stream goes on from there (UINT64_MAX: nothing
 * came). Replaces the reader's assignment. */
bool journal_from_lsn(struct journal_reader *jr, const char *fence_stream, lsn_t lsn,
                      const struct journal_stream_info *info, uint64_t *ret_fence_offset, uint64_t *starts,
                      struct err *err) MUST_CHECK;

#endif
