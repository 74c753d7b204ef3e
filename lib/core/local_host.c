/* Owns: which hosts are this machine. See local_host.h. */
#include "core/local_host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

bool host_is_local(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (host[0] == '\0' || host[0] == '/' || host[0] == '@' || strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool hosts_are_local(const char *hosts)
{
    for (;;) {
        char one[256]; /* longer than any name that can be looked up (RFC 1035: 255) */
        size_t len = strcspn(hosts, ",");
        bool path = hosts[0] == '/' || hosts[0] == '@';
        if (!path && len >= sizeof one)
            return false;
        if (!path) {
            memcpy(one, hosts, len);
            one[len] = '\0';
            if (!host_is_local(one))
                return false;
        }
        if (hosts[len] == '\0')
            return true;
        hosts += len + 1;
    }
}
