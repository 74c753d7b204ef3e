/* How long the steps of a cutover may take (deadline.c). Private to this module. @thread owner */
#ifndef CUTOVER_DEADLINE_H
#define CUTOVER_DEADLINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "core/attr.h"
#include "core/err.h"

struct cutover;
struct cutover_rule;
struct pg_conn;

/* The thread that shuts the sessions of a server which does not answer. Part of struct cutover, used by deadline.c alone. */
struct deadline_watch {
    pthread_t thread;
    pthread_mutex_t mutex; /* also: the pointers to the sessions */
    pthread_cond_t cond;
    int64_t shut_at_us; /* monotonic; 0 = never */
    bool runs, quit;
};

/* A duration, whichever unit (_ms, _s) the option has. */
int64_t deadline_option_ms(const struct config *cfg, const char *key);
/* Begins the deadline of a step. False, ERR_TIMEOUT: the pause budget is used up already. */
bool deadline_begin(struct cutover *co, const struct cutover_rule *rule, struct err *err) MUST_CHECK;
/* The deadline for sessions on the source that were opened since deadline_begin(). */
bool deadline_on_source(struct cutover *co, struct err *err) MUST_CHECK;
/* Of the step at hand; negative: it has passed; very large: there is none. */
int64_t deadline_left_ms(const struct cutover *co);
bool deadline_passed(const struct cutover *co);
/* What is left of the pause budget; all of it before the pause. */
int64_t deadline_pause_left_ms(const struct cutover *co);
/* Readable from the deadline on, and when a stop is asked for. -1: no step has begun. */
int deadline_fd(const struct cutover *co);
/* Puts a new session (NULL allowed) in the place of one of the cutover's, which is closed. */
void deadline_replace(struct cutover *co, struct pg_conn **conn, struct pg_conn *fresh);
/* Around putting a new session in the place of the store's (store/): nobody shuts it meanwhile. */
void deadline_hold(struct cutover *co);
void deadline_let_go(struct cutover *co);
/* Ends what deadline_begin() has made; before the sessions are closed. */
void deadline_end(struct cutover *co);

#endif
