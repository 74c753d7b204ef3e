/*
 * Where the chain is kept, by the kind of the target. Private to this module.
 * Appending: begin (one writer at a time), last, insert, end. The primary key refuses a number that is taken, whatever becomes of the lock.
 */
#ifndef AUDIT_STORE_H
#define AUDIT_STORE_H

#include "audit/audit.h"

struct audit_store;

/* What a new row builds on, by the target. */
struct audit_tip {
    struct audit_mark last;
    char at[AUDIT_TIME_MAX]; /* now */
    char db_user[AUDIT_NAME_MAX];
};

struct audit_store_ops {
    bool (*ensure)(struct audit_store *s, struct err *err) MUST_CHECK;
    bool (*begin)(struct audit_store *s, struct err *err) MUST_CHECK;
    bool (*tip)(struct audit_store *s, struct audit_tip *ret, struct err *err) MUST_CHECK;
    bool (*insert)(struct audit_store *s, const struct audit_row *row, struct err *err) MUST_CHECK;
    /* keep false: nothing of it stays. */
    bool (*end)(struct audit_store *s, bool keep, struct err *err) MUST_CHECK;
    /* The next rows behind `after`, `limit` at most, by the filter; *ret_last: the last one's number. */
    bool (*page)(struct audit_store *s, const struct audit_filter *filter, int64_t after, int limit,
                 audit_each_row *each, void *ctx, int *ret_count, int64_t *ret_last,
                 struct err *err) MUST_CHECK;
    /* How many rows have a number up to this one. */
    bool (*count)(struct audit_store *s, int64_t upto, int64_t *ret, struct err *err) MUST_CHECK;
    /* The caller's transaction has ended; NULL = nothing is kept beyond it. */
    void (*settled)(struct audit_store *s);
    void (*close)(struct audit_store *s);
};

struct audit_store {
    const struct audit_store_ops *ops;
    bool
        inside; /* since begin(): a transaction of the caller's is used, so that a row that failed cannot be tried again */
};

/* conn: not owned if borrowed. */
struct audit_store *audit_store_postgres(struct pg_conn *conn, bool borrowed);
struct audit_store *audit_store_mariadb_on(struct maria_conn *borrowed);
bool audit_store_mariadb(const char *url, struct audit_store **ret, struct err *err) MUST_CHECK;

/* who.c: the names of the user that runs this process and of the machine. */
void audit_who(char ret_user[AUDIT_NAME_MAX], char ret_host[AUDIT_NAME_MAX]);

#endif
