/* What a dialect implements of session.h. Included by session.c, rowset.c and the dialects' session.c alone. */
#ifndef COMPARE_SESSION_IMPL_H
#define COMPARE_SESSION_IMPL_H

#include "session.h"

/* Contracts: session.h. send leaves no result behind when it fails. */
struct session_ops {
    bool (*open)(const char *url, const char *application, struct session **ret, struct err *err) MUST_CHECK;
    void (*close)(struct session *s);
    bool (*begin)(struct session *s, const char *snapshot, struct err *err) MUST_CHECK;
    bool (*exec)(struct session *s, const char *sql, struct err *err) MUST_CHECK;
    bool (*send)(struct session *s, const struct statement *st, struct err *err) MUST_CHECK;
    enum session_poll (*poll)(struct session *s, struct rowset **ret, struct err *err);
    void (*cancel)(struct session *s);
    bool (*scan_whole)(struct session *s, bool whole, struct err *err) MUST_CHECK;
};

/* The first member of a dialect's own session; set by open. */
struct session {
    const struct session_ops *ops;
    enum dialect_kind dialect;
    int fd, version;
    int64_t hashes_most;
    bool broken; /* its snapshot is gone */
    bool busy;   /* an answer has not been taken yet */
    char *server, *database;
    const char *limit_head, *limit_tail; /* SQL around the seconds of a time limit: "SET x = " 1.500 "" */
};

/* Cells point into what `owner` holds; free_owner ends that. */
struct rowset_cell {
    const char *text; /* NULL = null */
    size_t len;
};
struct rowset {
    int rows, columns;
    struct rowset_cell *cells; /* row by row */
    char **names;
    enum column_kind *kinds;
    void *owner;
    void (*free_owner)(void *owner);
};

/* Room for cells, names and kinds; the caller fills them. */
struct rowset *rowset_new(int rows, int columns, void *owner, void (*free_owner)(void *owner));

extern const struct session_ops session_postgres, session_mariadb;

#endif
