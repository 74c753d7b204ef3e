/* Terminal output. */
#include "terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void terminal_look(struct terminal *ret)
{
    struct winsize size = {0};
    const char *no_color = getenv("NO_COLOR");
    const char *type = getenv("TERM");
    ret->is_terminal = isatty(STDOUT_FILENO) == 1;
    ret->colors = ret->is_terminal && (no_color == NULL || *no_color == '\0') && type != NULL &&
                  strcmp(type, "dumb") != 0;
    ret->redraws = false;
    ret->width = 0;
    if (ret->is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        ret->width = size.ws_col;
}

void terminal_paint(const struct terminal *term, struct strbuf *out, enum color color, const char *text)
{
    static const char *const codes[] = {[COLOR_PLAIN] = "",
                                        [COLOR_GREEN] = "\033[32m",
                                        [COLOR_YELLOW] = "\033[33m",
                                        [COLOR_RED] = "\033[31m",
                                        [COLOR_BOLD] = "\033[1m"};
    if (!term->colors || color == COLOR_PLAIN)
        strbuf_adds(out, text);
    else
        strbuf_addf(out, "%s%s\033[0m", codes[color], text);
}

/* Length in bytes of what fits into `width` columns; UTF-8 continuation bytes and escape sequences take none.
 */
static size_t fitting(const char *line, size_t len, int width)
{
    int column = 0;
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '\033') {
            while (i < len && line[i] != 'm')
                i++;
        } else if (((unsigned char)line[i] & 0xc0) != 0x80 && ++column > width) {
            return i;
        }
    }
    return len;
}

/* Bytes of the next line: up to the last blank that fits, or a whole word that does not. */
static size_t next_line(const char *text, int width)
{
    size_t len = strlen(text), fits = width > 0 ? fitting(text, len, width) : len;
    if (fits == len)
        return len;
    for (size_t i = fits; i > 0; i--) {
        if (text[i] == ' ')
            return i;
    }
    return strcspn(text, " ");
}

void terminal_wrap(const struct terminal *term, struct strbuf *out, int indent, const char *text)
{
    int width = term->width > indent + 10 ? term->width - indent : term->width > 0 ? 10 : 0;
    while (*text != '\0') {
        size_t len = next_line(text, width);
        strbuf_addf(out, "%*s", indent, "");
        strbuf_add(out, text, len);
        strbuf_addc(out, '\n');
        text += len;
        text += strspn(text, " ");
    }
}

void terminal_write(const struct terminal *term, const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        size_t shown = term->width > 0 ? fitting(text, len, term->width) : len;
        (void)fwrite(text, 1, shown, stdout);
        if (shown < len && term->colors)
            (void)fputs("\033[0m", stdout);
        if (term->redraws)
            (void)fputs("\033[K", stdout);
        text += len;
        if (*text == '\n') {
            (void)putchar('\n');
            text++;
        }
    }
}

void human_count(struct strbuf *out, double n)
{
    char digits[40];
    int len = snprintf(digits, sizeof digits, "%.0f", n);
    for (int i = 0; i < len; i++) {
        strbuf_addc(out, digits[i]);
        int left = len - i - 1;
        if (left > 0 && left % 3 == 0 && digits[i] != '-')
            strbuf_addc(out, ',');
    }
}

void human_bytes(struct strbuf *out, double n)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    size_t unit = 0;
    while (n >= 1000 && unit + 1 < sizeof units / sizeof units[0]) {
        n /= 1000;
        unit++;
    }
    strbuf_addf(out, unit == 0 ? "%.0f %s" : "%.1f %s", n, units[unit]);
}

void human_seconds(struct strbuf *out, double s)
{
    long whole = (long)(s + 0.5);
    if (s < 10)
        strbuf_addf(out, "%.1f s", s);
    else if (whole < 120)
        strbuf_addf(out, "%ld s", whole);
    else if (whole < 7200)
        strbuf_addf(out, "%ld min %02ld s", whole / 60, whole % 60);
    else
        strbuf_addf(out, "%ld h %02ld min", whole / 3600, whole / 60 % 60);
}
