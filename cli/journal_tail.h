/* The last records of a partition. Offsets may have gaps (Kafka's commit marks take some), so they are looked
 * for. */
#ifndef CLI_JOURNAL_TAIL_H
#define CLI_JOURNAL_TAIL_H

#include "journal/journal.h"

#define JOURNAL_TAIL_MAX 1000000

/* Offset at which the last n (1 to JOURNAL_TAIL_MAX) records of [first, next) begin; next if there is none.
 * Replaces the reader's assignment. */
bool journal_tail(struct journal_reader *jr, const char *stream, int32_t partition, uint64_t first,
                  uint64_t next, uint64_t n, uint64_t *ret_start, struct err *err) MUST_CHECK;
/* The last record of a stream of one partition; it lives as journal_next()'s do. *ret_found false: there is none. Replaces the reader's assignment. */
bool journal_last(struct journal_reader *jr, const char *stream, struct journal_record *ret, bool *ret_found,
                  struct err *err) MUST_CHECK;

#endif
