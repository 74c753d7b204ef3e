/* Owns: the MariaDB target's part in a crew (crew.h): XA transactions (documentation: "XA Transactions"). Their global part is the hash
 * that names the lock, too, their branch is <token>.<writer>; a token is of one try, so names are never used twice. A transaction that
 * is prepared outlives its connection (10.5 and later) and may then be ended by any; as long as the connection lives, only by it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "mariadb.h"

#define GLOBAL_LEN 40 /* SHA-1 in hexadecimal */
#define NO_SUCH_XA "XAE04"

static bool open_writer(const struct target_options *options, unsigned number, struct target **ret,
                        struct err *err)
{
    struct md_target *mt = NULL;
    if (!md_open_as(options, number, &mt, err))
        return false;
    *ret = &mt->base;
    return true;
}

static bool with_name(struct md_target *mt, const char *verb, struct err *err)
{
    char *sql CLEANUP(free_ptr) = xasprintf("%s '%s','%s.%u'", verb, mt->lock_name, mt->token, mt->writer);
    return md_exec(mt, sql, err);
}

bool md_xa_start(struct md_target *mt, struct err *err)
{
    if (with_name(mt, "XA START", err))
        return true;
    if (err->code == ERR_TRANSIENT) /* the session is in the midst of another: it would be so again */
        err->code = ERR_CONNECT;
    return false;
}

bool md_xa_abandon(struct md_target *mt, struct err *err)
{
    struct err ignored = ERR_INIT;
    if (!mt->xa_prepared && !with_name(mt, "XA END", &ignored) && ignored.code == ERR_CONNECT) {
        *err = ignored; /* any other: the server has rolled it back, and wants to hear so */
        return false;
    }
    mt->xa_prepared = false;
    err_clear(&ignored);
    if (with_name(mt, "XA ROLLBACK", &ignored) || strcmp(ignored.sqlstate, NO_SUCH_XA) == 0)
        return true;
    *err = ignored;
    return false;
}

static bool begin_writer(struct target *tgt, uint64_t attempt, const char *token, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    if (!tgt->ops->writing->begin(tgt, attempt, err)) /* of the transaction before: by its name */
        return false;
    (void)snprintf(mt->token, sizeof mt->token, "%s", token);
    return true;
}

static bool prepare_writer(struct target *tgt, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    if (!mt->begun)
        return true;
    if (!md_check_unaltered(mt, err) || !with_name(mt, "XA END", err) || !with_name(mt, "XA PREPARE", err))
        return err_wrap(err, "target");
    mt->xa_prepared = true;
    return true;
}

static bool commit_writer(struct target *tgt, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    if (mt->xa_prepared && !with_name(mt, "XA COMMIT", err))
        return err_wrap(err, "target");
    mt->xa_prepared = false;
    md_forget_transaction(mt, true);
    return true;
}

/* Rows of others would wait for those that an emptied table had. */
static bool share(struct target *lead, const struct target_batch *batches, size_t count, bool *ret_may,
                  struct err *err)
{
    if (!md_ensure_loaded((struct md_target *)lead, batches, count, err))
        return err_wrap(err, "target");
    for (size_t i = 0; i < count; i++)
        ret_may[i] = !((const struct md_table *)batches[i].table)->emptied;
    return true;
}

static const char *const NAMES[] = {"fence_id",     "fence_offset", "lsn",         "source_system_id",
                                    "attempt",      "complete",     "commit_time", "marker_kind",
                                    "marker_nonce", "offsets",      "applied_at"};

/* What has been decided becomes the position. */
static bool move_to_pending(struct md_target *mt, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "UPDATE crossfade_position SET ");
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
        strbuf_addf(&sql, "%s = JSON_VALUE(pending, '$.%s'), ", NAMES[i], NAMES[i]);
    strbuf_adds(&sql, "pending = NULL WHERE "); /* last: assignments are made from left to right */
    md_add_ours(&sql, mt, " AND ");
    strbuf_adds(&sql, " AND pending IS NOT NULL");
    bool ok = strbuf_ok(&sql, "statement", err) && md_exec(mt, sql.data, err);
    strbuf_release(&sql);
    return ok;
}

static bool finish(struct target *lead, const struct target_position *position, struct err *err)
{
    struct md_target *mt = (struct md_target *)lead;
    if (!move_to_pending(mt, err))
        return err_wrap(err, "target");
    mt->last = *position;
    mt->last.offsets = NULL;
    return true;
}

/* malloc'd; "" = nothing is pending. */
static bool pending_token(struct md_target *mt, char **ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    strbuf_adds(&sql, "SELECT JSON_VALUE(pending, '$.token') FROM crossfade_position WHERE ");
    md_add_ours(&sql, mt, " AND ");
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, &rows, err);
    strbuf_release(&sql);
    if (!ok)
        return false;
    *ret = xstrdup(md_next(&rows) && rows.cell[0] != NULL ? rows.cell[0] : "");
    return true;
}

static bool settle(struct md_target *mt, const char *branch, const char *token, struct err *err)
{
    size_t len = strlen(token);
    bool decided = len > 0 && strncmp(branch, token, len) == 0 && branch[len] == '.';
    char *sql CLEANUP(free_ptr) =
        xasprintf("XA %s '%s','%s'", decided ? "COMMIT" : "ROLLBACK", mt->lock_name, branch);
    if (!md_exec(mt, sql, err) || !failpoint("apply.writers_recover", err)) {
        if (strcmp(err->sqlstate, NO_SUCH_XA) == 0)
            err->code = ERR_TRANSIENT; /* the connection that prepared it is not closed yet */
        return err_wrap(err, "target: transaction %s of an earlier run", branch);
    }
    log_event(LOG_LEVEL_INFO, "prepared_settled", "gid=%s outcome=%s", branch,
              decided ? "committed" : "rolled_back");
    return true;
}

static bool recover(struct target *lead, struct err *err)
{
    struct md_target *mt = (struct md_target *)lead;
    char *token CLEANUP(free_ptr) = NULL;
    MD_ROWS left = {0};
    if (!pending_token(mt, &token, err) || !md_query(mt, "XA RECOVER", &left, err))
        return err_wrap(err, "target");
    while (
        md_next(&left)) { /* formatID, gtrid_length, bqual_length, data: both parts, one behind the other */
        if (strtol(left.cell[1], NULL, 10) == GLOBAL_LEN &&
            strncmp(left.cell[3], mt->lock_name, GLOBAL_LEN) == 0 &&
            !settle(mt, left.cell[3] + GLOBAL_LEN, token, err))
            return false;
    }
    return move_to_pending(mt, err) || err_wrap(err, "target");
}

const struct target_crew_ops md_crew = {
    .open_writer = open_writer,
    .begin_writer = begin_writer,
    .prepare_writer = prepare_writer,
    .commit_writer = commit_writer,
    .share = share,
    .decide = md_decide,
    .finish = finish,
    .recover = recover,
};
