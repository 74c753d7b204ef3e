/*
 * The stream's metadata records (change/meta.h): which topics are wanted, and when a record is due. They go into the
 * batch at hand, between the changes of rows, and so into the same unit of the journal. @thread owner
 */
#ifndef CAPTURE_META_H
#define CAPTURE_META_H

#include "capture/stream/relation.h"
#include "change/meta.h"
#include "pg/pgoutput.h"

struct cap_stream;
struct cap_meta;

struct cap_meta *cap_meta_new(const struct cap_session *s);
void cap_meta_free(struct cap_meta *meta); /* NULL allowed */
/* A change of the relation comes next: the first of its transaction puts BEGIN before it. */
bool cap_meta_change(struct cap_stream *st, struct cap_relation *rel, struct err *err) MUST_CHECK;
/* A logical message; those of crossfade itself are passed over. One outside of transactions ends a boundary of its own. */
bool cap_meta_message(struct cap_stream *st, const struct pgoutput_message *m, struct err *err) MUST_CHECK;
/* The transaction ends: END, and a heartbeat when one is due. */
bool cap_meta_commit(struct cap_stream *st, struct err *err) MUST_CHECK;
/* A heartbeat into this batch, if one is due. */
bool cap_meta_heartbeat(struct cap_stream *st, struct cap_batch *batch, struct err *err) MUST_CHECK;

#endif
