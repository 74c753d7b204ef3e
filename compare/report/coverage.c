/* Owns: in which form columns were compared, in a comparison's page. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/html.h"
#include "report/page.h"

static int by_rule(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each form once, with how many columns it was used for: thousands of columns have a few dozen forms. */
void page_coverage(struct strbuf *out, const struct compare_result *r)
{
    size_t count = 0, n = 0;
    for (size_t i = 0; i < r->table_count; i++)
        count += r->tables[i].rule_count;
    if (count == 0)
        return;
    const char **all = xcalloc(count, sizeof *all);
    for (size_t i = 0; i < r->table_count; i++) {
        for (size_t k = 0; k < r->tables[i].rule_count; k++)
            all[n++] = r->tables[i].rules[k].rule;
    }
    qsort(all, count, sizeof *all, by_rule);
    strbuf_adds(out, "<details id=\"forms\"><summary><h3>How columns were compared</h3></summary>\n<div "
                     "class=\"scroll\"><table><thead><tr><th>Type and form</th><th class=\"num\">Columns</th>"
                     "</tr></thead><tbody>\n");
    for (size_t i = 0; i < count; i = n) {
        for (n = i; n < count && strcmp(all[n], all[i]) == 0; n++)
            ;
        strbuf_adds(out, "<tr><td>");
        html_add_text(out, all[i]);
        strbuf_addf(out, "</td><td class=\"num\">%zu</td></tr>\n", n - i);
    }
    strbuf_adds(out, "</tbody></table></div></details>\n");
    free(all);
}
