/* Reads the usage lines of the command table: alternatives are divided by '|' outside of brackets. */
#include "completion_words.h"

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

/* One alternative of a usage. */
static void take_alternative(const char *p, const char *first, struct strbuf *out)
{
    size_t len = verb_at(&p);
    if (len == 0)
        return;
    if (first == NULL) {
        add_word(out, p, len);
        return;
    }
    if (strlen(first) != len || strncmp(first, p, len) != 0 || p[len] != ' ')
        return;
    p += len + 1;
    len = verb_at(&p);
    if (len > 0)
        add_word(out, p, len);
}

void completion_verbs(const struct command *command, const char *first, struct strbuf *out)
{
    int depth = 0;
    const char *begin = command->usage;
    for (const char *p = begin;; p++) {
        depth += (*p == '[' || *p == '{') - (*p == ']' || *p == '}');
        if (*p != '\0' && !(depth == 0 && strncmp(p, " | ", 3) == 0))
            continue;
        char one[400];
        size_t len = (size_t)(p - begin);
        if (len < sizeof one) {
            memcpy(one, begin, len);
            one[len] = '\0';
            take_alternative(one, first, out);
        }
        if (*p == '\0')
            return;
        begin = p += 3;
    }
}

void completion_choices(const char *choices, struct strbuf *out)
{
    for (; *choices != '\0'; choices++)
        strbuf_addc(out, *choices == '|' ? ' ' : *choices);
}
