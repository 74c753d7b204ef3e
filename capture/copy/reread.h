/* A row as the source has it now, for a change that does not carry all of it (unchanged TOAST values are not sent). @thread owner */
#ifndef CAPTURE_REREAD_H
#define CAPTURE_REREAD_H

#include "capture/stream/stream_internal.h"

bool cap_row_is_whole(const struct cap_table_writer *tw, const struct datum *row);
/* Reads the row under new_row's key into rel->writer->after; *ret_there false: it is gone, or its table
 * was altered since and is copied from its first row on (cap_copier_begin_anew()). The transaction at hand is visible in what
 * is read; what is newer is behind the position that the copier is told. */
bool cap_reread(struct cap_stream *st, struct cap_relation *rel, const struct pgoutput_tuple *new_row,
                bool *ret_there, struct err *err) MUST_CHECK;

#endif
