/*
 * Whose a pipeline's part of a claim store is. Whoever opens the store to write settles what an earlier one left there, which may
 * delete: two pipelines that share a directory by mistake (the same topic prefix on two clusters, a copied configuration) would
 * delete each other's rows. So the first one leaves its name there (object owner.json: the journal's identity and the pipeline), and
 * another one is refused (ERR_IDENTITY).
 * @thread any
 */
#ifndef JOURNAL_CLAIM_OWNER_H
#define JOURNAL_CLAIM_OWNER_H

#include "journal/claim_store.h"
#include "journal/journal.h"

/* Takes the store, or finds it taken by this pipeline already. identity: of the journal. */
bool claim_owner_take(struct claim_store *cs, const struct journal_config *config, const char *identity,
                      struct err *err) MUST_CHECK;
/* For a look from outside (crossfade check): asks the journal for its identity. *ret_taken false: nobody has taken it yet, or this
 * kind of journal has no claims. */
bool claim_owner_look(const struct journal_config *config, bool *ret_taken, struct err *err) MUST_CHECK;

#endif
