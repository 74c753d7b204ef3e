/*
 * Owns the sequences of a cutover to MariaDB. The twin of one that a column owns is the table's AUTO_INCREMENT, if that column has it;
 * any other one's is a sequence of the same name (CREATE SEQUENCE). Both are set behind the freeze, to the value that the source would
 * have handed out next, never back, and read back.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "counters_maria.h"
#include "cutover/gates.h"
#include "maria/names.h"
#include "maria/quote.h"
#include "prepare.h"
#include "sequence_list.h"

/* A sequence of the target: its ends are one less than a bigint's. */
struct stand {
    int64_t next, min, max, step, round;
    bool cycles;
};
#define LEAST    (-INT64_MAX)
#define GREATEST (INT64_MAX - 1)

typedef bool counter_fn(struct cutover *co, const struct counter *c, int64_t value, bool called, void *ctx,
                        struct err *err);

static const char *about_text(const struct counter *c, const char *key)
{
    const char *text = json_string_value(json_object_get(c->about, key));
    return text != NULL ? text : "";
}

static int64_t about_int(const struct counter *c, const char *key)
{
    return json_integer_value(json_object_get(c->about, key));
}

void counter_release(struct counter *c)
{
    json_decref(c->about);
    c->about = NULL;
}

/* As the server's catalogs name them. */
static void add_name(const char *name, struct strbuf *sql)
{
    char short_name[MARIA_NAME_BYTES];
    (void)maria_name(name, short_name);
    maria_quote_literal(sql, short_name);
}

static bool ask_count(struct cutover *co, struct statement *st, int64_t *ret, struct err *err)
{
    ROWSET_AUTO rs = NULL;
    bool ok = session_query(co->maria, st, &rs, err);
    *ret = ok && rowset_rows(rs) > 0 ? rowset_int64(rs, 0, 0) : 0;
    strbuf_release(&st->sql);
    return ok;
}

static const char column_sql[] =
    "SELECT CASE WHEN DATA_TYPE NOT IN ('tinyint', 'smallint', 'mediumint', 'int') THEN 9223372036854775807 "
    "ELSE "
    "(CASE DATA_TYPE WHEN 'tinyint' THEN 127 WHEN 'smallint' THEN 32767 WHEN 'mediumint' THEN 8388607 ELSE "
    "2147483647 "
    "END) * (1 + (COLUMN_TYPE LIKE '%unsigned%')) + (COLUMN_TYPE LIKE '%unsigned%') END FROM "
    "information_schema.COLUMNS WHERE EXTRA LIKE '%auto_increment%' AND TABLE_SCHEMA = ";

static bool find_column(struct cutover *co, struct counter *c, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    strbuf_adds(&st.sql, column_sql);
    add_name(maria_database_of(session_database(co->maria), about_text(c, "oschema")), &st.sql);
    strbuf_adds(&st.sql, " AND TABLE_NAME = ");
    add_name(about_text(c, "otable"), &st.sql);
    strbuf_adds(&st.sql, " AND COLUMN_NAME = ");
    add_name(about_text(c, "ocolumn"), &st.sql);
    if (!ask_count(co, &st, &c->top, err))
        return false;
    c->twin = c->top > 0 ? TWIN_COLUMN : TWIN_NONE;
    return true;
}

static bool find_sequence(struct cutover *co, struct counter *c, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    int64_t count = 0;
    strbuf_adds(&st.sql, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_TYPE = 'SEQUENCE' AND "
                         "TABLE_SCHEMA = ");
    add_name(maria_database_of(session_database(co->maria), c->sequence->schema), &st.sql);
    strbuf_adds(&st.sql, " AND TABLE_NAME = ");
    add_name(c->sequence->name, &st.sql);
    if (!ask_count(co, &st, &count, err))
        return false;
    c->twin = count > 0 ? TWIN_SEQUENCE : TWIN_NONE;
    return true;
}

bool counter_init(struct cutover *co, const struct sequence *s, struct counter *ret, struct err *err)
{
    *ret = (struct counter){.about = json_loads(s->about, 0, NULL), .sequence = s};
    if (ret->about == NULL)
        return err_set(err, ERR_BUG, "sequence=%s.%s: what it is cannot be read", s->schema, s->name);
    ret->step = about_int(ret, "inc");
    ret->min = about_int(ret, "min");
    ret->max = about_int(ret, "max");
    ret->cycles = json_is_true(json_object_get(ret->about, "cycle"));
    bool owned = *about_text(ret, "otable") != '\0';
    return (!owned || find_column(co, ret, err)) && (ret->twin != TWIN_NONE || find_sequence(co, ret, err));
}

