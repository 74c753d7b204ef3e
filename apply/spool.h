/*
 * A spool brings the records of a fence that is larger than memory into commit order over all partitions:
 * sorted runs in a temporary file without name (in $TMPDIR, else /var/tmp), merged when they are read. Needed
 * where parts may not be written in the order of arrival: streams of several partitions, and replay in exact
 * order.
 * @thread owner
 */
#ifndef APPLY_SPOOL_H
#define APPLY_SPOOL_H

#include "apply/collapse.h"
#include "journal/journal.h"

struct spool;

/* max_bytes: memory for a run. */
bool spool_open(size_t max_bytes, struct spool **ret, struct err *err) MUST_CHECK;
void spool_close(struct spool *sp); /* NULL allowed */
/* Copies the record; `at` says where it belongs (commit_lsn, total_order, op; seq counts up). */
bool spool_add(struct spool *sp, const struct journal_record *rec, const struct item *at,
               struct err *err) MUST_CHECK;
/* No more records come. */
bool spool_finish(struct spool *sp, struct err *err) MUST_CHECK;
/* The next record in order, valid until the next call; *ret_more false at the end. */
bool spool_next(struct spool *sp, struct journal_record *ret, bool *ret_more, struct err *err) MUST_CHECK;

#endif
