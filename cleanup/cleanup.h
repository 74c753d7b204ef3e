/*
 * Cleanup: takes away what a pipeline has made on the source, on the target and, when asked to, the journal; and tells what it leaves, and why.
 * It removes only what is provably this pipeline's (by its name, and by what it holds), never another pipeline's, and nothing that somebody is
 * at just now. Nothing is removed as long as anything refuses. Each removal is a row of the audit chain before it is made; whoever runs it
 * again after it was killed comes to the same end. The audit chain itself always stays.
 * @thread owner
 */
#ifndef CLEANUP_CLEANUP_H
#define CLEANUP_CLEANUP_H

#include "audit/audit.h"
#include "config/config.h"

enum cleanup_fate {
    CLEANUP_UNKNOWN = 0,
    CLEANUP_REMOVE, /* is, or would be, removed */
    CLEANUP_LEAVE,  /* stays: `why` */
    CLEANUP_REFUSE  /* keeps all the rest from being removed: `why` says what to do */
};

/* Something that was found. Texts are malloc'd and never NULL, "" = nothing to say. */
struct cleanup_item {
    const char *kind; /* stable: "slot" */
    const char *side; /* "source", "standby", "target" or "journal" */
    char *name;
    char *place;   /* "database shop on db1:5432" */
    char *used_by; /* who is at it just now */
    char *action;  /* what is done, as SQL where it is SQL */
    char *why;
    int64_t bytes, rows; /* -1 = not known */
    enum cleanup_fate fate;
    bool removed;
    const struct cleanup_kind *of; /* how it is removed */
};

struct cleanup_request {
    bool execute;         /* else only looks */
    bool journal;         /* the journal as well */
    bool discard_letters; /* records that were never applied are given up */
    bool open_source; /* after a cutover: the triggers that keep the old database closed to writers as well */
    bool without_source; /* the source is not asked: it is gone */
};

struct cleanup_report {
    const char *outcome; /* "planned", "refused", "done", "incomplete" */
    struct cleanup_item *items;
    size_t count, cap;
    char confirm_why[400];   /* why a person must name the pipeline; "" = need not */
    struct audit_mark audit; /* the last row that was written; seq 0 = none */
};

struct cleanup_talk {
    void *ctx;
    /* One line for a person, as it happens. */
    void (*say)(void *ctx, const char *text);
    bool (*stop_asked)(void *ctx);
    /* Whether the person names the pipeline when told why that is asked. */
    bool (*confirm)(void *ctx, const char *pipeline, const char *why);
};

/* True: looked, refused or done (ret->outcome); false: could not run, or stopped on the way; then ret tells what was removed by then. Release ret in any case. */
bool cleanup_run(const struct config *cfg, const struct cleanup_request *request,
                 const struct cleanup_talk *talk, struct cleanup_report *ret, struct err *err) MUST_CHECK;
void cleanup_report_release(struct cleanup_report *report);
/* 0: done, or nothing refuses; 1: something refuses, or could not be removed. */
int cleanup_exit_code(const struct cleanup_report *report);
const char *cleanup_fate_name(enum cleanup_fate fate);

#endif
