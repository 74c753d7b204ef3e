/* See strip.h. */
#include "cutover/dossier/strip.h"

#define LEAST 3.0 /* of AXIS_WIDTH: what is shorter is still seen */

void strip_begin(struct strbuf *out, const struct strip *strip)
{
    double x = 0;
    strbuf_adds(out, "<svg class=\"lane\" viewBox=\"0 0 1000 20\" preserveAspectRatio=\"none\" "
                     "aria-hidden=\"true\"><rect class=\"bed\" width=\"1000\" height=\"20\"/>");
    if (strip->pause_from < strip->pause_to) {
        double from = axis_at(strip->axis, strip->pause_from), to = axis_at(strip->axis, strip->pause_to);
        strbuf_addf(out, "<rect class=\"band\" x=\"%.2f\" width=\"%.2f\" height=\"20\"/>", from, to - from);
    }
    for (size_t i = 0; i < strip->axis->count; i++) {
        if (strip->axis->shrunk[i])
            strbuf_addf(out, "<path class=\"break\" d=\"M%.2f 0v20m6 -20v20\"/>",
                        x + strip->axis->width[i] / 2 - 3);
        x += strip->axis->width[i];
    }
}

void strip_bar(struct strbuf *out, const struct strip *strip, const char *class, double from_ms, double to_ms)
{
    double from = axis_at(strip->axis, from_ms), width = axis_at(strip->axis, to_ms) - from;
    width = width < LEAST ? LEAST : width;
    from = from + width > AXIS_WIDTH ? AXIS_WIDTH - width : from;
    strbuf_addf(out, "<rect class=\"%s\" x=\"%.2f\" y=\"4\" width=\"%.2f\" height=\"12\"/>", class, from,
                width);
}

void strip_mark(struct strbuf *out, const struct strip *strip, double at_ms)
{
    strbuf_addf(out, "<path class=\"mark\" d=\"M%.2f 0v20\"/>", axis_at(strip->axis, at_ms));
}

void strip_end(struct strbuf *out)
{
    strbuf_adds(out, "</svg>");
}
