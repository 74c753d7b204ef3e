/* The other direction as cutover's own files see it (back.c, gates_back.c). Private to this module. @thread owner */
#ifndef CUTOVER_BACK_H
#define CUTOVER_BACK_H

#include "cutover_internal.h"
#include "from_maria/from_maria.h"

struct back {
    struct config *cfg; /* turned round */
    struct from_maria
        marker; /* the view's, where it leads away from a MariaDB: its session is the cutover's */
    struct cutover
        view; /* its pipeline on the cutover's own sessions: for marker_write() and drain_wait() alone */
};

/* ERR_CONFIG: this pipeline cannot be turned round. Else to be released; the sessions stay the cutover's. */
bool back_of(const struct cutover *co, struct back *ret, struct err *err) MUST_CHECK;
void back_release(struct back *back);
/* Whether its capture has been started once: there is a slot; on MariaDB the mark that its first start leaves. */
bool back_is_set_up(struct back *back, bool *ret, struct err *err) MUST_CHECK;
/* A marker row its whole way: from the target's WAL through the journal until the source has committed it. */
bool back_trip(struct back *back, int64_t limit_ms, int64_t *ret_us, struct err *err) MUST_CHECK;

#endif
