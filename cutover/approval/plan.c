/* Owns: what an approval is for: the plan of a cutover as one hash. See approval.h. */
#include "core/alloc.h"
#include "core/strbuf.h"
#include "cutover/approval/approval.h"
#include "cutover/cutover_internal.h"
#include "cutover/from_maria/from_maria.h"

/* 10,000 tables with the longest names there are, and the settings. */
#define PLAN_MAX ((size_t)8 << 20)

/* Which database it is, not where it is reached. */
static bool add_side(struct cutover *co, bool source, struct strbuf *out, struct err *err)
{
    const char *side = source ? "source" : "target";
    char *id CLEANUP(free_ptr) = NULL;
    bool ok = !source ? store_text(co, STORE_IDENTITY, 0, NULL, &id, err)
              : co->from_maria != NULL
                  ? session_text(co->from_maria->main, store_mariadb.sql[STORE_IDENTITY], 0, NULL, &id, err)
                  : pg_query_text(co->source, store_postgres.sql[STORE_IDENTITY], 0, NULL, &id, err);
    if (!ok)
        return err_wrap(err, "the %s's identity", side);
    strbuf_addf(out, "%s = %s\n", side, id != NULL ? id : "");
    return true;
}

static void add_tables(const struct cutover *co, struct strbuf *out)
{
    for (size_t i = 0; i < co->table_count; i++) {
        strbuf_adds(out, "table = ");
        pg_quote_table(out, co->tables[i].schema, co->tables[i].table);
        strbuf_addc(out, '\n');
    }
}

bool approval_plan_hash(struct cutover *co, char ret[SHA256_HEX], struct err *err)
{
    struct strbuf plan = STRBUF_INIT(PLAN_MAX);
    strbuf_addf(&plan, "crossfade plan 1\nversion = %s\npipeline = %s\n", CF_VERSION, co->pipeline);
    bool ok = add_side(co, true, &plan, err) && add_side(co, false, &plan, err);
    add_tables(co, &plan);
    config_section(co->cfg, "source.tables", &plan);
    config_section(co->cfg, "source.filters", &plan);
    config_section(co->cfg, "cutover.", &plan);
    cutover_describe(&plan);
    ok = ok && strbuf_ok(&plan, "the plan of a cutover", err);
    if (ok && !sha256_hex(plan.data, plan.len, ret))
        ok = err_set(err, ERR_NO_MEMORY, "SHA-256 failed");
    strbuf_release(&plan);
    return ok;
}
