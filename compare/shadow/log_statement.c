/* Owns: reading a log record's message and detail. See log_statement.h.
 * Forms (postgres.c: exec_simple_query, exec_execute_message, errdetail_params): "statement: SQL", "execute NAME: SQL",
 * "execute fetch from NAME: SQL" (the same portal again: no new run), each also behind "duration: 1.234 ms  ";
 * detail "parameters: $1 = 'text', $2 = NULL" ("Parameters:" from 16 on), quotes doubled, "..." behind a value that was cut. */
#include "log_statement.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"

#define PARAMS_MAX 1000

static bool skip(const char **p, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(*p, word, len) != 0)
        return false;
    *p += len;
    return true;
}

/* "duration: 0.123 ms  " and what comes behind; false if nothing does. */
static bool skip_duration(const char **p)
{
    if (!skip(p, "duration: "))
        return true;
    const char *end = strstr(*p, " ms");
    if (end == NULL || end[3] != ' ')
        return false;
    *p = end + 3 + strspn(end + 3, " ");
    return true;
}

/* Behind "execute ": the name of a statement or "<unnamed>", perhaps with "/portal", up to ": ". */
static bool skip_name(const char **p)
{
    const char *colon = strstr(*p, ": ");
    if (colon == NULL)
        return false;
    *p = colon + 2;
    return true;
}

static bool read_quoted(const char **p, char **ret, bool *ret_cut)
{
    struct strbuf value = STRBUF_INIT(LOG_RECORD_MAX);
    bool closed = false;
    for (++*p; **p != '\0'; ++*p) {
        if (**p == '\'' && (*p)[1] != '\'') {
            closed = true;
            ++*p;
            break;
        }
        *p += **p == '\'';
        strbuf_addc(&value, **p);
    }
    *ret_cut = *ret_cut || (value.len >= 3 && strcmp(value.data + value.len - 3, "...") == 0);
    *ret = strbuf_detach(&value);
    return closed;
}

static bool read_value(const char **p, char **ret, bool *ret_cut)
{
    if (skip(p, "NULL")) {
        *ret = NULL;
        return true;
    }
    return **p == '\'' && read_quoted(p, ret, ret_cut);
}

static bool read_params(const char *p, struct log_statement *st, bool *ret_cut)
{
    while (*p == '$') {
        char *end, *value = NULL;
        unsigned long number = strtoul(p + 1, &end, 10);
        p = end;
        if (number != st->param_count + 1 || number > PARAMS_MAX || !skip(&p, " = "))
            return false;
        bool good = read_value(&p, &value, ret_cut);
        st->params = xrealloc(st->params, (st->param_count + 1) * sizeof *st->params);
        st->params[st->param_count++] = value;
        if (!good || (*p != '\0' && !skip(&p, ", ")))
            return false;
    }
    return *p == '\0';
}

enum log_found log_statement_read(const struct log_record *record, struct log_statement *ret)
{
    const char *p = record->message, *d = record->detail;
    struct log_statement st = {0};
    bool cut = false;
    if (strcmp(record->severity, "LOG") != 0 || !skip_duration(&p))
        return LOG_NO_STATEMENT;
    if (skip(&p, "execute fetch from ") ||
        (!skip(&p, "statement: ") && !(skip(&p, "execute ") && skip_name(&p))))
        return LOG_NO_STATEMENT;
    if (strncasecmp(d, "prepare: ", 9) == 0)
        return LOG_SQL_EXECUTE;
    st.sql = p;
    if (strncasecmp(d, "parameters: ", 12) == 0 && !read_params(d + 12, &st, &cut)) {
        log_statement_release(&st);
        ret->sql = p;
        return LOG_BAD_PARAMETERS;
    }
    if (cut) {
        log_statement_release(&st);
        ret->sql = p;
        return LOG_CUT_PARAMETERS;
    }
    *ret = st;
    return LOG_STATEMENT;
}

void log_statement_release(struct log_statement *st)
{
    for (size_t i = 0; i < st->param_count; i++)
        free(st->params[i]);
    free(st->params);
    *st = (struct log_statement){0};
}
