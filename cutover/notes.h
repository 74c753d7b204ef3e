/*
 * What happens within a step, beside how long it took: hooks, poolers' pauses, sessions that were ended. Notes go with the next record of a
 * state, in its transaction (crossfade.cutover.detail->'notes'): they cost no statement of their own while clients wait. Those of a step
 * that a crash has cut short are lost; the record says that it was taken up again.
 * @thread owner
 */
#ifndef CUTOVER_NOTES_H
#define CUTOVER_NOTES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct cutover;

/* One more, an object with "kind" and "at_us" (our wall clock); stolen. Of a step as many are kept as a record may hold, the rest is counted. */
void notes_add(struct cutover *co, json_t *note);
/* What a record says beside the state itself, as a JSON object, malloc'd: the attempt, how the last step ended, what it came to, and all notes
 * since the last record. */
char *notes_text(const struct cutover *co);
void notes_clear(struct cutover *co);

/* Of a cutover that ends before its time: what has no next record is put into the last one. Tells what it cannot write. */
void notes_keep(struct cutover *co);
/* Somebody takes the cutover up again: the record of the state that it stands at says when, and who; so does the audit chain. */
bool notes_resumed(struct cutover *co, struct err *err);

#endif
