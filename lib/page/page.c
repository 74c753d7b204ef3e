/* See page.h. */
#include "page/page.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/html.h"
#include "core/seal.h"
#include "sql/embedded.h"

/* "1,234,567" */
void page_count(struct strbuf *out, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            strbuf_addc(out, ',');
        strbuf_addc(out, digits[i]);
    }
}

void page_duration(struct strbuf *out, int64_t us)
{
    if (us < 10 * 1000)
        strbuf_addf(out, "%.1f ms", (double)us / 1000.0);
    else if (us < 1000 * 1000)
        strbuf_addf(out, "%.0f ms", (double)us / 1000.0);
    else if (us < 120 * INT64_C(1000000))
        strbuf_addf(out, "%.2f s", (double)us / 1e6);
    else
        strbuf_addf(out, "%lld min %02lld s", (long long)us / 60000000, (long long)us / 1000000 % 60);
}

void page_fact_begin(struct strbuf *out)
{
    strbuf_adds(out, "<div class=\"fact\"><b>");
}

void page_fact_end(struct strbuf *out, const char *label)
{
    strbuf_addf(out, "</b><span>%s</span></div>\n", label);
}

void page_value(struct strbuf *out, const char *value)
{
    if (value == NULL)
        strbuf_adds(out, "<span class=\"null\">null</span>");
    else if (*value == '\0')
        strbuf_adds(out, "<span class=\"null\">empty</span>");
    else
        html_add_text(out, value);
}

void page_time(struct strbuf *out, int64_t wall_us)
{
    char at[ISO_TIME_MAX];
    clock_iso(wall_us, at);
    strbuf_addf(out, "<time datetime=\"%s\">%.10s %.8s UTC</time>", at, at, at + 11);
}

void page_tools(struct strbuf *out, const char *what, size_t total, const size_t counts[3])
{
    static const char *const verdicts[] = {"FAIL", "INCONCLUSIVE", "PASS"}, *const labels[] = {"Failed",
                                                                                               "Inconclusive",
                                                                                               "Passed"};
    strbuf_addf(out,
                "<div class=\"tools\" hidden><input id=\"search\" type=\"search\" placeholder=\"%s\" "
                "aria-label=\"%s\">"
                "<button data-verdict=\"\" aria-pressed=\"true\">All %zu</button>",
                what, what, total);
    for (size_t i = 0; counts != NULL && i < ARRAY_LEN(verdicts); i++)
        strbuf_addf(out, "<button data-verdict=\"%s\">%s %zu</button>", verdicts[i], labels[i], counts[i]);
    strbuf_adds(out, "<span id=\"shown\" class=\"soft\"></span></div>\n");
}

/* The page's own script, by its hash, and its style: whatever a value may smuggle in is not run, and nothing is fetched. */
static void add_policy(struct strbuf *out)
{
    const char *from = strstr(embedded_report_tail_html, "<script>") + strlen("<script>");
    size_t len = (size_t)(strstr(from, "</script>") - from);
    char digest[SHA256_BASE64];
    strbuf_adds(
        out,
        "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'; script-src ");
    if (sha256_base64(from, len, digest))
        strbuf_addf(out, "'sha256-%s'", digest);
    else
        strbuf_adds(out, "'none'"); /* the page does without */
}

void page_head(struct strbuf *out, const char *verdict, const char *what, const char *name)
{
    const char *rest = html_add_until_mark(out, embedded_report_head_html);
    add_policy(out);
    rest = html_add_until_mark(out, rest);
    strbuf_addf(out, "%s · %s ", verdict, what);
    html_add_text(out, name);
    rest = html_add_until_mark(out, rest);
    strbuf_adds(out, embedded_report_style_css);
    strbuf_adds(out, rest);
}

void page_tail(struct strbuf *out, const char *data)
{
    strbuf_adds(out, "<footer>Crossfade " CF_VERSION);
    if (data != NULL)
        strbuf_addf(out, " · the same as data: <a href=\"%s\">%s</a>", data, data);
    strbuf_adds(out, "</footer>\n</main>\n");
    strbuf_adds(out, embedded_report_tail_html);
}
