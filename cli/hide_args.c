/* Owns: what of our arguments others can see (/proc/PID/cmdline is the memory that argv points to). See hide_args.h. */
#include "hide_args.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"

/* Puts into the same memory what may be shown of it. */
static bool hide(char *text)
{
    size_t room = strlen(text), size = 2 * room + 64;
    char *masked = xmalloc(size);
    bool secret = strcmp(log_mask_url(text, masked, size), text) != 0;
    if (secret) {
        size_t shown = strlen(masked) < room ? strlen(masked) : room;
        memcpy(text, masked, shown);
        memset(text + shown, 0, room - shown);
    }
    free(masked);
    return secret;
}

/* --key=URL by its value; --key.password=… reads like a connection string's pair. */
static void hide_word(char *word)
{
    char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
    if (equals == NULL || !hide(equals + 1))
        (void)hide(word);
}

char **hide_args(int argc, char **argv)
{
    char **copy = xcalloc((size_t)argc + 1, sizeof *copy);
    for (int i = 0; i < argc; i++) {
        copy[i] = xstrdup(argv[i]);
        hide_word(argv[i]);
    }
    return copy;
}

void hide_args_free(char **copy)
{
    for (char **word = copy; word != NULL && *word != NULL; word++)
        free(*word);
    free(copy);
}
