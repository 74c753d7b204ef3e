/* Owns: latencies of a query as a picture: source and target, p50, p95 and p99, and behind them what the source differs from itself. */
#include <math.h>

#include "latency_html.h"

#define WIDTH  260.0
#define HEIGHT 40.0
#define LEFT   6.0
#define RIGHT  254.0

static const double quantiles[] = {.5, .95, .99};

void latency_scale_add(struct latency_scale *scale, const struct histogram times[SHOWN_COUNT])
{
    for (int i = 0; i < SHOWN_COUNT; i++) {
        if (times[i].count == 0)
            continue;
        double low = (double)MAX_OF(histogram_quantile(&times[i], .5), 10),
               high = (double)histogram_quantile(&times[i], .99);
        scale->low_us = scale->low_us == 0 ? low : MIN_OF(scale->low_us, low);
        scale->high_us = MAX_OF(scale->high_us, high);
    }
}

void latency_scale_add_once(struct latency_scale *scale, int64_t us)
{
    double at = (double)MAX_OF(us, 10);
    scale->low_us = scale->low_us == 0 ? at : MIN_OF(scale->low_us, at);
    scale->high_us = MAX_OF(scale->high_us, at);
}

/* Both ends are powers of ten: the same for all queries of a page, so that their pictures can be compared. */
void latency_scale_round(struct latency_scale *scale)
{
    if (scale->low_us <= 0)
        *scale = (struct latency_scale){.low_us = 100, .high_us = 10000};
    scale->low_us = pow(10, floor(log10(scale->low_us)));
    scale->high_us = pow(10, ceil(log10(MAX_OF(scale->high_us, scale->low_us * 10))));
}

static double at_x(const struct latency_scale *s, int64_t us)
{
    double share = log(MAX_OF((double)us, s->low_us) / s->low_us) / log(s->high_us / s->low_us);
    return LEFT + (RIGHT - LEFT) * MIN_OF(share, 1.0);
}

/* From the source's quantile to that of the source again, over both lanes. */
static void add_noise(struct strbuf *out, const struct latency_scale *s, const struct histogram *times)
{
    if (times[SHOWN_AGAIN].count == 0)
        return;
    for (size_t q = 0; q < ARRAY_LEN(quantiles); q++) {
        double a = at_x(s, histogram_quantile(&times[SHOWN_SOURCE], quantiles[q])),
               b = at_x(s, histogram_quantile(&times[SHOWN_AGAIN], quantiles[q]));
        strbuf_addf(out, "<rect class=\"noise\" x=\"%.1f\" width=\"%.1f\" y=\"2\" height=\"36\" rx=\"2\"/>",
                    MIN_OF(a, b) - 3, fabs(a - b) + 6);
    }
}

static void add_lane(struct strbuf *out, const struct latency_scale *s, const struct histogram *h,
                     const char *class, int y)
{
    double x[3];
    for (size_t q = 0; q < ARRAY_LEN(quantiles); q++)
        x[q] = at_x(s, histogram_quantile(h, quantiles[q]));
    strbuf_addf(out,
                "<g class=\"%s\"><line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><circle cx=\"%.1f\" "
                "cy=\"%d\" r=\"4.5\"/>"
                "<rect x=\"%.1f\" y=\"%d\" width=\"3\" height=\"9\"/><rect x=\"%.1f\" y=\"%d\" width=\"3\" "
                "height=\"13\"/>"
                "</g>",
                class, x[0], x[2], y, y, x[0], y, x[1] - 1.5, y - 4, x[2] - 1.5, y - 6);
}

void latency_add_ms(struct strbuf *out, int64_t us)
{
    strbuf_addf(out, us < 10000 ? "%.2f ms" : "%.0f ms", (double)us / 1000.0);
}

static void add_words(struct strbuf *out, const struct histogram *times)
{
    static const struct {
        enum side_shown side;
        const char *name;
    } lanes[] = {{SHOWN_SOURCE, "source"}, {SHOWN_AGAIN, "source again"}, {SHOWN_TARGET, "target"}};
    for (size_t i = 0; i < ARRAY_LEN(lanes); i++) {
        strbuf_addf(out, "%s%s: p50 ", i > 0 ? "; " : "", lanes[i].name);
        latency_add_ms(out, histogram_quantile(&times[lanes[i].side], .5));
        strbuf_adds(out, ", p95 ");
        latency_add_ms(out, histogram_quantile(&times[lanes[i].side], .95));
        strbuf_adds(out, ", p99 ");
        latency_add_ms(out, histogram_quantile(&times[lanes[i].side], .99));
    }
}

static void begin_picture(struct strbuf *out)
{
    strbuf_addf(out, "<svg class=\"latency\" viewBox=\"0 0 %.0f %.0f\" role=\"img\"><title>", WIDTH, HEIGHT);
}

/* Behind the picture's words. */
static void add_grid(struct strbuf *out, const struct latency_scale *s)
{
    strbuf_adds(out, "</title>");
    for (double us = s->low_us; us <= s->high_us * 1.001; us *= 10)
        strbuf_addf(out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%.0f\"/>",
                    at_x(s, (int64_t)us), at_x(s, (int64_t)us), HEIGHT);
}

void latency_chart(struct strbuf *out, const struct latency_scale *s,
                   const struct histogram times[SHOWN_COUNT])
{
    begin_picture(out);
    add_words(out, times);
    add_grid(out, s);
    add_noise(out, s, times);
    add_lane(out, s, &times[SHOWN_SOURCE], "of-source", 11);
    add_lane(out, s, &times[SHOWN_TARGET], "of-target", 29);
    strbuf_adds(out, "</svg>");
}

void latency_bars(struct strbuf *out, const struct latency_scale *s, const int64_t us[2])
{
    static const char *const names[] = {"source", "target"};
    begin_picture(out);
    for (int side = 0; side < 2; side++) {
        strbuf_addf(out, "%s%s ", side > 0 ? ", " : "", names[side]);
        latency_add_ms(out, us[side]);
    }
    add_grid(out, s);
    for (int side = 0; side < 2; side++) {
        double width = MAX_OF(at_x(s, us[side]) - LEFT, 2.0);
        strbuf_addf(out,
                    "<g class=\"of-%s\"><rect x=\"%.1f\" width=\"%.1f\" y=\"%d\" height=\"11\" "
                    "rx=\"2\"/></g>",
                    names[side], LEFT, width, side == 0 ? 6 : 23);
    }
    strbuf_adds(out, "</svg>");
}

void latency_axis(struct strbuf *out, const struct latency_scale *s)
{
    strbuf_addf(out, "<svg class=\"latency\" viewBox=\"0 0 %.0f 14\" role=\"img\" aria-label=\"scale\">",
                WIDTH);
    for (double us = s->low_us; us <= s->high_us * 1.001; us *= 10) {
        double x = at_x(s, (int64_t)us);
        strbuf_addf(out, "<text x=\"%.1f\" y=\"10\" text-anchor=\"%s\">", x,
                    us <= s->low_us           ? "start"
                    : us >= s->high_us * .999 ? "end"
                                              : "middle");
        strbuf_addf(out, us < 1e6 ? "%g ms</text>" : "%g s</text>", us < 1e6 ? us / 1e3 : us / 1e6);
    }
    strbuf_adds(out, "</svg>");
}
