/*
 * A connection's socket as somebody else than its owner may look at it: by what it is, not by its number alone, which is another connection's
 * as soon as a library has closed it by itself, after an error. @thread any
 */
#ifndef CORE_LINE_SOCKET_H
#define CORE_LINE_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

struct line_socket {
    int fd; /* -1: none */
    uint64_t device, inode;
};

/* fd -1 allowed. */
struct line_socket line_socket_of(int fd);
/* False: it was closed, and the number is nobody's or another one's. */
bool line_socket_is_there(const struct line_socket *socket);
/* TCP: what was sent there was sent again and again without an answer. A new connection there would have to wait, too. */
bool line_socket_is_stuck(const struct line_socket *socket);
/* Whoever waits for it gets an error, at once and without a word to the network; closing is its owner's. */
void line_socket_break(const struct line_socket *socket);

#endif
