/* One function on a thread of its own, while its owner does something else. Private to this module. @thread: the owner's, but run(). */
#ifndef COMPARE_ASIDE_H
#define COMPARE_ASIDE_H

#include <pthread.h>
#include <stdbool.h>

#include "core/err.h"

typedef bool aside_run(void *ctx, struct err *err);

struct aside {
    pthread_t thread;
    aside_run *run;
    void *ctx;
    bool begun, threaded, ok;
    struct err err;
};

void aside_begin(struct aside *aside, aside_run *run, void *ctx);
/* Waits for its end, and tells what came of it; true where nothing is under way. */
bool aside_end(struct aside *aside, struct err *err) MUST_CHECK;

#endif
