/*
 * The sessions of a watch, on servers of either kind. Nothing waits for long: a server that is there and does not answer must not hold up the watch.
 * Private to this module. @thread owner
 */
#ifndef CUTOVER_WATCH_SIDES_H
#define CUTOVER_WATCH_SIDES_H

#include "cutover/cutover_internal.h"
#include "statements.h"

struct watching;

/* A session on the source (PostgreSQL); NULL: away, and *err says why. */
struct pg_conn *watch_source(struct watching *w, struct err *err);
/* The reverse pipeline's target, with a session; NULL: away. */
struct cutover *watch_back(struct watching *w, struct err *err);
/* As pg_query(), for at most some seconds. Behind a failure the session may be of no further use: watch_alive() tells. */
bool watch_ask_pg(struct pg_conn *conn, const char *sql, int count, const char *const *params,
                  struct pg_result **ret, struct err *err) MUST_CHECK;
/* The same on a side's target, whichever server it is. */
bool watch_ask_sql(struct cutover *side, const char *sql, int count, const char *const *params,
                   struct rowset **ret, struct err *err) MUST_CHECK;
bool watch_ask(struct cutover *side, enum watch_statement what, int count, const char *const *params,
               struct rowset **ret, struct err *err) MUST_CHECK;
/* Whether there is a session, on a target; whether it answers, too. */
bool watch_there(const struct cutover *side);
bool watch_alive(struct cutover *side, struct err *err) MUST_CHECK;
const char *watch_database(const struct cutover *side);
/* Closes the session on a target; none is as good. */
void watch_side_lost(struct cutover *side);

#endif
