/* Reads the usage lines of the command table: alternatives are divided by '|' outside of brackets. */
#include "completion_words.h"

#include <stdio.h>
#include <string.h>

static const char verb_letters[] = "abcdefghijklmnopqrstuvwxyz-";

enum value_kind completion_value_kind(const char *value)
{
    if (value == NULL)
        return VALUE_NONE;
    if (strcmp(value, "FILE") == 0 || strcmp(value, "PLACE") == 0)
        return VALUE_FILE;
    if (strcmp(value, "FOLDER") == 0)
        return VALUE_FOLDER;
    bool choice = value[strspn(value, "abcdefghijklmnopqrstuvwxyz-|")] == '\0';
    return choice ? VALUE_CHOICE : VALUE_FREE;
}

/* The word at p if it is a verb; its length, else 0. "[run]" is one as well. */
static size_t verb_at(const char **p)
{
    bool bracket = **p == '[';
    const char *at = *p + bracket;
    size_t len = strspn(at, verb_letters);
    char end = at[len];
    if (len == 0 || *at == '-' || (bracket ? end != ']' : end != ' ' && end != '\0'))
        return 0;
    *p = at;
    return len;
}

static bool has_word(const struct strbuf *words, const char *word, size_t len)
{
    const char *end = words->data + words->len;
    for (const char *p = words->data; p < end; p += strcspn(p, " ") + 1) {
        if (strcspn(p, " ") == len && strncmp(p, word, len) == 0)
            return true;
    }
    return false;
}

static void add_word(struct strbuf *out, const char *word, size_t len)
{
    if (has_word(out, word, len))
        return;
    if (out->len > 0)
        strbuf_addc(out, ' ');
    strbuf_add(out, word, len);
}

/* One alternative of a usage, of len bytes. */
static void take_alternative(const char *text, size_t len, const char *first, struct strbuf *out)
{
    char one[400];
    const char *p = one;
    (void)snprintf(one, sizeof one, "%.*s", (int)len, text);
    size_t verb = verb_at(&p);
    if (verb == 0)
        return;
    if (first == NULL) {
        add_word(out, p, verb);
        return;
    }
    if (strlen(first) != verb || strncmp(first, p, verb) != 0 || p[verb] != ' ')
        return;
    p += verb + 1;
    verb = verb_at(&p);
    if (verb > 0)
        add_word(out, p, verb);
}

/* "{pause | resume} [--json]" are two alternatives: a brace at the beginning of one. Elsewhere brackets hide what is in them. */
void completion_verbs(const struct command *command, const char *first, struct strbuf *out)
{
    const char *begin = command->usage;
    bool group = false, taken = false;
    int depth = 0;
    for (const char *p = begin;; p++) {
        if (p == begin && *p == '{') {
            group = true;
            begin++;
            continue;
        }
        if (group && depth == 0 && *p == '}') {
            take_alternative(begin, (size_t)(p - begin), first, out);
            group = false;
            taken = true; /* what follows belongs to all of them */
            continue;
        }
        depth += (*p == '[' || *p == '{') - (*p == ']' || *p == '}');
        if (*p != '\0' && (depth != 0 || strncmp(p, " | ", 3) != 0))
            continue;
        if (!taken)
            take_alternative(begin, (size_t)(p - begin), first, out);
        taken = false;
        if (*p == '\0')
            return;
        p += 2;
        begin = p + 1;
    }
}

void completion_choices(const char *choices, struct strbuf *out)
{
    for (; *choices != '\0'; choices++)
        strbuf_addc(out, *choices == '|' ? ' ' : *choices);
}
