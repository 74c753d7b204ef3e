/* Owns: levels and their steps: what fires and what is over becomes an event, and an alert. */
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "watching.h"
#include "json/text.h"

/* As people write it: "lag above 30". Two levels with the same words are told apart by their place. */
static void name_level(const struct watch_trigger *t, size_t i, const char *name, char out[64])
{
    (void)snprintf(out, 64, "%s above %.6g", name, t->levels[i].rule.above);
    for (size_t before = 0; before < i; before++) {
        if (strcmp(t->levels[before].id, out) == 0) {
            (void)snprintf(out, 64, "%s above %.6g (%zu)", name, t->levels[i].rule.above, i + 1);
            return;
        }
    }
}

bool triggers_open(struct watching *w, struct err *err)
{
    for (size_t k = 0; k < TRIGGER_KINDS; k++) {
        struct watch_trigger *t = &w->triggers[k];
        struct trigger_rule rules[TRIGGER_LEVELS_MAX];
        if (!trigger_rules_from_config(w->cfg, (enum trigger_kind)k, rules, &t->level_count, err))
            return false;
        for (size_t i = 0; i < t->level_count; i++) {
            t->levels[i] = (struct watch_level_state){.rule = rules[i]};
            name_level(t, i, trigger_table[k].name, t->levels[i].id);
        }
    }
    return true;
}

static void tell(struct watching *w, const struct trigger_info *info, struct watch_level_state *l,
                 const struct signal *s, bool fired)
{
    char text[WATCH_TEXT_MAX];
    (void)snprintf(text, sizeof text, "%s: %.4g %s (%s%s%.300s)%s%s", l->id, s->value,
                   trigger_unit_name(info->unit), info->measured, s->text[0] != '\0' ? ": " : "", s->text,
                   fired ? ", action: " : ", over", fired ? trigger_action_name(l->rule.action) : "");
    json_t *detail =
        json_pack("{s:s, s:s, s:f, s:s, s:o}", "trigger", info->name, "level", l->id, "value", s->value,
                  "action", trigger_action_name(l->rule.action), "text", json_text(s->text));
    store_event(w, fired ? "trigger.fired" : "trigger.cleared", detail);
    alerts_raise(w->alerts, fired ? "trigger" : "trigger_over", l->id, text, !fired);
    l->acted = fired && l->rule.action == TRIGGER_ALERT;
    l->why[0] = '\0';
}

static void step(struct watching *w, size_t kind, int64_t now_us)
{
    struct watch_trigger *t = &w->triggers[kind];
    for (size_t i = 0; t->signal.known && i < t->level_count; i++) {
        struct watch_level_state *l = &t->levels[i];
        enum trigger_event event = trigger_step(&l->rule, &l->state, t->signal.value, now_us);
        if (event != TRIGGER_NOTHING)
            tell(w, &trigger_table[kind], l, &t->signal, event == TRIGGER_FIRED);
    }
}

void triggers_step(struct watching *w, int64_t now_us)
{
    for (size_t k = 0; k < TRIGGER_KINDS; k++)
        step(w, k, now_us);
}

bool triggers_firing(const struct watching *w)
{
    for (size_t k = 0; k < TRIGGER_KINDS; k++) {
        for (size_t i = 0; i < w->triggers[k].level_count; i++) {
            if (w->triggers[k].levels[i].state.phase == TRIGGER_FIRING)
                return true;
        }
    }
    return false;
}
