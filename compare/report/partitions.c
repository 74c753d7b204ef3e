/* Owns: what the partitions of tables came to, in a comparison's page. */
#include "core/html.h"
#include "report/page.h"

#define PARTITIONS_SHOWN 2000 /* report.json has all */
#define OPEN_UP_TO       20   /* a longer list without a difference starts folded */

static const enum compare_verdict shown_order[] = {VERDICT_FAIL, VERDICT_INCONCLUSIVE, VERDICT_PASS};

static size_t count_of(const struct compare_table *t, enum compare_verdict verdict)
{
    size_t count = 0;
    for (size_t i = 0; i < t->part_count; i++)
        count += t->partitions[i].verdict == verdict;
    return count;
}

/* Of one that was not read nobody knows how many it has. */
static void add_rows(struct strbuf *out, const struct compare_part *p, uint64_t rows, bool bad)
{
    strbuf_addf(out, "</td><td class=\"num%s\">", bad ? " bad" : "");
    if (p->method == METHOD_NONE)
        strbuf_adds(out, "–");
    else
        page_count(out, rows);
}

static void add_part(struct strbuf *out, const struct compare_part *p)
{
    const char *verdict = compare_verdict_name(p->verdict);
    strbuf_addf(out, "<tr class=\"%s\"><td><span class=\"chip\">%s</span></td><td class=\"name\">", verdict,
                verdict);
    html_add_text(out, p->name);
    if (p->reason != NULL && p->reason[0] != '\0') {
        strbuf_adds(out, "<span class=\"why\">");
        html_add_text(out, p->reason);
        strbuf_adds(out, "</span>");
    }
    add_rows(out, p, p->rows_source, false);
    add_rows(out, p, p->rows_target, p->rows_source != p->rows_target);
    strbuf_addf(out, "</td><td class=\"num%s\">%s", p->differences > 0 ? " bad" : " soft",
                p->more ? "≥ " : "");
    page_count(out, p->differences);
    strbuf_adds(out, "</td><td class=\"num soft\">");
    page_duration(out, p->duration_us);
    strbuf_adds(out, "</td></tr>\n");
}

/* What differs stands on top. */
static size_t add_parts(struct strbuf *out, const struct compare_table *t, size_t room)
{
    size_t shown = 0;
    strbuf_adds(out, "<div class=\"scroll\"><table><thead><tr><th>Verdict</th><th>Partition</th><th "
                     "class=\"num\">Source rows</th><th class=\"num\">Target rows</th><th "
                     "class=\"num\">Differ</th><th class=\"num\">Time</th></tr></thead><tbody>\n");
    for (size_t v = 0; v < ARRAY_LEN(shown_order); v++) {
        for (size_t i = 0; i < t->part_count && shown < room; i++) {
            if (t->partitions[i].verdict != shown_order[v])
                continue;
            add_part(out, &t->partitions[i]);
            shown++;
        }
    }
    strbuf_adds(out, "</tbody></table></div>");
    return shown;
}

static size_t add_table(struct strbuf *out, const struct compare_table *t, size_t room)
{
    size_t failed = count_of(t, VERDICT_FAIL);
    strbuf_addf(out, "<details%s><summary><h3>", failed > 0 || t->part_count <= OPEN_UP_TO ? " open" : "");
    page_table_name(out, t);
    strbuf_addf(out, "</h3><span class=\"soft\">%zu partitions", t->part_count);
    if (failed > 0)
        strbuf_addf(out, ", %zu differ", failed);
    strbuf_adds(out, "</span></summary>\n");
    size_t shown = add_parts(out, t, room);
    if (shown < t->part_count)
        strbuf_addf(out, "<p class=\"more\">%zu more are in report.json.</p>", t->part_count - shown);
    strbuf_adds(out, "</details>\n");
    return shown;
}

void page_partitions(struct strbuf *out, const struct compare_result *r)
{
    size_t tables = 0, left = 0, room = PARTITIONS_SHOWN;
    for (size_t i = 0; i < r->table_count; i++)
        tables += r->tables[i].part_count > 0;
    if (tables == 0)
        return;
    strbuf_adds(out,
                "<h2 id=\"partitions\">Partitions</h2>\n<p class=\"soft gap\">What each partition of the "
                "source comes to, at the same fence as its table. Rows that differ are listed with "
                "the table.</p>\n");
    for (size_t v = 0; v < ARRAY_LEN(shown_order); v++) {
        for (size_t i = 0; i < r->table_count; i++) {
            const struct compare_table *t = &r->tables[i];
            if (t->part_count == 0 || t->verdict != shown_order[v])
                continue;
            left += room == 0;
            room -= room > 0 ? add_table(out, t, room) : 0;
        }
    }
    if (left > 0)
        strbuf_addf(out, "<p class=\"more\">Partitions of %zu more tables are in report.json.</p>\n", left);
}
