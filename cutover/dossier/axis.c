/* See axis.h. */
#include "cutover/dossier/axis.h"

#define SHARE 0.25 /* what is longer than all that is drawn to scale is shortened to this much of it */

static double begin_of(const struct axis *axis, size_t i)
{
    return i == 0 ? 0 : axis->end_ms[i - 1];
}

void axis_add(struct axis *axis, double end_ms, bool may_shrink)
{
    if (end_ms <= begin_of(axis, axis->count))
        return;
    if (axis->count == AXIS_MAX) {
        axis->end_ms[AXIS_MAX - 1] = end_ms;
        return;
    }
    axis->end_ms[axis->count] = end_ms;
    axis->may_shrink[axis->count++] = may_shrink;
}

void axis_end(struct axis *axis)
{
    double linear = 0, total = 0;
    for (size_t i = 0; i < axis->count; i++) {
        axis->width[i] = axis->end_ms[i] - begin_of(axis, i);
        linear += axis->may_shrink[i] ? 0 : axis->width[i];
    }
    for (size_t i = 0; i < axis->count; i++) {
        axis->shrunk[i] = axis->may_shrink[i] && linear > 0 && axis->width[i] > linear;
        if (axis->shrunk[i])
            axis->width[i] = linear * SHARE;
        total += axis->width[i];
    }
    for (size_t i = 0; i < axis->count; i++)
        axis->width[i] *= AXIS_WIDTH / total;
}

double axis_at(const struct axis *axis, double ms)
{
    double x = 0;
    for (size_t i = 0; i < axis->count; i++) {
        double begin = begin_of(axis, i), end = axis->end_ms[i];
        if (ms < end)
            return ms <= begin ? x : x + axis->width[i] * (ms - begin) / (end - begin);
        x += axis->width[i];
    }
    return x;
}
