/* Owns: a reading as JSON. */
#include <string.h>

#include "core/clock.h"
#include "watching.h"
#include "json/text.h"

static const char *const stages[] = {[STAGE_UNKNOWN] = "unknown",
                                     [STAGE_BEFORE] = "before_cutover",
                                     [STAGE_CUTTING] = "cutting_over",
                                     [STAGE_AFTER] = "after_cutover",
                                     [STAGE_BACK] = "rolled_back"};

static json_t *time_or_null(int64_t us)
{
    char at[ISO_TIME_MAX];
    return us > 0 ? json_string(clock_iso(us, at)) : json_null();
}

static json_t *signals_json(const struct watching *w)
{
    json_t *signals = json_array();
    for (size_t k = 0; k < TRIGGER_KINDS; k++) {
        const struct signal *s = &w->triggers[k].signal;
        json_array_append_new(signals, json_pack("{s:s, s:s, s:s, s:o, s:o}", "name", trigger_table[k].name,
                                                 "unit", trigger_unit_name(trigger_table[k].unit), "measured",
                                                 trigger_table[k].measured, "value",
                                                 s->known ? json_real(s->value) : json_null(), "text",
                                                 json_text(s->text)));
    }
    return signals;
}

static json_t *levels_json(const struct watching *w)
{
    json_t *levels = json_array();
    for (size_t k = 0; k < TRIGGER_KINDS; k++) {
        for (size_t i = 0; i < w->triggers[k].level_count; i++) {
            const struct watch_level_state *l = &w->triggers[k].levels[i];
            json_array_append_new(
                levels,
                json_pack("{s:s, s:s, s:f, s:f, s:f, s:I, s:s, s:s, s:o, s:b, s:o}", "trigger",
                          trigger_table[k].name, "level", l->id, "above", l->rule.above, "clear_below",
                          l->rule.clear_below, "for_seconds", (double)l->rule.for_us / 1e6, "readings",
                          (json_int_t)l->rule.readings, "action", trigger_action_name(l->rule.action),
                          "phase", trigger_phase_name(l->state.phase), "since",
                          time_or_null(l->state.phase != TRIGGER_QUIET ? l->state.since_us : 0), "acted",
                          l->acted, "waits", json_text_or_null(l->why)));
        }
    }
    return levels;
}

static json_t *rollback_json(const struct watching *w)
{
    const struct watch_rollback *r = &w->rollback;
    if (r->cutover_id[0] == '\0')
        return json_null();
    return json_pack("{s:s, s:o, s:o, s:b}", "cutover_id", r->cutover_id, "begun", time_or_null(r->begun_us),
                     "outcome", json_text_or_null(r->outcome), "well", r->well);
}

static json_t *automatic_json(const struct watching *w)
{
    if (w->maintenance == NULL)
        return json_null();
    return json_pack("{s:I, s:o}", "attempts", (json_int_t)w->automatic.attempts, "waits",
                     json_text_or_null(w->automatic.waits));
}

json_t *watch_report(const struct watching *w, int64_t now_us)
{
    return json_pack("{s:o, s:s, s:s, s:o, s:b, s:o, s:o, s:o, s:o}", "at", time_or_null(now_us), "pipeline",
                     w->pipeline, "stage", stages[w->stage], "cutover_id", json_text_or_null(w->cutover_id),
                     "execute", w->request->execute, "signals", signals_json(w), "levels", levels_json(w),
                     "rollback", rollback_json(w), "auto_cutover", automatic_json(w));
}
