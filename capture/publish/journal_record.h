/* A batch's record as the journal takes it. Pure. */
#ifndef CAPTURE_JOURNAL_RECORD_H
#define CAPTURE_JOURNAL_RECORD_H

#include "capture/publish/batch.h"
#include "journal/journal.h"

/* commit_lsn: of its transaction; 0 = a row of a copy. It points into the batch, and to *id_be, which gets the schema's id as headers have it. */
struct journal_record cap_journal_record(const struct cap_batch *b, const struct cap_record *r,
                                         lsn_t commit_lsn, uint32_t *id_be);

#endif
