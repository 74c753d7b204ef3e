/*
 * Owns: XA transactions that were prepared and not decided. Their rows stand in the binlog where they were prepared; nothing of them is
 * kept here but that place. When one is committed its rows are read again, by a second reader: bounded memory, whatever their size. Fences say
 * from where to read on so that the places are known again after a restart (fence.gtid_from).
 */
#include <stdlib.h>
#include <string.h>

#include "capture/maria/maria_internal.h"
#include "core/alloc.h"

#define GLOBAL_OF_APPLY 40 /* SHA-1 in hexadecimal */

static bool same_xid(const struct binlog_xid *a, const struct binlog_xid *b)
{
    return a->format == b->format && a->gtrid_len == b->gtrid_len && a->bqual_len == b->bqual_len &&
           memcmp(a->bytes, b->bytes, (size_t)a->gtrid_len + a->bqual_len) == 0;
}

static struct maria_prepared *find(struct cap_maria *m, const struct binlog_xid *xid)
{
    for (size_t i = 0; i < m->prepared_count; i++) {
        if (same_xid(&m->prepared[i].xid, xid))
            return &m->prepared[i];
    }
    return NULL;
}

void maria_prepared_add(struct cap_maria *m, const struct binlog_item *item, const char *before)
{
    maria_prepared_forget(m, &item->xid);
    m->prepared = xrealloc(m->prepared, (m->prepared_count + 1) * sizeof *m->prepared);
    m->prepared[m->prepared_count++] =
        (struct maria_prepared){.xid = item->xid, .gtid = item->gtid, .before = xstrdup(before)};
}

void maria_prepared_forget(struct cap_maria *m, const struct binlog_xid *xid)
{
    struct maria_prepared *p = find(m, xid);
    if (p == NULL)
        return;
    free(p->before);
    size_t behind = m->prepared_count - (size_t)(p - m->prepared) - 1;
    memmove(p, p + 1, behind * sizeof *p);
    m->prepared_count--;
}

const char *maria_prepared_from(const struct cap_maria *m)
{
    return m->prepared_count > 0 ? m->prepared[0].before : "";
}

void maria_prepared_free(struct cap_maria *m)
{
    for (size_t i = 0; i < m->prepared_count; i++)
        free(m->prepared[i].before);
    free(m->prepared);
    m->prepared = NULL;
    m->prepared_count = 0;
}

/* Apply's writers on MariaDB prepare their parts of a batch under a name that is a hash of the pipeline's (lib/target/mariadb/lock.c). */
static bool is_of_apply(struct cap_maria *m, const struct binlog_xid *xid, bool *ret, struct err *err)
{
    char *found = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql,
                "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = "
                "'crossfade_position'");
    *ret = false;
    bool ok = maria_query_text(m->sql, sql.data, 0, &found, err);
    if (ok && found != NULL && xid->gtrid_len == GLOBAL_OF_APPLY) {
        free(found);
        found = NULL;
        strbuf_clear(&sql);
        strbuf_adds(&sql, "SELECT 1 FROM crossfade_position WHERE SHA1(CONCAT_WS('\\n', DATABASE(), "
                          "pipeline, shard)) = X'");
        for (size_t i = 0; i < GLOBAL_OF_APPLY; i++)
            strbuf_addf(&sql, "%02x", xid->bytes[i]);
        strbuf_adds(&sql, "' LIMIT 1");
        ok = strbuf_ok(&sql, "statement", err) && maria_query_text(m->sql, sql.data, 0, &found, err);
        *ret = found != NULL;
    }
    free(found);
    strbuf_release(&sql);
    return ok;
}

/* --- what is prepared before a beginning --- */

struct prepared_now {
    struct binlog_xid *items;
    size_t count;
};

