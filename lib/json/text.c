/* Owns: texts and numbers of ours as JSON. See text.h. */
#include "json/text.h"

#include <stdlib.h>

#include "core/alloc.h"
#include "core/utf8.h"

json_t *json_text(const char *text)
{
    if (text == NULL)
        return json_null();
    json_t *json = json_string(text);
    if (json != NULL)
        return json;
    char *copy = xstrdup(text);
    utf8_make_valid(copy);
    json = json_string(copy);
    free(copy);
    return json != NULL ? json : json_null();
}

json_t *json_text_or_null(const char *text)
{
    return json_text(text != NULL && text[0] == '\0' ? NULL : text);
}

json_t *json_amount(uint64_t n)
{
    return json_integer((json_int_t)n);
}
