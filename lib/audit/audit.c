/* Owns: appending to the chain and reading it, for either kind of target. See audit.h. */
#include "audit/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/chain.h"
#include "audit/store.h"
#include "core/alloc.h"
#include "maria/url.h"
#include "pg/conn.h"

#define PAGE_ROWS   200
#define TRIES       50
#define DUPLICATE   "23505"
#define HOW_TO_READ "docs/PRIVILEGES.md"

struct audit {
    struct audit_store *store;
    char *pipeline;
    char os_user[AUDIT_NAME_MAX], host[AUDIT_NAME_MAX], db_user[AUDIT_NAME_MAX];
};

static bool wrap(struct err *err)
{
    if (err != NULL && strcmp(err->sqlstate, "42501") == 0)
        return err_wrap(err, "the audit chain on the target. Hint: its role needs SELECT and INSERT on "
                             "crossfade.audit, and CREATE where it is not there yet (" HOW_TO_READ ")");
    return err_wrap(err, "the audit chain on the target");
}

static bool set_up(struct audit_store *store, const char *pipeline, struct audit **ret, struct err *err)
{
    struct audit_tip tip;
    if (!store->ops->ensure(store, err) || !store->ops->tip(store, &tip, err)) {
        store->ops->close(store);
        return wrap(err);
    }
    struct audit *a = xcalloc(1, sizeof *a);
    a->store = store;
    a->pipeline = xstrdup(pipeline);
    audit_who(a->os_user, a->host);
    memcpy(a->db_user, tip.db_user, sizeof a->db_user);
    *ret = a;
    return true;
}

/* Behind the decorator of tests (lib/target/fault.c): fault:SLOT:N:ACTION:URL. */
static const char *without_fault(const char *url)
{
    for (int colons = strncmp(url, "fault:", 6) == 0 ? 4 : 0; colons > 0; colons--) {
        const char *colon = strchr(url, ':');
        url = colon != NULL ? colon + 1 : url + strlen(url);
    }
    return url;
}

bool audit_open(const char *target_url, const char *pipeline, struct audit **ret, struct err *err)
{
    struct audit_store *store = NULL;
    target_url = without_fault(target_url);
    if (maria_is_url(target_url)) {
        if (!audit_store_mariadb(target_url, &store, err))
            return wrap(err);
        return set_up(store, pipeline, ret, err);
    }
    struct pg_options options = {.application_name = "crossfade audit"};
    struct pg_conn *conn = NULL;
    if (!pg_open(target_url, &options, &conn, err))
        return wrap(err);
    return set_up(audit_store_postgres(conn, false), pipeline, ret, err);
}

bool audit_on(struct pg_conn *target, const char *pipeline, struct audit **ret, struct err *err)
{
    return set_up(audit_store_postgres(target, true), pipeline, ret, err);
}

bool audit_on_mariadb(struct maria_conn *target, const char *pipeline, struct audit **ret, struct err *err)
{
    return set_up(audit_store_mariadb_on(target), pipeline, ret, err);
}

void audit_settled(struct audit *a)
{
    if (a->store->ops->settled != NULL)
        a->store->ops->settled(a->store);
}

bool audit_hold(struct audit *a, struct err *err)
{
    return a->store->ops->begin(a->store, err) || wrap(err);
}

void audit_close(struct audit *a)
{
    if (a == NULL)
        return;
    a->store->ops->close(a->store);
    free(a->pipeline);
    free(a);
}

const char *audit_os_user(const struct audit *a)
{
    return a->os_user;
}

const char *audit_host(const struct audit *a)
{
    return a->host;
}

const char *audit_db_user(const struct audit *a)
{
    return a->db_user;
}

/* Sorted keys, in ASCII: the same text whatever the server's encoding is. */
static char *detail_text(json_t *detail, struct err *err)
{
    char *text =
        detail != NULL ? json_dumps(detail, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII) : NULL;
    bool given = detail != NULL;
    json_decref(detail);
    if (!given)
        return xstrdup("{}");
    if (text == NULL)
        (void)err_set(err, ERR_BUG, "the detail of an audit row is no JSON");
    else if (strlen(text) > AUDIT_DETAIL_MAX) {
        (void)err_set(err, ERR_NO_MEMORY, "the detail of an audit row has %zu bytes, %zu fit", strlen(text),
                      AUDIT_DETAIL_MAX);
        free_ptr(&text);
    }
    return text;
}

