/*
 * The desk: what somebody outside has asked of a running role, by HTTP or a signal. Orders are carried out one after the other by a thread of
 * its own, since each is noted in the audit chain first and a target that is away must not keep /health waiting; the role looks at what is asked
 * for at its next step. A pause, a rate and a wish to drain last until the process ends.
 * @thread any, unless it says otherwise
 */
#ifndef CONTROL_DESK_H
#define CONTROL_DESK_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "core/err.h"
#include "core/strbuf.h"

#define DESK_WHO_MAX    256
#define DESK_FROM_MAX   96
#define DESK_REASON_MAX 400
#define DESK_TEXT_MAX   ((size_t)2000)
/* Of DESK_THROTTLE: as configured. */
#define DESK_AS_CONFIGURED INT64_C(-1)
#define DESK_RATE_MAX      INT64_C(1000000000)

enum desk_verb {
    DESK_UNKNOWN = 0,
    DESK_PAUSE,
    DESK_RESUME,
    DESK_THROTTLE,
    DESK_RELOAD,
    DESK_DRAIN,
    DESK_VERB_MAX_
};

/* A set of verbs. */
#define DESK_CAN(verb) (1U << (unsigned)(verb))

struct desk_order {
    enum desk_verb verb;
    int64_t rows_per_second; /* THROTTLE: 0 = no limit, or DESK_AS_CONFIGURED */
    char who[DESK_WHO_MAX];  /* "token ops", "certificate CN=ops", "signal of uid 0" */
    char from[DESK_FROM_MAX];
    char reason[DESK_REASON_MAX]; /* "" = none was given */
};

struct desk;

/* What the process around the role does; called by the desk's thread. Kept by value. */
struct desk_hooks {
    void *ctx;
    /* Before it is done. False: it must not be done. RELOAD is noted by reload(). */
    bool (*note)(void *ctx, const struct desk_order *order, struct err *err);
    /* Reads the configuration again; *said gets what has come of it. False: nothing has changed. */
    bool (*reload)(void *ctx, const struct desk_order *order, struct strbuf *said, struct err *err);
    /* An orderly end, as by SIGTERM. */
    void (*stop)(void *ctx);
};

/* Told once, by the desk's thread. text: for people. */
typedef void desk_done(void *ctx, bool ok, const struct err *err, const char *text);

struct desk *desk_new(void);
void desk_free(struct desk *desk); /* NULL allowed; closed before */
/* From here on orders are taken. */
void desk_open(struct desk *desk, const struct desk_hooks *hooks);
/* Orders that were taken are finished and told; no more are. Twice is allowed, and without open. */
void desk_close(struct desk *desk);
/* False: too many wait already, or it is closed; done is not called. done NULL = the log alone is told. One that somebody waits for and that is
 * not begun within 20 s is refused: who asked is about to give up. */
bool desk_submit(struct desk *desk, const struct desk_order *order, desk_done *done, void *ctx) MUST_CHECK;

const char *desk_verb_name(enum desk_verb verb);
/* DESK_UNKNOWN: there is no such verb. */
enum desk_verb desk_verb_of(const char *name);

/* --- for the role --- */

/* It may be asked for these from now on (RELOAD always may). */
void desk_can(struct desk *desk, unsigned verbs);
bool desk_is_paused(const struct desk *desk);
/* Rows a second that hold now, 0 = no limit. */
int64_t desk_rate(const struct desk *desk, int64_t configured);
/* DESK_AS_CONFIGURED: nobody has asked for another. */
int64_t desk_rate_asked(const struct desk *desk);
/* All that is there now is to be finished, then desk_drained() said. */
bool desk_drain_asked(const struct desk *desk);
void desk_drained(struct desk *desk);
/* The configuration that holds now is another one than *seen tells (0 at first): take() gets it, and may keep no pointer into it. */
typedef void desk_take(void *ctx, const struct config *cfg);
bool desk_new_config(struct desk *desk, unsigned *seen, desk_take *take, void *ctx);
/* What the role alone can tell of a new configuration: asked by the desk's thread before it is taken. */
typedef bool desk_check(const struct config *cfg, struct err *err);
void desk_check_by(struct desk *desk, desk_check *check);

/* --- for the process around it, within hooks.reload --- */

bool desk_config_fits(struct desk *desk, const struct config *cfg, struct err *err) MUST_CHECK;
/* Owned by the desk from now on. */
void desk_set_config(struct desk *desk, struct config *cfg);

#endif
