/*
 * Decommissioning: what a cutover has left behind of the old database, until it may be switched off. Its stages: serving (no cutover) → readonly
 * (closed to writers, the way back) → tombstone (connections of applications are refused, and told where the database is now) → ready (nothing
 * speaks against switching it off). The stage is never stored: it is what both sides show.
 * @thread owner
 */
#ifndef DECOMMISSION_DECOMMISSION_H
#define DECOMMISSION_DECOMMISSION_H

#include "audit/audit.h"
#include "config/config.h"

/* What was seen. Texts are malloc'd, never NULL; "" = does not apply, or may not be read. */
struct decom_entry {
    const char *kind; /* stable: "session", "seen", "slot", "walsender", … */
    const char *side; /* "source" or "target" */
    char *name;       /* of a session: its role */
    char *address, *application, *state;
    char *at; /* ISO 8601; of a session: its last query */
    char *detail;
    bool blocks; /* speaks against switching the old side off */
};

struct decom_report {
    const char *stage; /* "serving", "readonly", "tombstone", "ready" */
    char database[256], cut_over_at[40], read_only_until[40]; /* "": there was no cutover */
    bool period_over;
    char method[16], tombstone_at[40], message[600]; /* "": no tombstone */
    bool tombstone_whole;                            /* false: raising or lowering it was interrupted */
    struct decom_entry *entries;
    size_t count, cap;
    bool may_switch_off;
    char why_not[1200]; /* sentences; "" = it may */
};

bool decommission_status(const struct config *cfg, struct decom_report *ret, struct err *err) MUST_CHECK;
void decom_report_release(struct decom_report *report);

struct decom_watch {
    int64_t interval_ms;
    bool once;
    int stop_fd; /* readable: ends it; -1 = none */
    void *ctx;
    /* After each sample: sessions of others at that moment, and how many are known by now. */
    void (*sampled)(void *ctx, int64_t sessions, int64_t known);
};
/* Notes in crossfade.connection_seen on the target who is connected to the old database, again and again. A source that is away is waited for. */
bool decommission_watch(const struct config *cfg, const struct decom_watch *watch,
                        struct err *err) MUST_CHECK;

struct tombstone_request {
    bool execute, undo;
    void *ctx;
    bool (*confirm)(void *ctx, const char *database); /* whether the person names it */
};
struct tombstone_report {
    const char *outcome; /* "planned", "refused", "up", "down" */
    char database[256], method[16];
    char message[600]; /* that names the new home */
    char seen[1000];   /* what a client is told */
    char method_why[400];
    char passes[2000];   /* roles that are still let in */
    int64_t sessions;    /* that are, or were, ended */
    char not_ended[600]; /* sessions that could not be ended; "" = none */
    struct audit_mark audit;
};
bool decommission_tombstone(const struct config *cfg, const struct tombstone_request *request,
                            struct tombstone_report *ret, struct err *err) MUST_CHECK;

#endif