static bool each_counter(struct cutover *co, struct sequence_list *list, counter_fn *fn, void *ctx,
                         struct err *err)
{
    int64_t values[SEQUENCES_AT_ONCE];
    bool called[SEQUENCES_AT_ONCE];
    for (size_t from = 0, count; from < list->count; from += count) {
        count = MIN_OF(SEQUENCES_AT_ONCE, list->count - from);
        if (!sequence_values(co->source, list, from, count, false, values, called, err))
            return err_wrap(err, "source");
        for (size_t i = 0; i < count; i++) {
            const struct sequence *s = &list->items[from + i];
            struct counter c;
            bool ok = counter_init(co, s, &c, err) && fn(co, &c, values[i], called[i], ctx, err);
            counter_release(&c);
            if (!ok)
                return err_wrap(err, "sequence=%s.%s", s->schema, s->name);
        }
    }
    return true;
}

/* --- where they stand --- */

bool counter_next(const struct counter *c, int64_t value, bool called, int64_t *ret, struct err *err)
{
    if (!called) {
        *ret = value;
        return true;
    }
    return !__builtin_add_overflow(value, c->step, ret) ||
           err_set(err, ERR_DATA, "sequence=%s.%s has no value left", c->sequence->schema, c->sequence->name);
}

/* Behind its last value: one that is none, as far as numbers go. */
static int64_t next_value(const struct counter *c, int64_t value, bool called)
{
    struct err none_left = ERR_INIT;
    int64_t next = 0;
    return counter_next(c, value, called, &next, &none_left) ? next : c->step > 0 ? INT64_MAX : INT64_MIN;
}

bool counter_is_behind(const struct counter *c, int64_t stands_at, int64_t next)
{
    return c->step < 0 ? stands_at > next : stands_at < next;
}

static bool column_stands(struct cutover *co, const struct counter *c, int64_t *ret, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    strbuf_adds(&st.sql, "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = ");
    add_name(maria_database_of(session_database(co->maria), about_text(c, "oschema")), &st.sql);
    strbuf_adds(&st.sql, " AND TABLE_NAME = ");
    add_name(about_text(c, "otable"), &st.sql);
    ROWSET_AUTO rs = NULL;
    bool ok = session_query(co->maria, &st, &rs, err);
    strbuf_release(&st.sql);
    if (!ok)
        return false;
    if (rowset_rows(rs) != 1 || rowset_is_null(rs, 0, 0))
        return err_set(err, ERR_DATA, "AUTO_INCREMENT of table=%s.%s cannot be seen on MariaDB",
                       about_text(c, "oschema"), about_text(c, "otable"));
    *ret = rowset_int64(rs, 0, 0);
    return true;
}

static void add_sequence(const struct cutover *co, const struct counter *c, struct strbuf *sql)
{
    maria_quote_table(sql, session_database(co->maria), c->sequence->schema, c->sequence->name);
}

static bool sequence_stands(struct cutover *co, const struct counter *c, struct stand *ret, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    ROWSET_AUTO rs = NULL;
    strbuf_adds(&st.sql, "SELECT next_not_cached_value, minimum_value, maximum_value, increment, "
                         "cycle_count, cycle_option FROM ");
    add_sequence(co, c, &st.sql);
    bool ok = session_query(co->maria, &st, &rs, err);
    strbuf_release(&st.sql);
    if (!ok)
        return false;
    if (rowset_rows(rs) != 1)
        return err_set(err, ERR_DATA, "on the target it has %d rows", rowset_rows(rs));
    *ret = (struct stand){.next = rowset_int64(rs, 0, 0),
                          .min = rowset_int64(rs, 0, 1),
                          .max = rowset_int64(rs, 0, 2),
                          .step = rowset_int64(rs, 0, 3),
                          .round = rowset_int64(rs, 0, 4),
                          .cycles = rowset_bool(rs, 0, 5)};
    return true;
}

bool counter_stands(struct cutover *co, const struct counter *c, int64_t *ret, struct err *err)
{
    struct stand t = {0};
    if (c->twin == TWIN_COLUMN)
        return column_stands(co, c, ret, err);
    bool ok = sequence_stands(co, c, &t, err);
    *ret = t.next;
    return ok;
}

