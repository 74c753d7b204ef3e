/*
 * Who may ask a role for what: names of hosts that can only mean us, bearer tokens, how often an address may ask. Without sockets.
 * @thread: one at a time, unless it says otherwise
 */
#ifndef CONTROL_HTTP_GUARD_H
#define CONTROL_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

/* --- Host --- */

/* Whether the value of a Host header is `listen_host` (that the server was told to listen at) or a name that can only mean this machine. A page
 * whose name somebody's DNS has made to point here (rebinding) is of the same origin for its browser, but its name stays in Host. Pure. */
bool http_host_is_ours(const char *listen_host, const char *host);
/* "127.0.0.1", "::1", "localhost": others on the network cannot reach it. Pure. */
bool http_host_is_loopback(const char *host);

/* --- tokens --- */

#define HTTP_TOKEN_MIN 16
#define HTTP_TOKEN_MAX 512

struct http_tokens;

/*
 * A file of bearer tokens, a line each: "name token", or a token alone (its name is "default"); lines that begin with '#' and empty ones do
 * not count. The first is the one that our own commands use. Tokens are 16 to 512 printable characters without blanks; names as [A-Za-z0-9_.@-]{1,64}.
 * ERR_CONFIG: it is not there, has no token, or others than its owner and group may read it. Held as SHA-256 only.
 */
bool http_tokens_read(const char *path, struct http_tokens **ret, struct err *err) MUST_CHECK;
void http_tokens_free(struct http_tokens *tokens); /* NULL allowed */
/* The name of this token, NULL if there is none. Compares with all, in a time that does not depend on what is equal. */
const char *http_tokens_find(const struct http_tokens *tokens, const char *token);
/* The first token of such a file; malloc'd. */
bool http_token_first(const char *path, char **ret, struct err *err) MUST_CHECK;

/* --- how often --- */

#define HTTP_PEERS_MAX 64

struct http_pace {
    double per_s, burst;
    struct {
        unsigned char ip[16];
        double left;
        int64_t at_us; /* 0 = free */
    } peers[HTTP_PEERS_MAX];
};

/* May this address (IPv6; IPv4 mapped into it) once more? Of IPv6 the first 64 bits count. Where more addresses come than it knows, the one that
 * was silent for longest is forgotten. */
bool http_pace_take(struct http_pace *pace, const unsigned char ip[16], int64_t now_us);

#endif
