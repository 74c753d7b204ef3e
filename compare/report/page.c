/* See page.h. */
#include "report/page.h"

#include "core/html.h"

void page_table_name(struct strbuf *out, const struct compare_table *t)
{
    html_add_text(out, t->schema);
    strbuf_addc(out, '.');
    html_add_text(out, t->table);
}
