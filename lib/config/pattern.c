/* Owns: globs of names. See pattern.h. */
#include "config/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

char *pattern_read(const char **at)
{
    const char *p = *at;
    char *glob = xmalloc(strlen(p) + 1);
    size_t n = 0;
    bool quoted = *p == '"';
    p += quoted;
    while (*p != '\0' && (quoted || *p != '.')) {
        if (*p == '"' && (!quoted || p[1] != '"'))
            break;
        p += quoted && *p == '"'; /* "" */
        glob[n++] = *p == '*' && !quoted ? PATTERN_WILDCARD : *p;
        p++;
    }
    glob[n] = '\0';
    bool good = n > 0 && (!quoted || *p == '"');
    p += quoted && *p == '"';
    good = good && (*p == '.' || *p == '\0');
    *at = p;
    if (good)
        return glob;
    free(glob);
    return NULL;
}

/* Iterative: a star is retried one character further on a mismatch, only the last star counts. */
bool pattern_matches(const char *glob, const char *text)
{
    const char *star = NULL, *resume = NULL;
    while (*text != '\0') {
        if (*glob == PATTERN_WILDCARD) {
            star = glob++;
            resume = text;
        } else if (*glob == *text) {
            glob++;
            text++;
        } else if (star != NULL) {
            glob = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*glob == PATTERN_WILDCARD)
        glob++;
    return *glob == '\0';
}

bool pattern_is_literal(const char *glob)
{
    return strchr(glob, PATTERN_WILDCARD) == NULL;
}
