/*
 * Owns the sequences of a cutover: the gate that tells before the pause what would fail in it, and the step that sets them behind the
 * freeze, so that the values are final. A sequence's twin is the one that the same column of the target owns, else the one of that name.
 * last_value on the source has in it what sessions have cached (a session takes CACHE values at once), so nothing behind it was ever
 * handed out, whatever the direction.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "cutover/gates.h"
#include "cutover/prepare/prepare.h"
#include "sequence_list.h"
#include "sql/embedded.h"

struct faults {
    size_t missing, denied, differs;
    struct strbuf statements;
};

static bool look_at_twins(struct cutover *co, const struct sequence_list *list, size_t from, size_t count,
                          struct faults *faults, struct err *err)
{
    struct strbuf abouts = STRBUF_INIT(STRBUF_SQL_MAX);
    PG_RESULT_AUTO res = NULL;
    sequence_abouts(list, from, count, &abouts);
    const char *params[] = {abouts.data};
    bool ok = strbuf_ok(&abouts, "sequences", err) &&
              pg_query(co->target, embedded_sql_cutover_sequence_twins_sql, 1, params, &res, err);
    strbuf_release(&abouts);
    for (int i = 0; ok && i < pg_rows(res); i++) {
        const char *kind = pg_cell(res, i, 0);
        faults->missing += strcmp(kind, "missing") == 0;
        faults->denied += strcmp(kind, "denied") == 0;
        faults->differs += strcmp(kind, "differs") == 0;
        strbuf_addf(&faults->statements, "%s;\n", pg_cell(res, i, 2));
    }
    return ok ? true : err_wrap(err, "sequences of the target");
}

static bool look_at_all(struct cutover *co, struct sequence_list *list, struct faults *faults,
                        struct err *err)
{
    if (!sequence_list_read(co, list, err))
        return false;
    for (size_t from = 0; from < list->count; from += SEQUENCES_AT_ONCE) {
        if (!look_at_twins(co, list, from, MIN_OF(SEQUENCES_AT_ONCE, list->count - from), faults, err))
            return false;
    }
    return strbuf_ok(&faults->statements, "statements for sequences", err);
}

bool gate_sequences(struct cutover *co, struct gate_result *gate)
{
    struct faults faults = {.statements = STRBUF_INIT(PREPARE_STATEMENTS_MAX)};
    struct sequence_list list;
    struct err failed = ERR_INIT;
    gate_limit(gate, "all on the target, with the same step and range");
    bool looked = look_at_all(co, &list, &faults, &failed);
    gate_measured(gate, "%zu sequences; on the target %zu are missing, %zu differ, %zu may not be set",
                  list.count, faults.missing, faults.differs, faults.denied);
    co->sequence_count = list.count;
    if (!looked)
        (void)gate_unmeasured(gate, &failed);
    else if (faults.statements.len > 0)
        gate_refuse_with(gate, "on the target", &faults.statements);
    strbuf_release(&faults.statements);
    sequence_list_release(&list);
    return true;
}

struct batch {
    int64_t values[SEQUENCES_AT_ONCE];
    bool called[SEQUENCES_AT_ONCE];
    size_t from, count;
};

static void add_arrays(const struct batch *b, struct strbuf *values, struct strbuf *called)
{
    for (size_t i = 0; i < b->count; i++) {
        pg_array_int64(values, i, b->values[i]);
        strbuf_addf(called, "%c%c", i == 0 ? '{' : ',', b->called[i] ? 't' : 'f');
    }
    pg_array_end(values, b->count);
    pg_array_end(called, b->count);
}

static bool take_twins(struct cutover *co, struct sequence_list *list, const struct batch *b,
                       const struct pg_result *res, struct err *err)
{
    for (size_t i = 0; i < b->count; i++) {
        struct sequence *s = &list->items[b->from + i];
        if (pg_is_null(res, (int)i, 0))
            return err_set(err, ERR_REFUSED,
                           "sequence=%s.%s is not on the target: it was made since the gates were asked",
                           s->schema, s->name);
        s->value = b->values[i];
        s->called = b->called[i];
        s->twin_schema = xstrdup(pg_cell(res, (int)i, 0));
        s->twin_name = xstrdup(pg_cell(res, (int)i, 1));
        co->report->sequences_kept += !pg_cell_bool(res, (int)i, 2);
    }
    return true;
}

static bool set_batch(struct cutover *co, struct sequence_list *list, const struct batch *b, struct err *err)
{
    struct strbuf abouts = STRBUF_INIT(STRBUF_SQL_MAX), values = STRBUF_INIT(STRBUF_SQL_MAX),
                  called = STRBUF_INIT(STRBUF_SQL_MAX);
    PG_RESULT_AUTO res = NULL;
    sequence_abouts(list, b->from, b->count, &abouts);
    add_arrays(b, &values, &called);
    const char *params[] = {abouts.data, values.data, called.data};
    bool ok = strbuf_ok(&abouts, "sequences", err) && strbuf_ok(&values, "values", err) &&
              strbuf_ok(&called, "values", err) &&
              pg_query(co->target, embedded_sql_cutover_sequence_set_sql, 3, params, &res, err) &&
              take_twins(co, list, b, res, err);
    strbuf_release(&abouts);
    strbuf_release(&values);
    strbuf_release(&called);
    return ok;
}

static bool descends(const struct sequence *s)
{
    const char *inc = strstr(s->about, "\"inc\": ");
    return inc != NULL && inc[strlen("\"inc\": ")] == '-';
}

/* Never behind; exactly there unless it stood further on before. */
static bool stands_right(const struct sequence *s, int64_t value, bool called)
{
    bool further = descends(s) ? value < s->value : value > s->value;
    return further || (value == s->value && (called || !s->called));
}

static bool read_back(struct cutover *co, const struct sequence_list *list, struct batch *b, struct err *err)
{
    if (!sequence_values(co->target, list, b->from, b->count, true, b->values, b->called, err))
        return err_wrap(err, "target");
    for (size_t i = 0; i < b->count; i++) {
        const struct sequence *s = &list->items[b->from + i];
        if (!stands_right(s, b->values[i], b->called[i]))
            return err_set(err, ERR_DATA,
                           "sequence=%s.%s stands at %" PRId64 " on the target after it was set to %" PRId64
                           ": something else uses it. Hint: nobody but apply may write to the target",
                           s->twin_schema, s->twin_name, b->values[i], s->value);
    }
    return true;
}

static bool copy_batch(struct cutover *co, struct sequence_list *list, struct batch *b, struct err *err)
{
    return (sequence_values(co->source, list, b->from, b->count, false, b->values, b->called, err) ||
            err_wrap(err, "source")) &&
           set_batch(co, list, b, err) && read_back(co, list, b, err);
}

bool sequences_copy(struct cutover *co, struct err *err)
{
    struct sequence_list list;
    struct batch b = {0};
    if (co->maria != NULL)
        return maria_counters_copy(co, err);
    if (co->from_maria != NULL)
        return counters_back_copy(co, err);
    co->report->sequences_kept = 0;
    bool ok = sequence_list_read(co, &list, err);
    for (; ok && b.from < list.count; b.from += b.count) {
        b.count = MIN_OF(SEQUENCES_AT_ONCE, list.count - b.from);
        ok = copy_batch(co, &list, &b, err);
    }
    if (ok)
        co->report->sequences_set = list.count;
    sequence_list_release(&list);
    return ok;
}
