/* What the output can show: colours, width; and numbers as people read them. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include "core/strbuf.h"

enum color { COLOR_PLAIN = 0, COLOR_GREEN, COLOR_YELLOW, COLOR_RED, COLOR_BOLD };

struct terminal {
    bool is_terminal; /* stdout */
    bool colors;      /* terminal, TERM not dumb and no NO_COLOR */
    bool redraws;     /* what is written goes over what stands there: the rest of each line is cleared */
    int width;        /* columns; 0 = not limited */
};

void terminal_look(struct terminal *ret);
/* Text in that colour, or plain. */
void terminal_paint(const struct terminal *term, struct strbuf *out, enum color color, const char *text);
/* The text in lines that fit, each indented; nothing for "". */
void terminal_wrap(const struct terminal *term, struct strbuf *out, int indent, const char *text);
/* Writes lines to stdout, each cut to the width (escape sequences do not count). */
void terminal_write(const struct terminal *term, const char *text);

/* "1,234,567" / "12.3 MB" / "1 h 02 min": appended. */
void human_count(struct strbuf *out, double n);
void human_bytes(struct strbuf *out, double n);
void human_seconds(struct strbuf *out, double s);

#endif
