/* Pictures of latencies in pages: inline SVG on a logarithmic scale. Private to compare. @thread any */
#ifndef COMPARE_SHADOW_LATENCY_HTML_H
#define COMPARE_SHADOW_LATENCY_HTML_H

#include "result.h"

struct latency_scale {
    double low_us, high_us; /* 0: nothing was added yet */
};

void latency_scale_add(struct latency_scale *scale, const struct histogram times[SHOWN_COUNT]);
/* Of one query that ran once. */
void latency_scale_add_once(struct latency_scale *scale, int64_t us);
/* After the last one was added. */
void latency_scale_round(struct latency_scale *scale);
void latency_chart(struct strbuf *out, const struct latency_scale *scale,
                   const struct histogram times[SHOWN_COUNT]);
/* Of one query that ran once on each side: source and target as bars. */
void latency_bars(struct strbuf *out, const struct latency_scale *scale, const int64_t us[2]);
void latency_add_ms(struct strbuf *out, int64_t us); /* 1.25 ms, 120 ms */
void latency_axis(struct strbuf *out, const struct latency_scale *scale);

#endif
