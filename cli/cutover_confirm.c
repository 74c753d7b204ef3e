/* See cutover_confirm.h. */
#include "cutover_confirm.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"

#define NAME_MAX_BYTES 256

/* A line of the terminal; false when the person has ended it. */
static bool read_line(char out[NAME_MAX_BYTES], int stop_fd)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
    if (poll(fds, 2, -1) <= 0 || fds[1].revents != 0 || fds[0].revents == 0)
        return false;
    ssize_t n = read(STDIN_FILENO, out, NAME_MAX_BYTES - 1); /* a terminal gives a whole line */
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    return n > 0;
}

bool name_confirmed(const char *given, const char *name, const char *question, int stop_fd)
{
    char typed[NAME_MAX_BYTES];
    if (given != NULL)
        return strcmp(given, name) == 0;
    if (isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0)
        return false;
    (void)fprintf(stderr, "%s Type its name to go on: ", question);
    (void)fflush(stderr);
    return read_line(typed, stop_fd) && strcmp(typed, name) == 0;
}

bool cutover_confirmed(const char *given, const char *database, int stop_fd)
{
    char *question CLEANUP(free_ptr) =
        xasprintf("This moves the application away from database \"%s\".", database);
    return name_confirmed(given, database, question, stop_fd);
}
