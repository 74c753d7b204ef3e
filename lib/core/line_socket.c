/* Owns: what is asked of and done to a socket that is somebody else's. See line_socket.h. */
#include "core/line_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define STUCK_RETRIES 3 /* sent again for the third time: a second and a half, at least */

struct line_socket line_socket_of(int fd)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return (struct line_socket){.fd = -1};
    return (struct line_socket){.fd = fd, .device = st.st_dev, .inode = st.st_ino};
}

bool line_socket_is_there(const struct line_socket *s)
{
    struct stat st;
    return s->fd >= 0 && fstat(s->fd, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode;
}

bool line_socket_is_stuck(const struct line_socket *s)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    return line_socket_is_there(s) && getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
           info.tcpi_retransmits >= STUCK_RETRIES;
}

void line_socket_break(const struct line_socket *s)
{
    if (line_socket_is_there(s))
        (void)shutdown(s->fd, SHUT_RDWR);
}
