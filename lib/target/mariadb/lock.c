/* Owns: the lock that lets one apply of a pipeline's shard write at a time, and ending a holder that is gone. */
#include <inttypes.h>

#include "maria/holder.h"
#include "mariadb.h"

#define LOCK_WAIT_S 5
#define WRITERS_MAX 31 /* beside the lead: apply.writers */

/* Names of locks are the server's, up to 64 characters long. */
static bool name_lock(struct md_target *mt, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    strbuf_adds(&sql, "SELECT SHA1(CONCAT_WS('\\n', DATABASE(), ");
    maria_quote_literal(&sql, mt->pipeline);
    strbuf_adds(&sql, ", ");
    maria_quote_literal(&sql, mt->shard);
    strbuf_adds(&sql, "))");
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, &rows, err);
    strbuf_release(&sql);
    if (!ok || !md_next(&rows))
        return false;
    (void)snprintf(mt->lock_name, sizeof mt->lock_name, "%s", rows.cell[0]);
    md_rows_end(&rows);
    return true;
}

static void add_name(struct strbuf *sb, const struct md_target *mt)
{
    strbuf_addf(sb, "'crossfade apply %s", mt->lock_name);
    if (mt->writer > 0)
        strbuf_addf(sb, " %u", mt->writer);
    strbuf_adds(sb, "'");
}

static bool try_lock(struct md_target *mt, int wait_s, bool *ret_got, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    int64_t got = 0;
    strbuf_adds(&sql, "SELECT GET_LOCK(");
    add_name(&sql, mt);
    strbuf_addf(&sql, ", %d)", wait_s);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query_int64(mt, sql.data, &got, err);
    strbuf_release(&sql);
    *ret_got = got == 1;
    return ok;
}

static bool ask_number(void *conn, const char *sql, int64_t *ret, struct err *err)
{
    return md_query_int64(conn, sql, ret, err);
}

static bool run_plain(void *conn, const char *sql, struct err *err)
{
    return md_exec(conn, sql, err);
}

/* Safe whoever it is, since its position could not be moved any more once we have moved it. */
static bool end_silent_holder(struct md_target *mt, bool *ret_ended, struct err *err)
{
    const struct maria_asker asker = {.conn = mt, .number = ask_number, .exec = run_plain};
    struct strbuf name = STRBUF_INIT(STRBUF_SQL_MAX);
    char whose[160];
    add_name(&name, mt);
    (void)snprintf(whose, sizeof whose, "pipeline %s, shard %s", mt->pipeline, mt->shard);
    bool ok = strbuf_ok(&name, "name of a lock", err) &&
              maria_end_silent_holder(&asker, name.data, MARIA_SILENT_MS, whose, ret_ended, err);
    strbuf_release(&name);
    return ok;
}

static bool take(struct md_target *mt, struct err *err)
{
    bool got = false, ended = false;
    if (!try_lock(mt, 0, &got, err) || (!got && !end_silent_holder(mt, &ended, err)) ||
        (ended && !try_lock(mt, LOCK_WAIT_S, &got, err)))
        return false;
    return got || err_set(err, ERR_BUSY, "another apply of pipeline %s, shard %s, is connected to the target",
                          mt->pipeline, mt->shard);
}

/* Bits: writers beside the lead whose locks somebody has, from 1 on. */
static bool writers_left(struct md_target *mt, uint64_t *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    int64_t bits = 0;
    strbuf_adds(&sql, "SELECT 0");
    for (mt->writer = 1; mt->writer <= WRITERS_MAX; mt->writer++) {
        strbuf_adds(&sql, " + IF(IS_USED_LOCK(");
        add_name(&sql, mt);
        strbuf_addf(&sql, ") IS NULL, 0, %" PRIu64 ")", UINT64_C(1) << mt->writer);
    }
    mt->writer = 0;
    bool ok = strbuf_ok(&sql, "statement", err) && md_query_int64(mt, sql.data, &bits, err);
    strbuf_release(&sql);
    *ret = (uint64_t)bits;
    return ok;
}

/* A writer whose lead is gone may be about to prepare: recover() would not see it, and a run with fewer writers would not meet its
 * lock. */
static bool no_writer_left(struct md_target *mt, struct err *err)
{
    uint64_t left = 0;
    bool ok = writers_left(mt, &left, err);
    for (unsigned k = 1; ok && left != 0 && k <= WRITERS_MAX; k++) {
        if ((left & (UINT64_C(1) << k)) == 0)
            continue;
        mt->writer = k;
        ok = take(mt, err); /* (and keep it no longer than it takes to see that nobody has it) */
        struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
        strbuf_adds(&sql, "DO RELEASE_LOCK(");
        add_name(&sql, mt);
        strbuf_adds(&sql, ")");
        ok = ok && strbuf_ok(&sql, "statement", err) && md_exec(mt, sql.data, err);
        strbuf_release(&sql);
        mt->writer = 0;
    }
    return ok;
}

/* The lock belongs to the session: as long as an earlier session of ours lives, its COMMIT may still come. */
bool md_take_lock(struct md_target *mt, struct err *err)
{
    return name_lock(mt, err) && take(mt, err) && (mt->writer > 0 || no_writer_left(mt, err));
}
