/* Scripts of several statements, each with ";" at the end of its last line. @thread any */
#ifndef MARIA_SCRIPT_H
#define MARIA_SCRIPT_H

/* The next statement (malloc'd), and *script behind it; NULL = there is none. */
char *maria_script_next(const char **script);

#endif
