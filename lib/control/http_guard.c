/* Owns: tokens at rest in memory; the rest is pure. See http_guard.h. */
#include "control/http_guard.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "core/alloc.h"
#include "core/seal.h"

#define TOKEN_FILE_MAX ((size_t)64 << 10)
#define TOKENS_MAX     64
#define NAME_MAX_LEN   64

/* --- Host --- */

/* Without port and brackets. False: it does not read. */
static bool host_name(const char *host, char *out, size_t size)
{
    const char *end = host[0] == '[' ? strchr(host, ']') : host + strcspn(host, ":");
    const char *begin = host + (host[0] == '[');
    if (end == NULL || (size_t)(end - begin) >= size)
        return false;
    (void)snprintf(out, size, "%.*s", (int)(end - begin), begin);
    return true;
}

bool http_host_is_loopback(const char *host)
{
    struct in_addr ip4;
    struct in6_addr ip6;
    if (inet_pton(AF_INET, host, &ip4) == 1)
        return ntohl(ip4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &ip6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&ip6);
    return strcasecmp(host, "localhost") == 0;
}

bool http_host_is_ours(const char *listen_host, const char *host)
{
    char name[256];
    return host != NULL && host_name(host, name, sizeof name) &&
           (http_host_is_loopback(name) || strcasecmp(name, listen_host) == 0);
}

/* --- tokens --- */

struct token {
    char name[NAME_MAX_LEN + 1];
    char digest[SHA256_HEX];
};

struct http_tokens {
    size_t count;
    struct token tokens[TOKENS_MAX];
};

static bool read_all(const char *path, char **ret, struct err *err)
{
    struct stat st;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return err_set(err, ERR_CONFIG, "control.token_file: %s cannot be read: %s", path, strerror(errno));
    char *text = xcalloc(1, TOKEN_FILE_MAX + 1);
    size_t len = fread(text, 1, TOKEN_FILE_MAX, file);
    bool whole = !ferror(file) && fgetc(file) == EOF, statted = fstat(fileno(file), &st) == 0;
    (void)fclose(file);
    if (!whole || strlen(text) != len)
        err_set(err, ERR_CONFIG, "control.token_file: %s is no text of up to 64 KiB", path);
    else if (!statted || (S_ISREG(st.st_mode) && (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) != 0))
        err_set(err, ERR_CONFIG,
                "control.token_file: others may read %s, or its group may write it: chmod 0600 (or 0440) %s",
                path, path);
    else
        return *ret = text, true;
    free(text);
    return false;
}

static bool name_fits(const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr("_.@-", *p) == NULL)
            return false;
    }
    return *name != '\0' && strlen(name) <= NAME_MAX_LEN;
}

static bool token_fits(const char *token)
{
    size_t len = strlen(token);
    for (const char *p = token; *p != '\0'; p++) {
        if (!isgraph((unsigned char)*p))
            return false;
    }
    return len >= HTTP_TOKEN_MIN && len <= HTTP_TOKEN_MAX;
}

/* The next line with something in it, divided; false at the end. *ret_name NULL: the line is no token. */
static bool next_line(char **rest, int *line, const char **ret_name, const char **ret_token)
{
    for (char *text; (text = strsep(rest, "\n")) != NULL;) {
        char *save = NULL;
        ++*line;
        char *first = strtok_r(text, " \t\r", &save), *second = strtok_r(NULL, " \t\r", &save);
        if (first == NULL || first[0] == '#')
            continue;
        *ret_name = second != NULL ? first : "default";
        *ret_token = second != NULL ? second : first;
        if (strtok_r(NULL, " \t\r", &save) != NULL || !name_fits(*ret_name) || !token_fits(*ret_token))
            *ret_name = NULL;
        return true;
    }
    return false;
}

static bool bad_line(const char *path, int line, struct err *err)
{
    return err_set(
        err, ERR_CONFIG,
        "control.token_file: %s, line %d: expected \"name token\" with a token of %d to %d printable "
        "characters, such as `openssl rand -hex 32` makes",
        path, line, HTTP_TOKEN_MIN, HTTP_TOKEN_MAX);
}

