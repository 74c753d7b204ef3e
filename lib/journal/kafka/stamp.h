/*
 * What a writer without transactions puts on its records, as a header, so that readers can tell what counts ("Writing without units"
 * in journal.h). 16 bytes, big endian:
 *
 *   __crossfade.by  data streams: the writer's id, and a number that counts its records. In a range that a fence names, only
 *                   records of the fence's writer count, and of those with a number that is not greater than the one before, none.
 *   __crossfade.at  streams that never expire: the writer's id, and the offset that the record is meant for: the one behind all that
 *                   the writer knows of the stream. Standing elsewhere it does not count: something came between that the writer
 *                   had not seen. So such a stream is a log by compare-and-set; the broker orders it, and all readers see the same.
 *
 * A seal is a record that is meant for no offset: behind it, no earlier writer's record counts any more. Each opening writes one.
 */
#ifndef JOURNAL_KAFKA_STAMP_H
#define JOURNAL_KAFKA_STAMP_H

#include "journal/kafka/kafka.h"

#define KAFKA_STAMP_NOWHERE UINT64_MAX   /* of a seal */
#define KAFKA_STAMP_BYTES   ((size_t)32) /* of such a header in a batch */

struct kafka_stamp {
    uint64_t writer; /* 0 = the record has no stamp */
    uint64_t number; /* by: counts; at: an offset */
};

/* kind: of the stream. */
void kafka_stamp_add(rd_kafka_headers_t *headers, enum stream_kind kind, struct kafka_stamp stamp);
struct kafka_stamp kafka_stamp_of(const rd_kafka_message_t *msg, enum stream_kind kind);
/* The header is a stamp: not for those above. */
bool kafka_stamp_is(const char *header_name);
/* An id for a writer: random, never 0. */
uint64_t kafka_stamp_writer(void);

/* Whether another writer's seal stands in this range of a forever stream. */
bool kafka_is_sealed(const struct journal_config *config, const struct journal_range *range, uint64_t writer,
                     bool *ret, struct err *err) MUST_CHECK;
/* Whether the last record of this pipeline's fence stream was written without transactions; false if there is none. */
bool kafka_tail_is_stamped(const struct journal_config *config, bool *ret, struct err *err) MUST_CHECK;

#endif