static bool append_sealed(struct audit_store *s, struct audit_row *row, struct audit_mark *ret,
                          struct err *err)
{
    struct audit_tip tip;
    if (!s->ops->tip(s, &tip, err))
        return false;
    ret->seq = row->seq = tip.last.seq + 1;
    row->prev = tip.last.hash;
    row->at = tip.at;
    row->db_user = tip.db_user;
    if (!audit_hash(row, ret->hash, err))
        return false;
    row->hash = ret->hash;
    return s->ops->insert(s, row, err);
}

/* One try: all of it, or nothing. */
static bool append_once(struct audit_store *s, struct audit_row *row, struct audit_mark *ret, struct err *err)
{
    struct err ignored = ERR_INIT;
    if (s->ops->begin(s, err) && append_sealed(s, row, ret, err))
        return s->ops->end(s, true, err);
    (void)!s->ops->end(s, false, &ignored);
    return false;
}

bool audit_append(struct audit *a, const char *cutover_id, const char *event, json_t *detail,
                  struct audit_mark *ret, struct err *err)
{
    struct audit_mark mark = {0};
    char *text = detail_text(detail, err);
    if (text == NULL)
        return false;
    struct audit_row row = {.pipeline = a->pipeline,
                            .cutover_id = cutover_id != NULL ? cutover_id : "",
                            .event = event,
                            .os_user = a->os_user,
                            .host = a->host,
                            .detail = text};
    struct err failed = ERR_INIT;
    bool ok = false;
    for (int i = 0; !ok && i < TRIES; i++) {
        err_clear(&failed);
        ok = append_once(a->store, &row, &mark, &failed);
        /* somebody took the number: the lock is one server's, the key is the table's */
        if (!ok && (strcmp(failed.sqlstate, DUPLICATE) != 0 || a->store->inside))
            break;
    }
    free(text);
    if (!ok) {
        if (err != NULL)
            *err = failed;
        return wrap(err);
    }
    if (ret != NULL)
        *ret = mark;
    return true;
}

bool audit_last(struct audit *a, struct audit_mark *ret, struct err *err)
{
    struct audit_tip tip;
    if (!a->store->ops->tip(a->store, &tip, err))
        return wrap(err);
    *ret = tip.last;
    return true;
}

/* "2026-01-31T12:34:56.123456Z" → microseconds. */
static bool parse_time(const char *at, int64_t *ret_us)
{
    struct tm tm = {0};
    int us = 0;
    if (sscanf(at, "%4d-%2d-%2dT%2d:%2d:%2d.%6dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &us) != 7)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret_us = (int64_t)timegm(&tm) * 1000000 + us;
    return true;
}

bool audit_now(struct audit *a, int64_t *ret_us, struct err *err)
{
    struct audit_tip tip;
    if (!a->store->ops->tip(a->store, &tip, err))
        return wrap(err);
    return parse_time(tip.at, ret_us) || err_set(err, ERR_PROTOCOL, "the target's clock reads %s", tip.at);
}

bool audit_read(struct audit *a, const struct audit_filter *filter, audit_each_row *each, void *ctx,
                struct err *err)
{
    int count = PAGE_ROWS;
    for (int64_t after = filter->after; count == PAGE_ROWS;) {
        if (!a->store->ops->page(a->store, filter, after, PAGE_ROWS, each, ctx, &count, &after, err))
            return wrap(err);
    }
    return true;
}

static bool walk_row(void *ctx, const struct audit_row *row, struct err *err)
{
    return chain_walk_row(ctx, row, err);
}

bool audit_verify(struct audit *a, struct audit_expected *expected, size_t expected_count,
                  struct audit_verdict *ret, struct err *err)
{
    *ret = (struct audit_verdict){0};
    struct chain_walk walk = {.verdict = ret, .expected = expected, .expected_count = expected_count};
    struct audit_filter all = {.after = INT64_MIN};
    int64_t stored = 0;
    if (!audit_read(a, &all, walk_row, &walk, err))
        return false;
    if (!a->store->ops->count(a->store, ret->last.seq, &stored, err))
        return wrap(err);
    chain_walk_end(&walk, stored);
    return true;
}
