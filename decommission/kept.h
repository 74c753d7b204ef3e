/*
 * What decommission keeps on the new side, PostgreSQL or MariaDB by target.url: the same statements in both dialects, with the same parameters and
 * columns. Private to this module. @thread owner
 */
#ifndef DECOMMISSION_KEPT_H
#define DECOMMISSION_KEPT_H

#include "decommission_internal.h"

/* $1 is the pipeline. */
enum kept_statement {
    KEPT_CUT_OVER = 0, /* $2 seconds of the period → when ("" = never; ISO), its end, whether that is over */
    KEPT_TOMBSTONE,    /* → method, state, message, since when (ISO), what was saved (JSON) */
    KEPT_TOMBSTONE_NEW,   /* $2 method, $3 message, $4 saved; one that is there stays */
    KEPT_TOMBSTONE_STATE, /* $2 state */
    KEPT_TOMBSTONE_GONE,
    KEPT_NOTE,   /* $2 a sample (JSON): what is seen again is counted */
    KEPT_KNOWN,  /* → how many of them there are, the last time of all as PostgreSQL reads it, or null */
    KEPT_SEEN,   /* $2 seconds of quiet → the columns of a look (looks.c) */
    KEPT_ABROAD, /* → the same, of what on the new side leads elsewhere; MariaDB alone */
    KEPT_STATEMENTS
};

/* cells: NULL = null. */
typedef bool kept_row(void *ctx, const char *const *cells, struct err *err);

/* Its session, after which d->target (PostgreSQL) or d->maria is set. */
bool kept_open(struct decom *d, struct err *err) MUST_CHECK;
/* Makes connection_seen and tombstone. */
bool kept_make(struct decom *d, struct err *err) MUST_CHECK;
/* Whether there is a table of that name behind "crossfade." */
bool kept_there(struct decom *d, const char *table, bool *ret, struct err *err) MUST_CHECK;
/* each: NULL = the rows do not matter. */
bool kept_ask(struct decom *d, enum kept_statement what, int count, const char *const *params, kept_row *each,
              void *ctx, struct err *err) MUST_CHECK;
/* The chain on that session, which must outlive it. */
bool kept_audit(struct decom *d, struct audit **ret, struct err *err) MUST_CHECK;

extern const char *const kept_postgres[KEPT_STATEMENTS], *const kept_mariadb[KEPT_STATEMENTS];

#define KNOWN_MAX "10000"

#endif
