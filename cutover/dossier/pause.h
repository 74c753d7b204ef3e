/* The pause as writers and as clients of poolers saw it, gathered from notes while the steps are told. Private to cutover/dossier. */
#ifndef CUTOVER_DOSSIER_PAUSE_H
#define CUTOVER_DOSSIER_PAUSE_H

#include "core/alloc.h"
#include "cutover/dossier/dossier_internal.h"

void pause_begin(struct dossier *d);
/* A note of a step, in their order; at_us: by the target's clock. Those of other kinds are left alone. */
void pause_take(struct dossier *d, const json_t *note, int64_t at_us);
/* When writers were refused from, and for how long (-1 = it is not over). The first time and the longest pause count. */
void pause_refused(struct dossier *d, int64_t began_us, int64_t refused_us);
void pause_end(struct dossier *d);

#endif
