/*
 * Owns: when the process of a cutover to MariaDB is taken for dead, though the server still has its session and with it the lock. As long as clients
 * wait, no step may take longer than the pause budget (or its own deadline, behind the decision); at other times a cutover that works or waits speaks every
 * few seconds, but for what others do for it (shadow queries, hooks).
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "cutover/cutover_internal.h"
#include "cutover/store/store.h"
#include "maria/holder.h"

#define SLACK_MS   15000
#define AT_REST_MS 600000

static bool ask_number(void *conn, const char *sql, int64_t *ret, struct err *err)
{
    return session_int64(conn, sql, 0, NULL, ret, err);
}

static bool run_plain(void *conn, const char *sql, struct err *err)
{
    return session_exec(conn, sql, err);
}

static int64_t silence_ms(const struct cutover *co, enum cutover_state state)
{
    const struct cutover_rule *rule = state != CUT_UNKNOWN ? cutover_rule(state, EV_GO) : NULL;
    int64_t most_ms = deadline_option_ms(co->cfg, "cutover.pause_budget_ms");
    if (rule == NULL || !rule->in_pause)
        return MAX_OF(most_ms, AT_REST_MS);
    if (cutover_rule(state, EV_LATE) == NULL && rule->deadline != NULL)
        most_ms = MAX_OF(most_ms, deadline_option_ms(co->cfg, rule->deadline));
    most_ms += deadline_option_ms(co->cfg, "cutover.hook_timeout_ms") + SLACK_MS;
    return MAX_OF(MARIA_SILENT_MS, most_ms);
}

bool store_mariadb_free_lock(struct cutover *co, bool *ret_freed, struct err *err)
{
    const struct maria_asker asker = {.conn = co->maria, .number = ask_number, .exec = run_plain};
    char whose[96];
    char *name CLEANUP(free_ptr) = NULL;
    ROWSET_AUTO rs = NULL;
    *ret_freed = false;
    if (!store_ask(co, STORE_FIND_OPEN, 1, &co->pipeline, &rs, err) ||
        !store_mariadb_lock_name(co, &name, err))
        return false;
    enum cutover_state state = rowset_rows(rs) > 0 ? cutover_state_parse(rowset_cell(rs, 0, 2)) : CUT_UNKNOWN;
    (void)snprintf(whose, sizeof whose, "the cutovers of pipeline %s", co->pipeline);
    return name != NULL &&
           maria_end_silent_holder(&asker, name, silence_ms(co, state), whose, ret_freed, err);
}
