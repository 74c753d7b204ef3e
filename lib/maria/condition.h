/* Conditions that people write, to stand behind WHERE in a statement of ours on MariaDB. @thread any */
#ifndef MARIA_CONDITION_H
#define MARIA_CONDITION_H

#include "core/err.h"

#define MARIA_CONDITION_MAX 8192

/* Whether nothing of the text stands outside of the parentheses in "WHERE (text\n)", with backslash escapes and without ANSI_QUOTES as
 * our sessions have it: quotes, parentheses and comments are closed, there is no ';', and no comment that the server executes. It
 * holds none of the words that lock, write or act on a sequence, nor functions of the clock and of chance. ERR_CONFIG says what is wrong, without the
 * text. Whether it is an expression, only the server knows: between parentheses it takes nothing else. */
bool maria_condition_check(const char *text, struct err *err) MUST_CHECK;

#endif
