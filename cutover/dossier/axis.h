/*
 * The axis of time that the strips of a page share: from milliseconds to 0…1000. Linear where clients wait; a stretch in which nobody does (a
 * postponed cutover, the hours until somebody took it up again) is shortened, so that a pause of seconds is seen beside it. Pure. @thread one
 */
#ifndef CUTOVER_DOSSIER_AXIS_H
#define CUTOVER_DOSSIER_AXIS_H

#include <stdbool.h>
#include <stddef.h>

#define AXIS_WIDTH 1000.0
#define AXIS_MAX   512

struct axis {
    double end_ms[AXIS_MAX]; /* of each stretch; the first begins at 0 */
    double width[AXIS_MAX];  /* as it is drawn */
    bool may_shrink[AXIS_MAX];
    bool shrunk[AXIS_MAX]; /* set by axis_end() */
    size_t count;
};

/* The next stretch, up to end_ms; one that goes back is left out. Of more than AXIS_MAX the last grows. */
void axis_add(struct axis *axis, double end_ms, bool may_shrink);
void axis_end(struct axis *axis);
double axis_at(const struct axis *axis, double ms);

#endif
