/* See page.h. */
#include "report/page.h"

#include <stdio.h>

#include "core/html.h"
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

void page_table_name(struct strbuf *out, const struct compare_table *t)
{
    html_add_text(out, t->schema);
    strbuf_addc(out, '.');
    html_add_text(out, t->table);
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

void page_head(struct strbuf *out, const char *verdict, const char *what, const char *name)
{
    const char *rest = html_add_until_mark(out, embedded_report_head_html);
    strbuf_addf(out, "%s · %s ", verdict, what);
    html_add_text(out, name);
    rest = html_add_until_mark(out, rest);
    strbuf_adds(out, embedded_report_style_css);
    strbuf_adds(out, rest);
}

void page_tail(struct strbuf *out)
{
    strbuf_adds(out, "<footer>Crossfade " CF_VERSION
                     " · the same as data: <a href=\"report.json\">report.json</a></footer>\n</main>\n");
    strbuf_adds(out, embedded_report_tail_html);
}