/* --- the gate --- */

struct findings {
    size_t columns, missing, differ, stuck;
    struct strbuf statements;
};

static int64_t least_of(const struct counter *c)
{
    return MAX_OF(c->min, LEAST);
}

static int64_t greatest_of(const struct counter *c)
{
    return MIN_OF(c->max, GREATEST);
}

static void add_range(const struct counter *c, struct strbuf *out)
{
    strbuf_addf(out, " INCREMENT BY %" PRId64 " MINVALUE %" PRId64 " MAXVALUE %" PRId64 " %s;\n", c->step,
                least_of(c), greatest_of(c), c->cycles ? "CYCLE" : "NOCYCLE");
}

static void add_wanted(const struct cutover *co, const struct counter *c, struct strbuf *out)
{
    strbuf_adds(out, "CREATE SEQUENCE ");
    add_sequence(co, c, out);
    strbuf_addf(out, " START WITH %" PRId64,
                MIN_OF(MAX_OF(about_int(c, "start"), least_of(c)), greatest_of(c)));
    add_range(c, out);
}

static bool look_at_sequence(struct cutover *co, const struct counter *c, struct findings *f, struct err *err)
{
    struct stand t = {0};
    if (!sequence_stands(co, c, &t, err))
        return false;
    bool narrower = t.min > least_of(c) || t.max < greatest_of(c),
         other = t.min != least_of(c) || t.max != greatest_of(c);
    if (t.step == c->step && t.cycles == c->cycles && !narrower && !(c->cycles && other))
        return true;
    f->differ++;
    strbuf_adds(&f->statements, "ALTER SEQUENCE ");
    add_sequence(co, c, &f->statements);
    add_range(c, &f->statements);
    return true;
}

/* AUTO_INCREMENT counts upwards from 1 on, as far as its type goes. */
static void look_at_column(const struct cutover *co, const struct counter *c, int64_t next,
                           struct findings *f)
{
    const char *why = c->step < 0 ? "counts down" : c->cycles ? "cycles" : NULL;
    f->columns++;
    if (why == NULL && next <= c->top)
        return;
    f->stuck++;
    if (why != NULL)
        add_wanted(co, c, &f->statements);
    strbuf_adds(&f->statements, "-- column ");
    maria_quote_table(&f->statements, session_database(co->maria), about_text(c, "oschema"),
                      about_text(c, "otable"));
    strbuf_addc(&f->statements, '.');
    maria_quote_ident(&f->statements, about_text(c, "ocolumn"));
    if (why != NULL) {
        strbuf_addf(
            &f->statements,
            ": its sequence %s, AUTO_INCREMENT does not: MODIFY it without, NOT NULL DEFAULT NEXTVAL(", why);
        add_sequence(co, c, &f->statements);
        strbuf_adds(&f->statements, ");\n");
    } else {
        strbuf_addf(&f->statements,
                    ": its type ends at %" PRId64 ": MODIFY it to a wider one, on the source first;\n",
                    c->top);
    }
}

static bool look_at_one(struct cutover *co, const struct counter *c, int64_t value, bool called, void *ctx,
                        struct err *err)
{
    struct findings *f = ctx;
    if (c->twin == TWIN_SEQUENCE)
        return look_at_sequence(co, c, f, err);
    if (c->twin == TWIN_COLUMN) {
        look_at_column(co, c, next_value(c, value, called), f);
        return true;
    }
    f->missing++;
    add_wanted(co, c, &f->statements);
    return true;
}

bool maria_gate_counters(struct cutover *co, struct gate_result *gate)
{
    struct findings f = {.statements = STRBUF_INIT(PREPARE_STATEMENTS_MAX)};
    struct sequence_list list;
    struct err failed = ERR_INIT;
    bool ok = sequence_list_read(co, &list, &failed) && each_counter(co, &list, look_at_one, &f, &failed) &&
              strbuf_ok(&f.statements, "statements for sequences", &failed);
    co->sequence_count = list.count;
    gate_limit(gate, "each is an AUTO_INCREMENT or a sequence of the target, and can go on there");
    gate_measured(gate,
                  "%zu sequences: %zu as AUTO_INCREMENT, %zu are missing, %zu differ, %zu cannot go on as "
                  "AUTO_INCREMENT",
                  list.count, f.columns, f.missing, f.differ, f.stuck);
    if (!ok)
        (void)gate_unmeasured(gate, &failed);
    else if (f.statements.len > 0)
        gate_refuse_with(gate,
                         f.missing > 0 ? "on the target, or AUTO_INCREMENT of the column that owns it"
                                       : "on the target",
                         &f.statements);
    strbuf_release(&f.statements);
    sequence_list_release(&list);
    return true;
}

