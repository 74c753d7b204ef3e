/* Pictures of latencies in a shadow run's page: inline SVG on a logarithmic scale. Private to compare. @thread any */
#ifndef COMPARE_SHADOW_LATENCY_HTML_H
#define COMPARE_SHADOW_LATENCY_HTML_H

#include "result.h"

struct latency_scale {
    double low_us, high_us; /* 0: nothing was added yet */
};

void latency_scale_add(struct latency_scale *scale, const struct histogram times[SHOWN_COUNT]);
/* After the last one was added. */
void latency_scale_round(struct latency_scale *scale);
void latency_chart(struct strbuf *out, const struct latency_scale *scale,
                   const struct histogram times[SHOWN_COUNT]);
void latency_axis(struct strbuf *out, const struct latency_scale *scale);

#endif
