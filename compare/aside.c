/* See aside.h. */
#include "aside.h"

#include "core/attr.h"

static void *thread_main(void *arg)
{
    struct aside *aside = arg;
    aside->ok = aside->run(aside->ctx, &aside->err);
    return NULL;
}

void aside_begin(struct aside *aside, aside_run *run, void *ctx)
{
    *aside = (struct aside){.run = run, .ctx = ctx, .begun = true, .err = ERR_INIT};
    aside->threaded = pthread_create(&aside->thread, NULL, thread_main, aside) == 0;
    if (!aside->threaded) /* none to be had: it takes longer, then */
        (void)thread_main(aside);
}

bool aside_end(struct aside *aside, struct err *err)
{
    if (!aside->begun)
        return true;
    if (aside->threaded && pthread_join(aside->thread, NULL) != 0)
        BUG("a thread that was begun cannot be joined");
    aside->begun = false;
    if (!aside->ok && err != NULL)
        *err = aside->err;
    return aside->ok;
}