/* --- behind the freeze --- */

static bool set_column(struct cutover *co, const struct counter *c, int64_t next, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "ALTER TABLE ");
    maria_quote_table(&sql, session_database(co->maria), about_text(c, "oschema"), about_text(c, "otable"));
    strbuf_addf(&sql, " WAIT %d AUTO_INCREMENT = %" PRId64, MARIA_ALTER_WAIT_S, next);
    bool ok = strbuf_ok(&sql, "statement", err) && maria_alter(co, sql.data, err);
    strbuf_release(&sql);
    return ok;
}

static bool stands_wrong(int64_t at, int64_t wanted, struct err *err)
{
    return err_set(err, ERR_DATA, "it stands at %" PRId64 " on the target after it was set to %" PRId64, at,
                   wanted);
}

static bool copy_column(struct cutover *co, const struct counter *c, int64_t next, struct err *err)
{
    int64_t at = 0;
    next = MAX_OF(next, 1);
    if (c->step < 0 || next > c->top)
        return err_set(err, ERR_REFUSED,
                       "AUTO_INCREMENT cannot go on with %" PRId64
                       ": the sequence has changed since the gates were asked",
                       next);
    if (!counter_stands(co, c, &at, err))
        return false;
    if (!counter_is_behind(c, at, next)) {
        co->report->sequences_kept += at != next;
        return true;
    }
    if (!set_column(co, c, next, err) || !counter_stands(co, c, &at, err))
        return false;
    return !counter_is_behind(c, at, next) || stands_wrong(at, next, err);
}

/* One that cycles may have to go back: the round counts more than the value. */
static bool set_sequence(struct cutover *co, const struct counter *c, const struct stand *was, int64_t value,
                         bool called, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    ROWSET_AUTO rs = NULL;
    strbuf_adds(&st.sql, "SELECT SETVAL(");
    add_sequence(co, c, &st.sql);
    strbuf_addf(&st.sql, ", %" PRId64 ", %d", value, called);
    if (c->cycles)
        strbuf_addf(&st.sql, ", %" PRId64, was->round + 1);
    strbuf_addc(&st.sql, ')');
    bool ok = session_query(co->maria, &st, &rs, err);
    strbuf_release(&st.sql);
    return ok;
}

/* Behind its last value it stands one step further on, or right behind its end. */
static bool copy_sequence(struct cutover *co, const struct counter *c, int64_t value, bool called,
                          struct err *err)
{
    struct stand t = {0};
    if (!sequence_stands(co, c, &t, err))
        return false;
    value = MIN_OF(MAX_OF(value, t.min), t.max);
    int64_t next = MIN_OF(MAX_OF(next_value(c, value, called), t.min - 1), t.max + 1);
    if (!c->cycles && !counter_is_behind(c, t.next, next)) {
        co->report->sequences_kept += t.next != next;
        return true;
    }
    int64_t at = 0;
    if (!set_sequence(co, c, &t, value, called, err) || !counter_stands(co, c, &at, err))
        return false;
    return !counter_is_behind(c, at, next) || stands_wrong(at, next, err);
}

static bool copy_one(struct cutover *co, const struct counter *c, int64_t value, bool called, void *ctx,
                     struct err *err)
{
    (void)ctx;
    if (c->twin == TWIN_SEQUENCE)
        return copy_sequence(co, c, value, called, err);
    if (c->twin == TWIN_COLUMN)
        return copy_column(co, c, next_value(c, value, called), err);
    return err_set(err, ERR_REFUSED, "it has no twin on the target: it was made since the gates were asked");
}

bool maria_counters_copy(struct cutover *co, struct err *err)
{
    struct sequence_list list;
    co->report->sequences_kept = 0;
    bool ok = sequence_list_read(co, &list, err) && each_counter(co, &list, copy_one, NULL, err);
    if (ok)
        co->report->sequences_set = list.count;
    sequence_list_release(&list);
    return ok;
}
