/*
 * Owns: ALTER TABLE on a MariaDB target while clients wait. It wants the table alone: whoever has it open in a transaction, if only to read, stands in the
 * way, and whoever comes later waits behind it. So it waits for a moment, lets the others pass, and tries again until the step's deadline.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "cutover/actions.h"
#include "cutover/deadline.h"
#include "prepare.h"

#define LOCKED   "55P03"
#define PAUSE_MS 100

/* The server does not tell whose lock it is, but who has a transaction open: the oldest first. */
static const char holders_sql[] =
    "SELECT GROUP_CONCAT(CONCAT('id=', p.ID, ' user=', p.USER, ' host=', p.HOST) ORDER BY t.trx_started "
    "SEPARATOR ', ' "
    "LIMIT 3) FROM information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p ON p.ID = "
    "t.trx_mysql_thread_id WHERE p.ID <> CONNECTION_ID()";

static bool tell_holders(struct cutover *co, int64_t began_us, struct err *err)
{
    struct err unseen = ERR_INIT;
    char *who CLEANUP(free_ptr) = NULL;
    if (!session_text(co->maria, holders_sql, 0, NULL, &who, &unseen))
        who = NULL;
    return err_set(err, ERR_TIMEOUT,
                   "a session has the table open in a transaction, and ALTER TABLE has waited for it for "
                   "%lld ms; open are: "
                   "%s. Hint: end it (KILL ID on the target), and begin again",
                   (long long)(clock_mono_us() - began_us) / 1000,
                   who != NULL ? who : "none that this role may see (PROCESS shows them)");
}

bool maria_alter(struct cutover *co, const char *sql, struct err *err)
{
    int64_t began_us = clock_mono_us();
    for (;;) {
        struct err now = ERR_INIT;
        if (session_exec(co->maria, sql, &now))
            return true;
        if (strcmp(now.sqlstate, LOCKED) != 0) {
            *err = now;
            return false;
        }
        if (co->talk->stop_asked(co->talk->ctx))
            return err_set(err, ERR_INTERRUPTED, "stop was asked for");
        if (deadline_left_ms(co) < PAUSE_MS + MARIA_ALTER_WAIT_S * 1000)
            return tell_holders(co, began_us, err);
        (void)poll(NULL, 0, PAUSE_MS);
    }
}
