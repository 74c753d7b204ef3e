/* Owns: asking the control tables on the target, whichever server that is. See store.h. */
#include "cutover/store/store.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "cutover/cutover_internal.h"

const struct store *store_of_url(const char *url)
{
    return dialect_of_url(url) == DIALECT_MARIADB ? &store_mariadb : &store_postgres;
}

bool store_ask(struct cutover *co, enum store_statement what, int count, const char *const *params,
               struct rowset **ret, struct err *err)
{
    return co->store->ask(co, co->store->sql[what], count, params, ret, err);
}

bool store_text(struct cutover *co, enum store_statement what, int count, const char *const *params,
                char **ret, struct err *err)
{
    ROWSET_AUTO rs = NULL;
    *ret = NULL;
    if (!store_ask(co, what, count, params, &rs, err))
        return false;
    if (rowset_rows(rs) > 0 && !rowset_is_null(rs, 0, 0))
        *ret = xstrndup(rowset_cell(rs, 0, 0), rowset_cell_len(rs, 0, 0));
    return true;
}

bool store_bool(struct cutover *co, enum store_statement what, int count, const char *const *params,
                bool *ret, struct err *err)
{
    ROWSET_AUTO rs = NULL;
    if (!store_ask(co, what, count, params, &rs, err))
        return false;
    *ret = rowset_rows(rs) > 0 && rowset_bool(rs, 0, 0);
    return true;
}

static bool plain(struct cutover *co, const char *sql, struct err *err)
{
    ROWSET_AUTO none = NULL;
    return co->store->ask(co, sql, 0, NULL, &none, err);
}

bool store_begin(struct cutover *co, struct err *err)
{
    return plain(co, co->store->sql[STORE_BEGIN], err);
}

bool store_commit(struct cutover *co, struct err *err)
{
    bool ok = plain(co, "COMMIT", err);
    trail_settled(co);
    return ok;
}

bool store_rollback(struct cutover *co, struct err *err)
{
    /* PostgreSQL warns of one that is not there */
    bool ok = (co->target != NULL && !pg_in_transaction(co->target)) || plain(co, "ROLLBACK", err);
    trail_settled(co);
    return ok;
}

#define TOUCH_US (10 * INT64_C(1000000))

void store_keep_in_touch(struct cutover *co)
{
    struct err away = ERR_INIT; /* whoever needs it next reconnects, or says that it cannot */
    int64_t now_us = clock_mono_us();
    if (now_us - co->touched_us < TOUCH_US)
        return;
    co->touched_us = now_us;
    if (!plain(co, "SELECT 1", &away) && co->store->renew(co, &away))
        (void)!cutover_lock(co, &away);
}
