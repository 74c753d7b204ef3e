/* Owns: ending the session of a host that is gone, which holds a named lock. See holder.h. */
#include "maria/holder.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/strbuf.h"

static bool find(const struct maria_asker *asker, const char *lock, int64_t silent_ms, int64_t *ret,
                 struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(
        &sql,
        "SELECT ID FROM information_schema.PROCESSLIST WHERE ID = IS_USED_LOCK(%s) AND COMMAND = 'Sleep' AND "
        "TIME_MS > %" PRId64,
        lock, silent_ms);
    bool ok = strbuf_ok(&sql, "statement", err) && asker->number(asker->conn, sql.data, ret, err);
    strbuf_release(&sql);
    return ok;
}

/* That is safe whoever it is: what it has not committed is rolled back. *ret: it is gone, or about to be. */
static bool end(const struct maria_asker *asker, int64_t holder, bool *ret, struct err *err)
{
    char sql[48];
    struct err refused = ERR_INIT;
    (void)snprintf(sql, sizeof sql, "KILL %" PRId64, holder);
    *ret = asker->exec(asker->conn, sql, &refused) || strstr(refused.text, "(error 1094)") != NULL;
    return *ret || err_policy(refused.code) != POLICY_RECONNECT ||
           err_set(err, refused.code, "%s", refused.text);
}

bool maria_end_silent_holder(const struct maria_asker *asker, const char *lock, int64_t silent_ms,
                             const char *whose, bool *ret_ended, struct err *err)
{
    int64_t holder = 0;
    *ret_ended = false;
    if (!find(asker, lock, silent_ms, &holder, err))
        return false;
    if (holder == 0)
        return true;
    if (!end(asker, holder, ret_ended, err))
        return false;
    if (!*ret_ended) /* another role's: who waits is told that the lock is held */
        return true;
    log_event(LOG_LEVEL_WARN, "silent_session_ended",
              "connection=%" PRId64
              " text=\"it held the lock of %s, and has said nothing for more than %" PRId64 " s\"",
              holder, whose, silent_ms / 1000);
    return true;
}
