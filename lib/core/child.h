/*
 * Commands of the configuration and programs of ours as child processes: their input at hand, their output kept up to a limit, ended with
 * all their children when they take too long. @thread any; blocks until the child has ended
 */
#ifndef CORE_CHILD_H
#define CORE_CHILD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/err.h"
#include "core/strbuf.h"

#define CHILD_OUTPUT_MAX ((size_t)8192)

struct child_order {
    const char *command;     /* for /bin/sh -c; NULL: argv */
    const char *const *argv; /* program and arguments, NULL-terminated; argv[0] is a path */
    const char *const *more; /* "NAME=value", NULL-terminated: hide those of ours; NULL = none */
    const char *hidden;      /* others of our environment that begin so are not passed on; NULL = all are */
    const char *input;       /* its standard input */
    int64_t timeout_ms;      /* 0 = it may take as long as it likes */
    int stop_fd;             /* once readable, it gets SIGTERM; -1 = none */
};

struct child_end {
    int status;         /* as waitpid() has it */
    bool late;          /* it was ended at timeout_ms */
    struct strbuf said; /* standard output and error; child_end_release() */
    size_t more_bytes;  /* said beyond CHILD_OUTPUT_MAX */
};

/* False: it could not be started. Else it has ended, in whatever way. */
bool child_run(const struct child_order *order, struct child_end *ret, struct err *err) MUST_CHECK;
/* One that may outlive us: in a session of its own, with our standard error, no standard output, and as its descriptor CHILD_SOCKET_FD one end of a
 * socket, which tells either side when the other has gone. *ret_fd: our end. The caller waits for it. Of the order, argv, more, hidden and input count. */
#define CHILD_SOCKET_FD 3
bool child_start_apart(const struct child_order *order, pid_t *ret_pid, int *ret_fd,
                       struct err *err) MUST_CHECK;
void child_end_release(struct child_end *end);
/* "exit code 3", "ended by signal 9", "not done after 500 ms"; returns out. */
#define CHILD_TEXT_MAX 80
const char *child_end_text(const struct child_end *end, int64_t timeout_ms, char out[CHILD_TEXT_MAX]);
bool child_ended_well(const struct child_end *end);
/* The next line of what it said, without control characters; NULL behind the last. *rest: end->said.data at first. */
char *child_line(char **rest);

#endif
