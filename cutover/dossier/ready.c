/* Owns: the one answer of the report: whether a cutover can begin now, and why. */
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "cutover/dossier/dossier_internal.h"

static void add(json_t *reasons, const char *what, json_t *why, json_t *todo)
{
    json_t *j = json_object();
    dossier_put(j, "what", json_text(what));
    dossier_put(j, "why", why);
    dossier_put(j, "todo", todo);
    json_array_append_new(reasons, j);
}

static json_t *measured_of_limit(const json_t *gate)
{
    char *text CLEANUP(free_ptr) =
        dossier_text(gate, "limit")[0] != '\0'
            ? xasprintf("%s (wanted: %s)", dossier_text(gate, "measured"), dossier_text(gate, "limit"))
            : xstrdup(dossier_text(gate, "measured"));
    return json_text(text);
}

/* Of gates that were asked just now. */
static bool by_gates(const struct dossier *d, json_t *reasons)
{
    size_t i;
    json_t *gate;
    json_array_foreach(json_object_get(json_object_get(d->doc, "gates"), "list"), i, gate)
    {
        if (strcmp(dossier_text(gate, "verdict"), "ok") != 0)
            add(reasons, dossier_text(gate, "name"), measured_of_limit(gate),
                json_text_or_null(dossier_text(gate, "hint")));
    }
    return json_array_size(reasons) == 0;
}

/* What else there is to be said than gates can: a cutover that is not over, or one that was. */
static const struct told {
    const char *outcome, *answer, *why, *todo;
} told[] = {
    {"done", "over", "the target serves: this pipeline was cut over", NULL},
    {"running", "no", "a cutover runs right now", "`crossfade cutover status` tells where it stands"},
    {"interrupted", "no", "a cutover of this pipeline is not over, and nobody is at it",
     "go on with `crossfade cutover resume`, or put the source back with `crossfade cutover abort`"},
    {"needs_person", "no", "a cutover of this pipeline is not over, and needs a person",
     "mend what the reason says, then `crossfade cutover resume`"},
    {"aborted", "unknown", "it was aborted and the source serves; the gates were not asked since",
     "`crossfade cutover plan` asks them"},
};

void dossier_ready(struct dossier *d)
{
    json_t *j = json_object(), *reasons = json_array();
    const char *outcome = dossier_text(d->doc, "outcome"), *answer = NULL;
    for (size_t i = 0; i < ARRAY_LEN(told) && answer == NULL; i++) {
        if (strcmp(told[i].outcome, outcome) != 0)
            continue;
        answer = told[i].answer;
        char todo[300] = "";
        if (told[i].todo != NULL)
            commands_turn(&d->co, told[i].todo, todo, sizeof todo);
        add(reasons, outcome, json_text(told[i].why), json_text_or_null(todo));
    }
    bool asked = json_is_true(json_object_get(json_object_get(d->doc, "gates"), "asked_now"));
    if (answer == NULL)
        answer = !asked ? "unknown" : by_gates(d, reasons) ? "yes" : "no";
    dossier_put(j, "answer", json_text(answer));
    dossier_put(j, "reasons", reasons);
    dossier_put(d->doc, "ready", j);
}
