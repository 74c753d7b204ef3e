/* Owns: the SQL of aggregates and samples. See phrases.h. */
#include <inttypes.h>
#include <string.h>

#include "compare/semantic/phrases.h"

static void add_call(const struct phrases *p, const char *function, const char *name, struct strbuf *out)
{
    strbuf_addf(out, "%s(", function);
    phrase_column(p, name, out);
    strbuf_adds(out, ")");
}

static bool is_text(enum value_class of)
{
    return of == VALUE_TEXT || of == VALUE_CHAR || of == VALUE_OTHER;
}

static void add_extreme(const struct phrases *p, bool max, const char *name, enum value_class of,
                        struct strbuf *out)
{
    if (is_text(of))
        phrase_fill(p, max ? p->max_text : p->min_text, name, out);
    else
        add_call(p, max ? "max" : "min", name, out);
}

void phrase_measure(const struct phrases *p, enum measure measure, const char *name, enum value_class of,
                    struct strbuf *out)
{
    switch (measure) {
    case MEASURE_COUNT:
        add_call(p, "count", name, out);
        break;
    case MEASURE_NULLS:
        strbuf_adds(out, "count(*) - ");
        add_call(p, "count", name, out);
        break;
    case MEASURE_DISTINCT:
        strbuf_adds(out, "count(DISTINCT ");
        phrase_exact(p, name, of, out);
        strbuf_adds(out, ")");
        break;
    case MEASURE_SUM:
    case MEASURE_AVG: /* from the sum: engines round an average in their own ways */
        if (of == VALUE_SINGLE)
            phrase_fill(p, p->sum_single, name, out);
        else
            add_call(p, "sum", name, out);
        break;
    case MEASURE_MIN:
    case MEASURE_MAX:
        add_extreme(p, measure == MEASURE_MAX, name, of, out);
        break;
    case MEASURE_QUANTILES:
    case MEASURE_TOP:
        BUG("not a figure of one statement");
    }
}

void phrase_ranks(const struct subject *on, const char *name, const uint64_t *ranks, size_t count,
                  struct strbuf *out)
{
    strbuf_adds(out, "SELECT r.place, r.value FROM (SELECT ");
    phrase_column(on->phrases, name, out);
    strbuf_adds(out, " AS value, row_number() OVER (ORDER BY ");
    phrase_column(on->phrases, name, out);
    strbuf_adds(out, ") AS place");
    phrase_from(on, out);
    strbuf_adds(out, " WHERE ");
    phrase_column(on->phrases, name, out);
    strbuf_adds(out, " IS NOT NULL) AS r WHERE r.place IN (");
    for (size_t i = 0; i < count; i++)
        strbuf_addf(out, "%s%" PRIu64, i > 0 ? ", " : "", ranks[i]);
    strbuf_adds(out, ")");
}

void phrase_top(const struct subject *on, const char *name, enum value_class of, int64_t limit,
                struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    phrase_group_value(on->phrases, name, of, out);
    strbuf_adds(out, " AS value, count(*) AS row_count");
    phrase_from(on, out);
    strbuf_adds(out, " WHERE ");
    phrase_column(on->phrases, name, out);
    strbuf_adds(out, " IS NOT NULL GROUP BY ");
    phrase_exact(on->phrases, name, of, out);
    strbuf_addf(out, " ORDER BY count(*) DESC LIMIT %lld", (long long)limit);
}

void phrase_sample(const struct subject *on, char *const *columns, size_t column_count, double probability,
                   int64_t limit, struct strbuf *out)
{
    const struct phrases *p = on->phrases;
    for (size_t i = 0; i < column_count; i++) {
        strbuf_adds(out, i == 0 ? "SELECT " : ", ");
        phrase_column(p, columns[i], out);
    }
    phrase_from(on, out);
    if (probability < 1)
        strbuf_addf(out, " WHERE %s < %.9f", p->random, probability);
    strbuf_addf(out, " ORDER BY %s LIMIT %lld", p->random, (long long)limit);
}

void phrase_key_value(const struct phrases *p, enum value_class of, const char *text, struct strbuf *out)
{
    size_t len = strlen(text);
    struct strbuf plain = STRBUF_INIT(STRBUF_SQL_MAX);
    switch (of) {
    case VALUE_BOOL:
        strbuf_adds(out, text[0] == 't' || text[0] == '1' ? "true" : "false");
        break;
    case VALUE_BYTES:
        strbuf_addf(out, "%s%s%s", p->bytes_open, text + 2, p->bytes_close);
        break;
    case VALUE_TIME: /* the session is in UTC: a zone at the end says what is known, and not every engine reads it */
        strbuf_add(&plain, text, len > 3 && strcmp(text + len - 3, "+00") == 0 ? len - 3 : len);
        p->literal(out, plain.data);
        break;
    case VALUE_TEXT:
    case VALUE_NUMBER:
    case VALUE_FLOAT:
    case VALUE_SINGLE:
    case VALUE_CHAR:
    case VALUE_OTHER:
        p->literal(out, text);
        break;
    }
    strbuf_release(&plain);
}
