/* Whether a person means this database: by --confirm, or asked at the terminal. */
#ifndef CLI_CUTOVER_CONFIRM_H
#define CLI_CUTOVER_CONFIRM_H

#include <stdbool.h>

/* given: --confirm, NULL = not given. Without it the name is asked for, if stdin and stderr are a terminal; stop_fd ends the asking (-1 = none). */
bool cutover_confirmed(const char *given, const char *database, int stop_fd);

/* The same for any name and question ("This removes … \"shop\"."). */
bool name_confirmed(const char *given, const char *name, const char *question, int stop_fd);

#endif
