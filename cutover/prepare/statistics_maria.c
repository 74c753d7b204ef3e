/* Owns the optimizer's statistics on a MariaDB target: ANALYZE TABLE before the pause, one table after the other (InnoDB samples its pages:
 * the time does not grow with the table for ever). */
#include <stdio.h>
#include <string.h>

#include "cutover/actions.h"
#include "cutover/gates.h"
#include "maria/names.h"
#include "maria/quote.h"
#include "prepare.h"

bool maria_gate_statistics(struct cutover *co, struct gate_result *gate)
{
    if (!config_bool(co->cfg, "cutover.analyze"))
        return false;
    gate_limit(gate, "made before the pause");
    gate_measured(gate, "%zu tables get ANALYZE", co->table_count);
    return true;
}

/* The answer is rows; an error is one of them. */
static bool judge(const struct rowset *rs, struct err *err)
{
    for (int i = 0; i < rowset_rows(rs); i++) {
        if (strcasecmp(rowset_cell(rs, i, 2), "error") == 0)
            return err_set(err, ERR_REFUSED, "ANALYZE TABLE %s: %s", rowset_cell(rs, i, 0),
                           rowset_cell(rs, i, 3));
    }
    return true;
}

static bool analyze(struct cutover *co, const struct cutover_table *t, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    ROWSET_AUTO rs = NULL;
    strbuf_adds(&st.sql, "ANALYZE TABLE ");
    maria_quote_table(&st.sql, session_database(co->maria), t->schema, t->table);
    bool ok = session_query(co->maria, &st, &rs, err) && judge(rs, err);
    strbuf_release(&st.sql);
    return ok || err_wrap(err, "table=%s.%s", t->schema, t->table);
}

bool maria_statistics_make(struct cutover *co, size_t *ret_done, struct err *err)
{
    *ret_done = 0;
    for (size_t i = 0; i < co->table_count; i++) {
        if (co->talk->stop_asked(co->talk->ctx))
            return err_set(err, ERR_INTERRUPTED, "stop was asked for");
        if (deadline_passed(co))
            return err_set(err, ERR_TIMEOUT, "ANALYZE: %zu of %zu tables are done", i, co->table_count);
        if (!guard_still_open(co, err) || !analyze(co, &co->tables[i], err))
            return false;
        (*ret_done)++;
    }
    prepare_note(co, "%zu tables analyzed", *ret_done);
    return true;
}
