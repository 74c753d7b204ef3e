/* See tell.h. */
#include "cutover/tell.h"

#include <stdio.h>
#include <string.h>

#include "control/alerts.h"
#include "cutover/cutover_internal.h"

#define TELL_TEXT_MAX 1400

void tell_open(struct cutover *co)
{
    const struct alert_ways ways = alert_ways_of(co->cfg);
    if (alert_ways_any(&ways))
        co->alerts = alerts_new(&ways);
}

void tell_close(struct cutover *co)
{
    alerts_free(co->alerts);
    co->alerts = NULL;
}

void tell_gates(struct cutover *co)
{
    const struct cutover_report *report = co->report;
    const struct gate_result *first = NULL;
    size_t refused = 0;
    char text[TELL_TEXT_MAX];
    if (co->alerts == NULL)
        return;
    for (size_t i = 0; i < report->gate_count; i++) {
        if (report->gates[i].verdict == GATE_OK)
            continue;
        first = first != NULL ? first : &report->gates[i];
        refused++;
    }
    if (first == NULL)
        return;
    (void)snprintf(text, sizeof text, "%zu of %zu gates refuse; %s: measured %s, limit %s. %.300s", refused,
                   report->gate_count, first->name, first->measured, first->limit, first->hint);
    alerts_raise(co->alerts, "gates_refused", first->name, text, false);
}

void tell_step(struct cutover *co, int state)
{
    char text[TELL_TEXT_MAX];
    const char *name = cutover_state_name((enum cutover_state)state);
    const char *event = state == CUT_DONE      ? "cutover_done"
                        : state == CUT_ABORTED ? "cutover_aborted"
                                               : "cutover_step";
    if (co->alerts == NULL)
        return;
    (void)snprintf(text, sizeof text, "cutover %s: %s%s%.600s", co->id, name,
                   co->report->reason[0] != '\0' ? ": " : "", co->report->reason);
    if (state == CUT_SWITCHING)
        alerts_raise(co->alerts, "cutover_decided", "switched", text, true);
    alerts_raise(co->alerts, event, name, text, state != CUT_ABORTED);
}

void tell_failed(struct cutover *co, const struct err *err)
{
    char text[TELL_TEXT_MAX];
    if (co->alerts == NULL || co->id[0] == '\0')
        return;
    (void)snprintf(text, sizeof text, "cutover %s has ended at %s: %.600s", co->id,
                   cutover_state_name(co->state), err->text);
    alerts_raise(co->alerts, "cutover_failed", cutover_state_name(co->state), text, false);
}
