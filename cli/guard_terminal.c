/* Owns: what may reach a terminal. See guard_terminal.h. */
#include "guard_terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/strbuf.h"
#include "core/utf8.h"

#define PIECE_MAX 65536

struct guard {
    int fd;
    bool redraws;
    char rest[8]; /* a character or a sequence whose end has not been written yet */
    size_t rest_len;
};

/* Length of a sequence of ours at the text's beginning; 0 = none; -1 = it could become one. */
static int own_sequence(const struct guard *g, const char *text, size_t len)
{
    static const char *const colors[] = {"\033[0m",  "\033[1m",  "\033[2m",  "\033[7m",  "\033[31m",
                                         "\033[32m", "\033[33m", "\033[34m", "\033[36m", "\033[K"};
    static const char *const screen[] = {"\033[H", "\033[J", "\033[2J", "\033[?25l", "\033[?25h"};
    for (size_t i = 0; i < ARRAY_LEN(colors) + (g->redraws ? ARRAY_LEN(screen) : 0); i++) {
        const char *one = i < ARRAY_LEN(colors) ? colors[i] : screen[i - ARRAY_LEN(colors)];
        size_t n = strlen(one);
        if (len >= n && memcmp(text, one, n) == 0)
            return (int)n;
        if (len < n && memcmp(text, one, len) == 0)
            return -1;
    }
    return 0;
}

/* Of a character that stands at the text's beginning, as it may be shown. Returns how many bytes were taken, 0 = more are needed. */
static size_t show(const struct guard *g, const char *text, size_t len, bool last, struct strbuf *out)
{
    unsigned char c = (unsigned char)text[0];
    if (c == 033) {
        int own = own_sequence(g, text, len);
        if (own > 0)
            strbuf_add(out, text, (size_t)own);
        if (own > 0 || (own < 0 && !last))
            return own > 0 ? (size_t)own : 0;
    }
    if (c < 0x80) {
        /* "\r" is how a line of progress begins anew, right before it is cleared */
        bool anew = c == '\r' && len >= 3 && memcmp(text, "\r\033[", 3) == 0;
        if ((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t' || anew)
            strbuf_addc(out, (char)c);
        else
            strbuf_addf(out, "\\u%04x", c);
        return 1;
    }
    size_t n = utf8_char_len(text, len);
    if (n == 0 && !last && len < 4)
        return 0;
    if (n == 0)
        strbuf_adds(out, "\xef\xbf\xbd");
    else if (utf8_is_sly(utf8_code_point(text, n)))
        strbuf_addf(out, "\\u%04lx", utf8_code_point(text, n));
    else
        strbuf_add(out, text, n);
    return n == 0 ? 1 : n;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* At most PIECE_MAX bytes. */
static bool write_piece(struct guard *g, const char *bytes, size_t len)
{
    struct strbuf in = STRBUF_INIT(PIECE_MAX + sizeof g->rest), out = STRBUF_INIT(8 * PIECE_MAX);
    size_t at = 0;
    strbuf_add(&in, g->rest, g->rest_len);
    strbuf_add(&in, bytes, len);
    for (size_t n = 1; at < in.len && n > 0; at += n)
        n = show(g, in.data + at, in.len - at, in.len - at >= sizeof g->rest, &out);
    g->rest_len = in.len - at;
    memcpy(g->rest, in.data + at, g->rest_len);
    bool ok = write_all(g->fd, out.data, out.len);
    strbuf_release(&in);
    strbuf_release(&out);
    return ok;
}

/* For stdio less than all of it is an error. */
static ssize_t on_write(void *ctx, const char *bytes, size_t len)
{
    for (size_t at = 0, n; at < len; at += n) {
        n = len - at < PIECE_MAX ? len - at : PIECE_MAX;
        if (!write_piece(ctx, bytes + at, n))
            return -1;
    }
    return (ssize_t)len;
}

static FILE *guarded(FILE *file, struct guard *g, int mode)
{
    if (isatty(g->fd) != 1)
        return file;
    FILE *made = fopencookie(g, "w", (cookie_io_functions_t){.write = on_write});
    if (made == NULL || setvbuf(made, NULL, mode, BUFSIZ) != 0)
        abort(); /* no memory, before anything has begun */
    return made;
}

void guard_terminal(bool redraws)
{
    static struct guard out = {.fd = STDOUT_FILENO}, err = {.fd = STDERR_FILENO};
    out.redraws = err.redraws = redraws;
    stdout = guarded(stdout, &out, _IOLBF);
    stderr = guarded(stderr, &err, _IONBF);
}
