/*
 * What databases call their things, and rows, come to a terminal through many commands. Where stdout or stderr is one, nothing reaches it that it would obey
 * but what we say ourselves: control characters, C1 and marks that reorder text are shown as \\u001b (which in JSON text is what it was). Let through:
 * lines' ends, tabs, the colors of terminal.h, and, of the commands that redraw, their sequences. What goes into a file or a pipe stays as it is.
 * @thread before others begin; then any
 */
#ifndef CLI_GUARD_TERMINAL_H
#define CLI_GUARD_TERMINAL_H

#include <stdbool.h>

/* redraws: the cursor may go home, too, and the screen be cleared. */
void guard_terminal(bool redraws);

#endif