static bool add_token(struct http_tokens *tokens, const char *name, const char *token, struct err *err)
{
    if (tokens->count == TOKENS_MAX)
        return err_set(err, ERR_CONFIG, "control.token_file: more than %d tokens", TOKENS_MAX);
    struct token *t = &tokens->tokens[tokens->count++];
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    return sha256_hex(token, strlen(token), t->digest) ||
           err_set(err, ERR_NO_MEMORY, "no memory for a token");
}

static bool read_lines(const char *path, char *text, struct http_tokens *tokens, struct err *err)
{
    const char *name = NULL, *token = NULL;
    int line = 0;
    while (next_line(&text, &line, &name, &token)) {
        if (name == NULL)
            return bad_line(path, line, err);
        if (!add_token(tokens, name, token, err))
            return false;
    }
    return tokens->count > 0 || err_set(err, ERR_CONFIG, "control.token_file: %s has no token", path);
}

/* What was read may be a secret: it does not stay in freed memory. */
static void forget(char *text, size_t size)
{
    volatile char *p = text;
    for (size_t i = 0; i < size; i++)
        p[i] = '\0';
    free(text);
}

bool http_tokens_read(const char *path, struct http_tokens **ret, struct err *err)
{
    char *text = NULL;
    if (!read_all(path, &text, err))
        return false;
    struct http_tokens *tokens = xcalloc(1, sizeof *tokens);
    bool ok = read_lines(path, text, tokens, err);
    forget(text, TOKEN_FILE_MAX);
    if (ok)
        *ret = tokens;
    else
        free(tokens);
    return ok;
}

bool http_token_first(const char *path, char **ret, struct err *err)
{
    char *text = NULL;
    const char *name = NULL, *token = NULL;
    int line = 0;
    if (!read_all(path, &text, err))
        return false;
    char *rest = text;
    bool ok = next_line(&rest, &line, &name, &token);
    if (!ok)
        err_set(err, ERR_CONFIG, "control.token_file: %s has no token", path);
    else if (name == NULL)
        ok = bad_line(path, line, err);
    else
        *ret = xstrdup(token);
    forget(text, TOKEN_FILE_MAX);
    return ok;
}

void http_tokens_free(struct http_tokens *tokens)
{
    free(tokens);
}

const char *http_tokens_find(const struct http_tokens *tokens, const char *token)
{
    char digest[SHA256_HEX];
    const char *found = NULL;
    if (strlen(token) > HTTP_TOKEN_MAX || !sha256_hex(token, strlen(token), digest))
        return NULL;
    for (size_t i = 0; i < tokens->count; i++) {
        volatile unsigned char differs = 0;
        for (size_t k = 0; k < sizeof digest; k++)
            differs |= (unsigned char)(digest[k] ^ tokens->tokens[i].digest[k]);
        if (differs == 0)
            found = tokens->tokens[i].name;
    }
    return found;
}

/* --- how often --- */

static size_t peer_of(struct http_pace *pace, const unsigned char ip[16], int64_t now_us)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    size_t len = memcmp(ip, mapped, sizeof mapped) == 0 ? 16 : 8, oldest = 0;
    for (size_t i = 0; i < HTTP_PEERS_MAX; i++) {
        if (pace->peers[i].at_us != 0 && memcmp(pace->peers[i].ip, ip, len) == 0)
            return i;
        if (pace->peers[i].at_us < pace->peers[oldest].at_us)
            oldest = i;
    }
    memset(pace->peers[oldest].ip, 0, 16);
    memcpy(pace->peers[oldest].ip, ip, len);
    pace->peers[oldest].left = pace->burst;
    pace->peers[oldest].at_us = now_us;
    return oldest;
}

bool http_pace_take(struct http_pace *pace, const unsigned char ip[16], int64_t now_us)
{
    size_t i = peer_of(pace, ip, now_us);
    double left = pace->peers[i].left + (double)(now_us - pace->peers[i].at_us) / 1e6 * pace->per_s;
    pace->peers[i].at_us = now_us;
    pace->peers[i].left = MIN_OF(left, pace->burst);
    if (pace->peers[i].left < 1)
        return false;
    pace->peers[i].left -= 1;
    return true;
}
