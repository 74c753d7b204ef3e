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
    int height;       /* lines; 0 = not limited */
};

void terminal_look(struct terminal *ret);
/* Text in that colour, or plain. */
void terminal_paint(const struct terminal *term, struct strbuf *out, enum color color, const char *text);
/* The text in lines that fit, each indented; nothing for "". */
void terminal_wrap(const struct terminal *term, struct strbuf *out, int indent, const char *text);
/* The text as it may be shown: what moves the cursor, colours, hides or turns text is made visible ("^[", "[U+202E]"); one line. */
void terminal_add_plain(struct strbuf *out, const char *text);
/* Columns that a text takes: no escape sequences, two for wide characters. */
int terminal_columns(const char *text);
/* The text, cut with "..." where it is longer, and filled with blanks to exactly so many columns. */
void terminal_add_cell(struct strbuf *out, const char *text, int columns);
/* [#####.....], so many columns with its brackets. share: 0 to 1 */
void terminal_add_bar(struct strbuf *out, double share, int columns);
/* Writes lines to stdout, each cut to the width (escape sequences do not count). */
void terminal_write(const struct terminal *term, const char *text);

/* "1,234,567" / "12.3 MB" / "1 h 02 min": appended. */
void human_count(struct strbuf *out, double n);
void human_bytes(struct strbuf *out, double n);
void human_seconds(struct strbuf *out, double s);

#endif
