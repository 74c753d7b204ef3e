/* pooler-lead CONFIG pause|resume|switch|back: one thing that a cutover or a rollback does with the poolers of a configuration. */
#include <stdio.h>
#include <string.h>

#include "core/attr.h"
#include "cutover/notes.h"
#include "cutover/poolers/poolers.h"

static void say(void *ctx, const char *text)
{
    (void)ctx;
    (void)fprintf(stderr, "%s\n", text);
}

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

static const struct {
    const char *name;
    bool (*act)(struct cutover *co, struct err *err);
} verbs[] = {{"pause", poolers_pause},
             {"resume", poolers_resume},
             {"switch", poolers_switch},
             {"back", poolers_switch_back}};

int main(int argc, char **argv)
{
    static const struct cutover_talk talk = {.say = say, .stop_asked = never};
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    bool ok = false;
    if (argc != 3)
        return 2;
    if (config_load(argv[1], NULL, 0, &cfg, &err)) {
        struct cutover co = {.cfg = cfg, .talk = &talk, .id = "of-a-test"};
        for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
            if (strcmp(verbs[i].name, argv[2]) == 0)
                ok = verbs[i].act(&co, &err);
        }
        poolers_free(co.poolers);
        notes_clear(&co);
    }
    config_free(cfg);
    if (!ok)
        (void)fprintf(stderr, "%s\n", err.text);
    return ok ? 0 : 1;
}
