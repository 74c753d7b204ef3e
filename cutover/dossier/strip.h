/* A strip: the part of a table's row on which a step lies where it was in time. Private to cutover/dossier. @thread any */
#ifndef CUTOVER_DOSSIER_STRIP_H
#define CUTOVER_DOSSIER_STRIP_H

#include "core/strbuf.h"
#include "cutover/dossier/axis.h"

struct strip {
    const struct axis *axis;
    double pause_from, pause_to; /* ms; the band behind all of them in which clients wait; from >= to: none */
};

/* To the cell's inside: the band, and where the axis is shortened. */
void strip_begin(struct strbuf *out, const struct strip *strip);
/* class: "wait" (clients do), "work", "dead" (nobody was at it), "inside"; title NULL = none. */
void strip_bar(struct strbuf *out, const struct strip *strip, const char *class, double from_ms,
               double to_ms);
void strip_mark(struct strbuf *out, const struct strip *strip, double at_ms); /* somebody takes it up again */
void strip_end(struct strbuf *out);

#endif
