/* Owns: apply's part in a direct load (target/loader.h): to wait for its rows, and to know what they have already. */
#include <stdio.h>

#include "apply/apply_internal.h"
#include "core/clock.h"
#include "core/log.h"

#define SKIP_INTERVAL_US (2 * INT64_C(1000000))

static bool look(struct session *s, struct err *err)
{
    struct target_direct direct;
    if (!target_direct_look(s->tgt, s->position.attempt, &direct, err))
        return false;
    target_direct_release(&s->direct);
    s->direct = direct;
    return true;
}

static void tell(struct session *s, bool waits)
{
    if (waits == s->direct_told)
        return;
    s->direct_told = waits;
    log_event(LOG_LEVEL_INFO, waits ? "direct_waits" : "direct_loaded", "fence=%llu attempt=%llu tables=%zu",
              (unsigned long long)s->position.fence_id, (unsigned long long)s->position.attempt,
              s->direct.table_count);
}

/* Its loader may be gone for good: a copy that has begun since is loaded by another one, which waits for apply to come to it. */
static bool look_for_later_copy(struct session *s, struct err *err)
{
    int64_t now_us = clock_mono_us();
    bool skipped = false;
    if (s->direct_skip_us != 0 && now_us - s->direct_skip_us < SKIP_INTERVAL_US)
        return true;
    s->direct_skip_us = now_us;
    if (!fence_feed_skip_to_copy(s->feed, &skipped, err))
        return err_wrap(err, "journal");
    if (skipped)
        log_event(LOG_LEVEL_INFO, "direct_given_up", "attempt=%llu text=\"a later copy has begun\"",
                  (unsigned long long)s->position.attempt);
    return true;
}

bool apply_session_direct(struct session *s, const struct fence_batch *fences, bool *ret_wait,
                          struct err *err)
{
    struct err unsupported = ERR_INIT;
    *ret_wait = false;
    if (fences->begins_copy) { /* what was loaded for an earlier attempt goes */
        target_direct_release(&s->direct);
        s->direct_looked = false;
        return true;
    }
    if (!s->position_found || s->position.complete || s->direct.done || (s->direct_looked && !fences->direct))
        return true;
    if (!look(s, fences->direct ? err : &unsupported)) {
        if (!fences->direct && unsupported.code != ERR_UNSUPPORTED)
            *err = unsupported;
        s->direct_looked = !fences->direct && unsupported.code == ERR_UNSUPPORTED;
        return s->direct_looked;
    }
    s->direct_looked = true;
    if (s->direct.done && !apply_session_take_refused(s, err)) {
        target_direct_release(&s->direct); /* this session may try again: all is looked at anew */
        s->direct_looked = false;
        return false;
    }
    *ret_wait = fences->direct && !s->direct.done;
    tell(s, *ret_wait);
    return !*ret_wait || look_for_later_copy(s, err);
}

lsn_t apply_session_direct_from(void *ctx, const struct table_schema *schema)
{
    const struct session *s = ctx;
    return s->direct.done && !s->position.complete
               ? target_direct_from(&s->direct, schema->schema, schema->table)
               : 0;
}
