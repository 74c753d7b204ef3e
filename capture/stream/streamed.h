/*
 * Transactions that the server streams while they run (pgoutput's protocol version 2): their frames are kept (txn_store.h) and
 * decoded at their commit, as if they came then: journal, fences, holds and copies see no difference to a transaction
 * that came whole.
 *
 * What tells of a table (Relation) inside of such a transaction is its own until it commits, and then everybody's; but
 * one that came outside later than it is newer, and holds again when the transaction is done.
 * @thread owner
 */
#ifndef CAPTURE_STREAMED_H
#define CAPTURE_STREAMED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct cap_settings;
struct cap_stream;
struct cap_streamed;
struct repl_frame;

struct cap_streamed *cap_streamed_new(const struct cap_settings *settings);
void cap_streamed_free(struct cap_streamed *sd); /* NULL allowed */
/* Looks at a frame first. *ret_taken: it is of a running transaction, or ends one; nobody else has to. */
bool cap_streamed_take(struct cap_stream *st, const struct repl_frame *frame, bool *ret_taken,
                       struct err *err) MUST_CHECK;
/* Between the start of a block and its end: keepalives tell nothing. */
bool cap_streamed_in_block(const struct cap_streamed *sd);
/* Bytes that were written to files since it was made. NULL: 0. */
uint64_t cap_streamed_spilled(const struct cap_streamed *sd);

#endif
