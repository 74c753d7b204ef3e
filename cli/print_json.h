/* A document of a command on stdout, as --json asks for it. */
#ifndef CLI_PRINT_JSON_H
#define CLI_PRINT_JSON_H

#include <jansson.h>

/* Indented, with a newline; takes the reference. "{}" where it is not one. @thread owner */
void cli_print_json(json_t *json);

#endif
