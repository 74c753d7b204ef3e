/* See script.h. */
#include "maria/script.h"

#include <string.h>

#include "core/alloc.h"

char *maria_script_next(const char **script)
{
    while (**script != '\0') {
        const char *begin = *script, *end = strstr(begin, ";\n");
        size_t len = end != NULL ? (size_t)(end - begin) : strlen(begin);
        *script = begin + len + (end != NULL ? 2 : 0);
        if (strspn(begin, " \n") < len)
            return xstrndup(begin, len);
    }
    return NULL;
}
