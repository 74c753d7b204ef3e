/* Owns: which transactions a comparison holds back, and until when. See hold.h. */
#include "capture/stream/hold.h"

#include <string.h>

/* A deadline so long that it means "never" would overflow the sum. */
#define DEADLINE_MAX_MS (INT64_C(86400000) * 365)

void cap_hold_note_answered(struct cap_hold *hold, const char *nonce)
{
    char *slot = hold->answered[hold->answered_count++ % CAP_ANSWERED_MAX];
    size_t len = strnlen(nonce, sizeof hold->answered[0] - 1);
    memcpy(slot, nonce, len);
    slot[len] = '\0';
}

static bool was_answered(const struct cap_hold *hold, const char *nonce)
{
    unsigned n = hold->answered_count < CAP_ANSWERED_MAX ? hold->answered_count : CAP_ANSWERED_MAX;
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(hold->answered[i], nonce) == 0)
            return true;
    }
    return false;
}

static struct fence_marker fence_marker_of(enum marker_kind kind, const struct cap_marker *m)
{
    struct fence_marker f = {.kind = kind, .deadline_ms = m->deadline_ms};
    memcpy(f.nonce, m->nonce, sizeof f.nonce);
    return f;
}

static void open_hold(struct cap_hold *hold, const struct cap_commit *commit, struct cap_hold_step *step)
{
    int64_t deadline_ms = commit->marker.deadline_ms < 0 ? 0 : commit->marker.deadline_ms;
    if (deadline_ms > DEADLINE_MAX_MS)
        deadline_ms = DEADLINE_MAX_MS;
    step->release = hold->active; /* an older one ends where this one begins */
    step->hold = true;
    hold->active = true;
    hold->marker = commit->marker;
    hold->commit_end_lsn = commit->commit_end_lsn;
    hold->expires_us = commit->commit_time_us + deadline_ms * 1000;
}

static void take_cut(struct cap_hold *hold, const struct cap_commit *commit, struct cap_hold_step *step)
{
    const struct cap_marker *cut = &commit->marker;
    bool ours = hold->active && strcmp(hold->marker.nonce, cut->nonce) == 0;
    if (ours && cut->cut_lsn >= hold->commit_end_lsn && cut->cut_lsn <= commit->commit_lsn) {
        step->release = step->cut = true;
        step->cut_lsn = cut->cut_lsn;
        step->cut_marker = fence_marker_of(MARKER_COMPARE, cut);
        if (step->cut_marker.deadline_ms <= 0)
            step->cut_marker.deadline_ms = hold->marker.deadline_ms;
        hold->active = false;
        return;
    }
    if (was_answered(hold, cut->nonce))
        return;
    step->marker = fence_marker_of(MARKER_REFUSED, cut);
    if (ours) { /* a position that cannot be: nothing more will come of this hold */
        step->release = true;
        hold->active = false;
    }
}

struct cap_hold_step cap_hold_commit(struct cap_hold *hold, const struct cap_commit *commit)
{
    struct cap_hold_step step = {0};
    if (hold->active && commit->commit_time_us > hold->expires_us) {
        step.release = step.lapsed = true;
        hold->active = false;
    }
    switch (commit->marker.kind) {
    case MARKER_HOLD: {
        bool lapsed = step.release;
        open_hold(hold, commit, &step);
        step.release = step.release || lapsed;
        break;
    }
    case MARKER_COMPARE:
        take_cut(hold, commit, &step);
        break;
    case MARKER_FINAL:
    case MARKER_PING:
        step.marker = fence_marker_of(commit->marker.kind, &commit->marker);
        break;
    case MARKER_COPY: /* no marker of a fence: decode.c takes it out */
    case MARKER_REFUSED:
    case MARKER_NONE:
        break;
    }
    return step;
}
