/* Owns: how a command's document is written. */
#include "print_json.h"

#include <stdio.h>
#include <stdlib.h>

void cli_print_json(json_t *json)
{
    char *text = json_dumps(json, JSON_INDENT(2));
    puts(text != NULL ? text : "{}");
    free(text);
    json_decref(json);
}
