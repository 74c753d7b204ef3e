/* Owns: rows of a direct load that MariaDB refuses: how they are found (savepoints), and kept. See target/loader.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/utf8.h"
#include "loader_mariadb.h"

bool mdl_save(struct loader *base, struct err *err)
{
    return md_exec(((struct md_loader *)base)->mt, "SAVEPOINT crossfade_part", err);
}

bool mdl_restore(struct loader *base, struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    strbuf_clear(&ld->file.rows);
    ld->count = ld->file.count = 0;
    ld->st = NULL;
    return md_exec(ld->mt, "ROLLBACK TO SAVEPOINT crossfade_part", err);
}

static bool check_room(struct md_loader *ld, const struct loader_letter *letter, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    int64_t held = 0;
    strbuf_adds(&sql, "SELECT COUNT(*) FROM crossfade_direct_letter WHERE ");
    mdl_add_pipeline(&sql, ld);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query_int64(ld->mt, sql.data, &held, err);
    strbuf_release(&sql);
    return ok && ((uint64_t)held < letter->max || loader_too_many_letters(letter, err));
}

static void add_bytes(struct strbuf *sql, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;
    char *to = NULL;
    if (bytes == NULL) {
        strbuf_adds(sql, "NULL");
        return;
    }
    strbuf_adds(sql, "x'");
    to = strbuf_reserve(sql, 2 * len);
    for (size_t i = 0; to != NULL && i < len; i++) {
        *to++ = digits[p[i] >> 4];
        *to++ = digits[p[i] & 15];
    }
    sql->len += to != NULL ? 2 * len : 0;
    strbuf_addc(sql, '\'');
}

bool mdl_hold(struct loader *base, const struct loader_letter *letter, struct err *err)
{
    struct md_loader *ld = (struct md_loader *)base;
    struct strbuf sql = STRBUF_INIT(2 * MD_TEXT_MAX);
    char shard[32], lsn[LSN_TEXT_MAX], whole[ERR_WHOLE_MAX];
    if (!check_room(ld, letter, err))
        return false;
    char *message CLEANUP(free_ptr) = xstrdup(err_whole(letter->why, whole));
    utf8_make_valid(message);
    loader_shard_of(ld->shards, letter->of->schema, letter->of->name, shard);
    strbuf_adds(&sql, "INSERT INTO crossfade_direct_letter SET ");
    mdl_add_pipeline(&sql, ld);
    strbuf_adds(&sql, ", shard = ");
    maria_quote_literal(&sql, shard);
    strbuf_addf(&sql, ", source_oid = %" PRIu32 ", stream = ", letter->of->oid);
    maria_quote_literal(&sql, letter->stream);
    strbuf_addf(&sql, ", record_time_ms = %" PRId64 ", lsn = '%s', message = ", letter->timestamp_ms,
                lsn_format(letter->lsn, lsn));
    maria_quote_literal(&sql, message);
    if (letter->why->sqlstate[0] != '\0') {
        strbuf_adds(&sql, ", `sqlstate` = ");
        maria_quote_literal(&sql, letter->why->sqlstate);
    }
    strbuf_adds(&sql, ", record_key = ");
    add_bytes(&sql, letter->key, letter->key_len);
    strbuf_adds(&sql, ", record_value = ");
    add_bytes(&sql, letter->value, letter->value_len);
    strbuf_adds(&sql, ", record_headers = ");
    add_bytes(&sql, letter->headers, letter->headers_len);
    return mdl_exec(ld, &sql, err);
}
