/* The copy: slot with exported snapshot, all tables in chunks by parallel workers, then the first complete
 * fence. */
#ifndef CAPTURE_SNAPSHOT_H
#define CAPTURE_SNAPSHOT_H

#include "capture/capture_internal.h"

/*
 * Makes publication and slot anew and copies everything. s->publisher runs with the new attempt's number; on
 * return the fence that completes the copy is durable and *ret_lsn is its position (the slot's consistent
 * point): streaming starts there on s->stream. ERR_INTERRUPTED when a stop was asked for. @thread owner
 */
bool cap_snapshot_run(struct cap_session *s, lsn_t *ret_lsn, struct err *err) MUST_CHECK;

/* Blocks of one chunk so that it has about chunk_rows rows; rows < 0 = not known. Pure. */
int64_t cap_chunk_blocks(int64_t blocks, int64_t rows, int64_t chunk_rows);

#endif
