/* Owns: rows of a direct load that the target refuses: how they are found (savepoints), and kept. See target/loader.h. */
#include <inttypes.h>
#include <stdio.h>

#include "core/failpoint.h"
#include "loader_postgres.h"
#include "postgres.h"

/* One at a time: PostgreSQL keeps one of the same name below the new one, and there may be thousands of rows at fault. */
bool pgl_save(struct loader *base, struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    bool again = ld->saved;
    ld->saved = false;
    ld->saved = pg_exec(ld->conn,
                        again ? "RELEASE SAVEPOINT crossfade_part; SAVEPOINT crossfade_part"
                              : "SAVEPOINT crossfade_part",
                        err);
    return ld->saved;
}

bool pgl_restore(struct loader *base, struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    if (pg_busy(ld->conn)) /* the source's error, in the middle of the rows */
        pg_copy_in_abort(ld->conn, "given up");
    strbuf_clear(&ld->out);
    return pg_exec(ld->conn, "ROLLBACK TO SAVEPOINT crossfade_part", err);
}

static bool check_room(struct pg_loader *ld, const struct loader_letter *letter, struct err *err)
{
    int64_t held = 0;
    const char *params[1] = {ld->base.pipeline};
    return pg_query_int64(ld->conn, "SELECT count(*) FROM crossfade.direct_letter WHERE pipeline = $1", 1,
                          params, &held, err) &&
           ((uint64_t)held < letter->max || loader_too_many_letters(letter, err));
}

bool pgl_hold(struct loader *base, const struct loader_letter *letter, struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    PG_RESULT_AUTO res = NULL;
    struct strbuf bytes[3];
    const void *const from[] = {letter->key, letter->value, letter->headers};
    const size_t lens[] = {letter->key_len, letter->value_len, letter->headers_len};
    const char *hexed[3];
    char shard[32], oid[16], time_ms[24], lsn[LSN_TEXT_MAX], whole[ERR_WHOLE_MAX];
    bool ok = pgl_shard_of(ld, letter->of, shard, err) && check_room(ld, letter, err);
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
        strbuf_init(&bytes[i], VALUE_MAX);
        hexed[i] = pgt_hex(&bytes[i], from[i], lens[i]);
        ok = ok && strbuf_ok(&bytes[i], "refused row", err);
    }
    (void)snprintf(oid, sizeof oid, "%u", letter->of->oid);
    (void)snprintf(time_ms, sizeof time_ms, "%" PRId64, letter->timestamp_ms);
    const char *params[11] = {ld->base.pipeline,
                              shard,
                              oid,
                              letter->stream,
                              time_ms,
                              hexed[0],
                              hexed[1],
                              hexed[2],
                              lsn_format(letter->lsn, lsn),
                              letter->why->sqlstate[0] != '\0' ? letter->why->sqlstate : NULL,
                              err_whole(letter->why, whole)};
    ok = ok && pg_query(ld->conn,
                        "INSERT INTO crossfade.direct_letter (pipeline, shard, source_oid, stream, "
                        "record_time_ms, record_key, record_value, record_headers, lsn, sqlstate, message) "
                        "VALUES ($1, $2, $3::bigint, $4, $5::bigint, $6::bytea, $7::bytea, $8::bytea, "
                        "$9::pg_lsn, $10, $11)",
                        11, params, &res, err);
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++)
        strbuf_release(&bytes[i]);
    return ok;
}
