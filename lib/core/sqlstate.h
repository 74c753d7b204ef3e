/*
 * One table: what an SQLSTATE means for whoever met it. The standard's classes are the same for PostgreSQL and
 * MariaDB; the finer entries are PostgreSQL's.
 *
 * A rule says the class of the error (err_code, and through err_policy: retry with backoff, reconnect, halt), whether
 * one row may be at fault (then a writer narrows the batch down to it, and it may become a dead letter), and what a
 * person may do about it. @thread any
 */
#ifndef CORE_SQLSTATE_H
#define CORE_SQLSTATE_H

#include "core/err.h"

enum sqlstate_fault {
    FAULT_OTHER = 0, /* no row's: connection, rights, schema, resources */
    FAULT_CONFLICT,  /* rows against each other: another order of writing may do */
    FAULT_ROW        /* a row that the server does not take in any order */
};

struct sqlstate_rule {
    const char *prefix; /* of the five characters; the first rule that fits holds */
    enum err_code code;
    enum sqlstate_fault fault;
    const char *advice; /* for a person; NULL = the server's own text says it all */
};

/* Never NULL: the last rule fits all. */
const struct sqlstate_rule *sqlstate_rule(const char *sqlstate);
/* The fault of an error; one without SQLSTATE that is ERR_DATA (a value that the target's type cannot hold, found
 * before it was sent) is a row's. */
enum sqlstate_fault err_fault(const struct err *err);

#endif
