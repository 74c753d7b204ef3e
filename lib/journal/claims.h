/*
 * Rows that are larger than the journal's server takes (Kafka: max.message.bytes): their values lie in a claim store
 * (claim_store.h), and a small record stands in the row's place, with its key, a value that tells a foreign reader in
 * JSON what it is, and the header __crossfade.claim, by which our readers put the value back. Sits between the wrappers
 * of journal.c and the implementation, so nobody else knows of it.
 *
 * Header: JSON {"id", "size", "sha256", "lsn", "key"?}. `key`: the value is encrypted in the store (AES-256-GCM), with a key
 * of its own that stands here alone: the store gives nothing away to whoever cannot read the journal.
 *
 * Who deletes. All claims of one unit share a stem, and a small object STEM.open is there before the first of them. Before the
 * commit it gets the unit's ranges; behind the commit it becomes STEM.kept. The writer's opening decides what a killed one
 * left: no ranges, or nothing of the unit visible in them: the unit never was, and its claims go. trim() removes those of a
 * kept unit as soon as the journal has none of its ranges any more. (So no clock and no guess takes part.)
 *
 * Objects: <attempt>-<unit>.open, .kept, <attempt>-<unit>-<number>.claim
 * Failpoints: journal.claim_put, journal.claim_noted, journal.claim_committed.
 * @thread: a writer or reader belongs to its journal_writer's or journal_reader's thread
 */
#ifndef JOURNAL_CLAIMS_H
#define JOURNAL_CLAIMS_H

#include "journal/claim_store.h"
#include "journal_impl.h"

#define HEADER_CLAIM "__crossfade.claim"

struct claim_writer;
struct claim_reader;

/* After the implementation's writer was opened: what an earlier one left unsettled is settled. *ret NULL: no store is
 * configured. */
bool claim_writer_open(const struct journal_config *config, const struct journal_impl *impl,
                       struct claim_writer **ret, struct err *err) MUST_CHECK;
void claim_writer_close(struct claim_writer *cw); /* NULL allowed */
void claim_writer_note_stream(struct claim_writer *cw, int id, const char *name, enum stream_kind kind);
/* The record goes into the store in place of the journal when it does not fit there. */
bool claim_writer_wants(const struct claim_writer *cw, struct journal_writer *jw, int stream_id,
                        const struct journal_record *rec);
bool claim_writer_append(struct claim_writer *cw, struct journal_writer *jw, int stream_id,
                         const struct journal_record *rec, struct err *err) MUST_CHECK;
/* Around the implementation's commit; nothing to do for a unit without claims. */
bool claim_writer_before_commit(struct claim_writer *cw, struct journal_writer *jw,
                                struct err *err) MUST_CHECK;
bool claim_writer_committed(struct claim_writer *cw, struct err *err) MUST_CHECK;
bool claim_writer_trim(struct claim_writer *cw, struct err *err) MUST_CHECK;

struct claim_reader *claim_reader_new(const struct journal_config *config);
void claim_reader_free(struct claim_reader *cr); /* NULL allowed */
/* Puts the value back if the record is a claim; it is valid until the next call. */
bool claim_reader_resolve(struct claim_reader *cr, struct journal_record *rec, struct err *err) MUST_CHECK;

/* --- claim.c: one claim --- */

struct claim {
    char id[CLAIM_NAME_MAX + 1]; /* the object's name */
    uint64_t size;
    char sha256[65];
    char lsn[32]; /* "" = not known */
    bool sealed;
    unsigned char key[32];
};

bool claim_decode(const struct journal_header *header, struct claim *ret, struct err *err) MUST_CHECK;
/* Header and value, malloc'd. */
void claim_encode(const struct claim *claim, const char *path, char **ret_header, char **ret_value);
/* encrypt decides whether the claim is sealed; fills all but id and lsn. */
bool claim_put(struct claim_store *cs, struct claim *claim, const void *value, size_t len, bool encrypt,
               struct err *err) MUST_CHECK;
/* malloc'd, *ret has claim->size bytes. */
bool claim_get(struct claim_store *cs, const struct claim *claim, void **ret, struct err *err) MUST_CHECK;
const struct journal_header *claim_header(const struct journal_record *rec); /* NULL: it is none */

#endif
