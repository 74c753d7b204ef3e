/* Owns: what a shadow run's report hides: where any column is to be redacted, no value of a statement can be shown, for nobody knows which
 * column it is held against. See report/redact.h. */
#include <stdio.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "report/redact.h"
#include "result.h"
#include "session.h"

static void hide_text(char **sql, bool mariadb)
{
    if (*sql == NULL)
        return;
    char *without = redaction_sql(*sql, mariadb);
    free(*sql);
    *sql = without;
}

static bool hide_variant(struct redaction *r, struct shadow_variant *v, bool mariadb, struct err *err)
{
    hide_text(&v->st.text, false);
    hide_text(&v->target_sql, mariadb);
    r->row++;
    for (size_t i = 0; i < v->param_count; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "$%zu", i + 1);
        if (!redaction_hide(r, name, &v->params[i], err))
            return false;
    }
    return true;
}

bool shadow_redact(const struct config *cfg, struct shadow_result *result, struct err *err)
{
    struct redaction r;
    bool mariadb = dialect_of_url(config_text(cfg, "target.url")) == DIALECT_MARIADB;
    bool ok = redaction_open(cfg, &r, err);
    if (ok && redaction_is_on(&r)) {
        redaction_unquote(result->reason);
        for (size_t i = 0; ok && i < result->workload.count; i++) {
            struct shadow_query *query = &result->workload.queries[i];
            if (result->queries[i].why != NULL)
                redaction_unquote(result->queries[i].why);
            for (size_t v = 0; ok && v < query->variant_count; v++)
                ok = hide_variant(&r, &query->variants[v], mariadb, err);
        }
    }
    redaction_close(&r);
    return ok;
}
