/* See rest.h. */
#include "rest.h"

#include <poll.h>

#include "control.h"
#include "core/clock.h"
#include "core/log.h"
#include "session.h"
#include "tick.h"

#define NAP_MS      100
#define REST_MAX_MS INT64_C(600000) /* whatever is owed */
#define WORTH_IT_MS 1000
#define TEXT_BYTES  200

/* What is left of it by now, in ms; none where no comparison has run yet. */
static bool read_owed(const char *url, const char *pipeline, int64_t *ret_ms, struct err *err)
{
    struct session *target = NULL;
    ROWSET_AUTO there = NULL;
    ROWSET_AUTO res = NULL;
    const char *table = "verdict";
    *ret_ms = 0;
    if (!session_open(url, "target", pipeline, &target, err))
        return false;
    const struct control *control = control_of(target);
    bool ok = session_ask(target, control->table_there, 1, &table, &there, err);
    if (ok && rowset_int64(there, 0, 0) > 0) {
        ok = session_ask(target, control->rest_owed, 1, &pipeline, &res, err);
        *ret_ms = ok && rowset_rows(res) > 0 ? rowset_int64(res, 0, 0) : 0;
    }
    session_close(target);
    return ok || err_wrap(err, "the rest that earlier comparisons owe");
}

static void log_once(const struct pace *pace, bool *logged)
{
    double rest_s = (double)(pace->rest_us - clock_mono_us()) / 1e6;
    if (!*logged)
        log_event(LOG_LEVEL_INFO, "compare_rests", "seconds=%.0f text=\"%s\"", rest_s,
                  "earlier comparisons read on a busy source (compare.busy_share); --at-once does not wait");
    *logged = true;
}

static void tell(const struct compare_request *req, const struct pace *pace, int64_t since_us)
{
    struct strbuf text = STRBUF_INIT(TEXT_BYTES);
    int64_t now_us = clock_mono_us();
    strbuf_addf(&text, "waits: %s, for at most %.0f s", compare_wait_name(WAIT_SOURCE_BUSY),
                (double)MAX_OF(pace->rest_us - now_us, 0) / 1e6);
    struct compare_progress p = {.stage = "rest",
                                 .text = text.data,
                                 .elapsed_us = now_us - since_us,
                                 .waits_for = WAIT_SOURCE_BUSY,
                                 .waited_us = now_us - since_us};
    if (req->progress != NULL)
        req->progress(req->progress_ctx, &p);
    strbuf_release(&text);
}

static bool wait_out(const struct compare_request *req, struct pace *pace, struct err *err)
{
    int64_t since_us = clock_mono_us();
    struct pollfd fd = {.fd = req->stop_fd, .events = POLLIN};
    enum compare_wait why;
    bool logged = false;
    for (;;) {
        if (!pace_look(pace, &why, err))
            return false;
        if (why != WAIT_SOURCE_BUSY && pace_settled(pace))
            return true;
        if (why == WAIT_SOURCE_BUSY)
            log_once(pace, &logged);
        tell(req, pace, since_us);
        if (poll(&fd, req->stop_fd >= 0 ? 1 : 0, NAP_MS) > 0)
            return err_set(err, ERR_INTERRUPTED, "stopped before the comparison began");
        atomic_store(&pace->waited_us[WAIT_SOURCE_BUSY], clock_mono_us() - since_us);
    }
}

bool rest_before_run(const struct config *cfg, const struct compare_request *req, const char *pipeline,
                     struct pace *pace, struct err *err)
{
    int64_t owed_ms = 0;
    if (!read_owed(config_text(cfg, "target.url"), pipeline, &owed_ms, err))
        return false;
    if (owed_ms < WORTH_IT_MS)
        return true;
    pace->rest_us = clock_mono_us() + MIN_OF(owed_ms, REST_MAX_MS) * 1000;
    bool ok = wait_out(req, pace, err);
    pace->rest_us = 0;
    return ok;
}