/* formatID, gtrid_length, bqual_length, data: both parts, one behind the other. */
static bool each_prepared(void *ctx, char **cells, size_t count, struct err *err)
{
    struct prepared_now *now = ctx;
    struct binlog_xid xid = {0};
    if (count != 4 || cells[1] == NULL || cells[2] == NULL || cells[3] == NULL)
        return err_set(err, ERR_PROTOCOL, "an unexpected row of XA RECOVER");
    size_t gtrid_len = strtoul(cells[1], NULL, 10), len = strlen(cells[3]);
    if (gtrid_len == GLOBAL_OF_APPLY && len >= gtrid_len &&
        len <= sizeof xid.bytes) { /* its names are plain text */
        xid.gtrid_len = (uint8_t)gtrid_len;
        memcpy(xid.bytes, cells[3], len);
    }
    now->items = xrealloc(now->items, (now->count + 1) * sizeof *now->items);
    now->items[now->count++] = xid;
    return true;
}

bool maria_prepared_none(struct cap_maria *m, struct err *err)
{
    struct prepared_now now = {0};
    bool leaves_apply_out = m->session->settings->origin == CAP_ORIGIN_NOT_CROSSFADE;
    bool ok = maria_query(m->sql, "XA RECOVER", each_prepared, &now, err);
    for (size_t i = 0; ok && i < now.count; i++) {
        bool by_apply = false;
        ok = !leaves_apply_out || is_of_apply(m, &now.items[i], &by_apply, err);
        if (ok && !by_apply)
            ok = err_set(err, ERR_TRANSIENT,
                         "source: XA transactions are prepared and not decided (XA RECOVER): capture can "
                         "begin when there are none");
    }
    free(now.items);
    return ok;
}

/* --- what was prepared and is committed --- */

/* The rows of one transaction, as those of the one at hand. */
static bool read_rows(struct cap_maria *m, struct binlog *bl, const struct maria_prepared *p, struct err *err)
{
    struct binlog_item item;
    bool inside = false;
    for (;;) {
        if (cap_stop_asked(m->session))
            return err_set(err, ERR_INTERRUPTED, "stopped while a prepared transaction was read");
        if (!binlog_next(bl, &item, err))
            return false;
        if (item.kind == BINLOG_BEGIN)
            inside = item.gtid.domain == p->gtid.domain && item.gtid.server == p->gtid.server &&
                     item.gtid.seq == p->gtid.seq;
        if (item.kind == BINLOG_IDLE && !inside)
            return err_set(
                err, ERR_GAP,
                "the binlog has no transaction any more that was prepared and is committed now: keep it "
                "for longer (binlog_expire_logs_seconds), and start a new pipeline");
        if (item.kind == BINLOG_ROW && inside && !maria_take_row(m, &item, err))
            return false;
        if (item.kind == BINLOG_END && inside)
            return true;
    }
}

bool maria_prepared_commit(struct cap_maria *m, const struct binlog_xid *xid, struct err *err)
{
    const struct maria_prepared *p = find(m, xid);
    struct binlog *bl = NULL;
    char at[GTID_TEXT_MAX];
    bool by_apply = false;
    if (!is_of_apply(m, xid, &by_apply, err))
        return false;
    if (by_apply)
        maria_is_of_apply(m);
    if (m->txn.left_out) /* wherever its rows are */
        return true;
    if (p == NULL)
        return err_set(
            err, ERR_GAP,
            "gtid=%s: an XA transaction is committed that was prepared before capture began: its "
            "rows are in neither copy nor stream. Hint: start a new pipeline when none is prepared "
            "(XA RECOVER)",
            gtid_text(m->txn.gtid, at));
    const struct binlog_options options = {.url = m->session->settings->source_url,
                                           .program = m->session->settings->application_name,
                                           .topic_prefix = m->session->settings->topic_prefix,
                                           .position = p->before,
                                           .heartbeat_ms = 100,
                                           .wanted = maria_wanted,
                                           .wanted_ctx = m};
    bool ok = binlog_open(&options, &bl, err) && read_rows(m, bl, p, err);
    maria_forget_shapes(m); /* that reader's */
    binlog_close(bl);
    return ok || err_wrap(err, "gtid=%s, prepared as", gtid_text(m->txn.gtid, at));
}
