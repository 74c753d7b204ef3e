/*
 * The audit chain: crossfade.audit on the target (crossfade_audit on MariaDB). What people and commands decide is a row of it: who, when,
 * what, with a detail in JSON. Rows are numbered from 1 without a gap, and each holds the SHA-256 of itself and of the one before it
 * (chain.h says over which text), so that a row that is changed, deleted, inserted or moved is found (audit_verify). That rows are missing
 * at the end only an anchor tells: the last hash, kept elsewhere (audit_anchor_*, or what a command has printed).
 *
 * No secrets and no values of rows go into it. Nothing is ever updated or deleted; the roles may insert and read (docs/PRIVILEGES.md).
 * @thread: an audit has one owner at a time.
 */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/seal.h"

#define AUDIT_DETAIL_MAX  ((size_t)256 << 10)
#define AUDIT_EVENT_MAX   63
#define AUDIT_TIME_MAX    32
#define AUDIT_NAME_MAX    256
#define AUDIT_SOURCE_SIDE "source"

struct audit;
struct pg_conn;
struct maria_conn;

/* A place in the chain; seq 0 = before the first row. */
struct audit_mark {
    int64_t seq;
    char hash[SHA256_HEX];
};

/* A row as it is stored. Texts are never NULL; "" where there is nothing. */
struct audit_row {
    int64_t seq;
    const char *at; /* the target's clock: 2026-01-31T12:34:56.123456Z */
    const char *pipeline;
    const char *cutover_id;
    const char *event; /* "cutover.step" */
    const char *os_user, *db_user, *host;
    const char *detail; /* a JSON object in ASCII */
    const char *prev;   /* the hash of the row before; of the first row 64 zeros */
    const char *hash;
};

/* Opens a connection of its own to the target and makes the table if it is missing. */
bool audit_open(const char *target_url, const char *pipeline, struct audit **ret, struct err *err) MUST_CHECK;
/* On a session of the caller's, which it outlives. Rows that are appended within a transaction of the caller's are committed with it; until
 * then nobody else can append. */
bool audit_on(struct pg_conn *target, const char *pipeline, struct audit **ret, struct err *err) MUST_CHECK;
/* The same on MariaDB; the caller says when such a transaction has ended (audit_settled()). */
bool audit_on_mariadb(struct maria_conn *target, const char *pipeline, struct audit **ret,
                      struct err *err) MUST_CHECK;
void audit_settled(struct audit *a);
/* Within a transaction of the caller's on such a session: until it ends nobody else appends, and what others have appended is committed. */
bool audit_hold(struct audit *a, struct err *err) MUST_CHECK;
void audit_close(struct audit *a); /* NULL allowed */

/* Appends a row and, unless the caller is in a transaction, commits it. detail: an object, stolen; NULL = {}. cutover_id NULL = "". ret may be
 * NULL. After a failure of the connection it may be there or not. */
bool audit_append(struct audit *a, const char *cutover_id, const char *event, json_t *detail,
                  struct audit_mark *ret, struct err *err) MUST_CHECK;
/* The target's clock, as rows have it, in microseconds since 1970. */
bool audit_now(struct audit *a, int64_t *ret_us, struct err *err) MUST_CHECK;
/* Who the rows say that we are; owned by a. */
const char *audit_os_user(const struct audit *a);
const char *audit_host(const struct audit *a);
const char *audit_db_user(const struct audit *a);

typedef bool audit_each_row(void *ctx, const struct audit_row *row, struct err *err);
struct audit_filter {
    int64_t after;          /* rows behind this number; 0 = all */
    const char *pipeline;   /* NULL = of all */
    const char *event;      /* as LIKE reads it: "approval.%"; NULL = any */
    const char *cutover_id; /* NULL = any */
};
/* Calls each() for the rows in their order. Read in pages: memory is bounded. */
bool audit_read(struct audit *a, const struct audit_filter *filter, audit_each_row *each, void *ctx,
                struct err *err) MUST_CHECK;
/* The number of the last row; 0 = there is none. */
bool audit_last(struct audit *a, struct audit_mark *ret, struct err *err) MUST_CHECK;

/* --- verify.c --- */

#define AUDIT_FINDINGS_SHOWN 20
#define AUDIT_FINDING_MAX    200

struct audit_expected {
    const char *from; /* "--expect", "source": for messages */
    struct audit_mark
        mark; /* seq 0: the hash may be of any row, "the row of this hash exists" is what is expected */
    bool met;
};

struct audit_verdict {
    int64_t rows;
    struct audit_mark last;
    uint64_t finding_count;
    char findings[AUDIT_FINDINGS_SHOWN][AUDIT_FINDING_MAX]; /* the first of them, in the order of the rows */
    size_t shown;
};

/* Walks the whole chain and checks each row, each link, and that the expected marks are in it (met is set). Ends at the row that is the last
 * when it comes there: others may append meanwhile. False: it could not be read to its end. */
bool audit_verify(struct audit *a, struct audit_expected *expected, size_t expected_count,
                  struct audit_verdict *ret, struct err *err) MUST_CHECK;

/* --- anchor.c: crossfade.audit_anchor on the source, one row for a pipeline --- */

/* Not in a transaction. Makes the table if it is missing; a mark that is before the one that stands there changes nothing. */
bool audit_anchor_put(struct pg_conn *source, const char *pipeline, const struct audit_mark *mark,
                      struct err *err) MUST_CHECK;
/* ret->seq 0: there is none. */
bool audit_anchor_get(struct pg_conn *source, const char *pipeline, struct audit_mark *ret,
                      struct err *err) MUST_CHECK;

#endif
