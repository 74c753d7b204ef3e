/* Terminal output. */
#include "terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/utf8.h"

void terminal_look(struct terminal *ret)
{
    struct winsize size = {0};
    const char *no_color = getenv("NO_COLOR");
    const char *type = getenv("TERM");
    ret->is_terminal = isatty(STDOUT_FILENO) == 1;
    ret->colors = ret->is_terminal && (no_color == NULL || *no_color == '\0') && type != NULL &&
                  strcmp(type, "dumb") != 0;
    ret->redraws = false;
    ret->width = ret->height = 0;
    if (ret->is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
        ret->width = size.ws_col;
        ret->height = size.ws_row;
    }
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

static unsigned long code_point(const char *s, size_t n)
{
    unsigned long c = (unsigned char)s[0] & (n == 2 ? 0x1fU : n == 3 ? 0x0fU : 0x07U);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)s[i] & 0x3fU);
    return n == 1 ? (unsigned char)s[0] : c;
}

/* As terminals draw it, about: East Asian scripts and pictures take two, combining marks none. */
static int columns_of(unsigned long c)
{
    static const unsigned long wide[][2] = {
        {0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
        {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
    if ((c >= 0x300 && c <= 0x36f) || (c >= 0xfe00 && c <= 0xfe0f))
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(wide); i++) {
        if (c >= wide[i][0] && c <= wide[i][1])
            return 2;
    }
    return 1;
}

/* Length in bytes of what fits into `width` columns; escape sequences take none. */
static size_t fitting(const char *line, size_t len, int width)
{
    int column = 0;
    for (size_t i = 0; i < len;) {
        if (line[i] == '\033') {
            while (i < len && line[i] != 'm')
                i++;
            i += i < len;
            continue;
        }
        size_t n = utf8_char_len(line + i, len - i);
        column += columns_of(code_point(line + i, n > 0 ? n : 1));
        if (column > width)
            return i;
        i += n > 0 ? n : 1;
    }
    return len;
}

int terminal_columns(const char *text)
{
    size_t len = strlen(text);
    int columns = 0;
    while (fitting(text, len, columns) < len)
        columns++;
    return columns;
}

static bool is_sly(unsigned long c)
{
    return (c >= 0x80 && c < 0xa0) || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

void terminal_add_plain(struct strbuf *out, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        size_t n = utf8_char_len(text + i, len - i);
        unsigned long c = n > 0 ? code_point(text + i, n) : 0xfffd;
        if (n == 0)
            strbuf_addc(out, '?');
        else if (c < 0x20 || c == 0x7f)
            strbuf_addf(out, "^%c", (int)(c ^ 0x40));
        else if (is_sly(c))
            strbuf_addf(out, "[U+%04lX]", c);
        else
            strbuf_add(out, text + i, n);
        i += n > 0 ? n : 1;
    }
}

void terminal_add_cell(struct strbuf *out, const char *text, int columns)
{
    size_t len = strlen(text), fits = fitting(text, len, columns);
    if (fits < len && columns > 3)
        fits = fitting(text, len, columns - 3);
    char *shown = xasprintf("%.*s%s", (int)fits, text, fits < len && columns > 3 ? "..." : "");
    strbuf_addf(out, "%s%*s", shown, columns - terminal_columns(shown), "");
    free(shown);
}

void terminal_add_bar(struct strbuf *out, double share, int columns)
{
    int cells = columns - 2, filled = share >= 1 ? cells : share > 0 ? (int)(share * cells) : 0;
    strbuf_addc(out, '[');
    for (int i = 0; i < cells; i++)
        strbuf_addc(out, i < filled ? '#' : '.');
    strbuf_addc(out, ']');
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

/* Numbers may come from whatever listens at a role's address. */
static double within(double n, double most)
{
    return n >= -most && n <= most ? n : n > 0 ? most : -most;
}

void human_count(struct strbuf *out, double n)
{
    char digits[40];
    n = within(n, 1e18);
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
    n = within(n, 1e21);
    while (n >= 1000 && unit + 1 < sizeof units / sizeof units[0]) {
        n /= 1000;
        unit++;
    }
    strbuf_addf(out, unit == 0 ? "%.0f %s" : "%.1f %s", n, units[unit]);
}

void human_seconds(struct strbuf *out, double s)
{
    s = within(s, 1e12);
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
