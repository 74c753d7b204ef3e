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

static const char *about_text(const struct counter *c, const char *key)
{
    const char *text = json_string_value(json_object_get(c->about, key));
    return text != NULL ? text : "";
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

static bool find_column(struct cutover *co, struct counter *c, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    int64_t count = 0;
    strbuf_adds(&st.sql,
                "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE EXTRA LIKE '%auto_increment%' "
                "AND TABLE_SCHEMA = ");
    add_name(maria_database_of(session_database(co->maria), about_text(c, "oschema")), &st.sql);
    strbuf_adds(&st.sql, " AND TABLE_NAME = ");
    add_name(about_text(c, "otable"), &st.sql);
    strbuf_adds(&st.sql, " AND COLUMN_NAME = ");
    add_name(about_text(c, "ocolumn"), &st.sql);
    if (!ask_count(co, &st, &count, err))
        return false;
    c->twin = count > 0 ? TWIN_COLUMN : TWIN_NONE;
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
    ret->step = json_integer_value(json_object_get(ret->about, "inc"));
    bool owned = *about_text(ret, "otable") != '\0';
    return (!owned || find_column(co, ret, err)) && (ret->twin != TWIN_NONE || find_sequence(co, ret, err));
}

/* --- the gate --- */

static void add_wanted(const struct cutover *co, const struct counter *c, struct strbuf *out)
{
    const struct sequence *s = c->sequence;
    strbuf_adds(out, "CREATE SEQUENCE ");
    maria_quote_table(out, session_database(co->maria), s->schema, s->name);
    strbuf_addf(out, " START WITH %" JSON_INTEGER_FORMAT " INCREMENT BY %" PRId64,
                json_integer_value(json_object_get(c->about, "start")), c->step);
    strbuf_adds(out, ";\n");
}

bool maria_gate_counters(struct cutover *co, struct gate_result *gate)
{
    struct strbuf statements = STRBUF_INIT(PREPARE_STATEMENTS_MAX);
    struct sequence_list list;
    struct err failed = ERR_INIT;
    size_t columns = 0, missing = 0;
    bool ok = sequence_list_read(co, &list, &failed);
    for (size_t i = 0; ok && i < list.count; i++) {
        struct counter c;
        ok = counter_init(co, &list.items[i], &c, &failed);
        columns += c.twin == TWIN_COLUMN;
        missing += c.twin == TWIN_NONE;
        if (ok && c.twin == TWIN_NONE)
            add_wanted(co, &c, &statements);
        counter_release(&c);
    }
    co->sequence_count = list.count;
    gate_limit(gate, "each is an AUTO_INCREMENT or a sequence of the target");
    gate_measured(gate, "%zu sequences: %zu as AUTO_INCREMENT, %zu are missing", list.count, columns,
                  missing);
    if (!ok)
        (void)gate_unmeasured(gate, &failed);
    else if (missing > 0)
        gate_refuse_with(gate, "on the target, or AUTO_INCREMENT of the column that owns it", &statements);
    strbuf_release(&statements);
    sequence_list_release(&list);
    return true;
}

/* --- behind the freeze --- */

/* What the source would have handed out next. */
bool counter_next(const struct counter *c, int64_t value, bool called, int64_t *ret, struct err *err)
{
    if (!called) {
        *ret = value;
        return true;
    }
    return !__builtin_add_overflow(value, c->step, ret) ||
           err_set(err, ERR_DATA, "sequence=%s.%s has no value left", c->sequence->schema, c->sequence->name);
}

static bool column_stands(struct cutover *co, const struct counter *c, int64_t *ret, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    strbuf_adds(&st.sql, "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = ");
    add_name(maria_database_of(session_database(co->maria), about_text(c, "oschema")), &st.sql);
    strbuf_adds(&st.sql, " AND TABLE_NAME = ");
    add_name(about_text(c, "otable"), &st.sql);
    return ask_count(co, &st, ret, err);
}

static bool sequence_stands(struct cutover *co, const struct counter *c, int64_t *ret, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    strbuf_adds(&st.sql, "SELECT next_not_cached_value FROM ");
    maria_quote_table(&st.sql, session_database(co->maria), c->sequence->schema, c->sequence->name);
    return ask_count(co, &st, ret, err);
}

bool counter_stands(struct cutover *co, const struct counter *c, int64_t *ret, struct err *err)
{
    return c->twin == TWIN_COLUMN ? column_stands(co, c, ret, err) : sequence_stands(co, c, ret, err);
}

bool counter_is_behind(const struct counter *c, int64_t stands_at, int64_t next)
{
    return c->step < 0 ? stands_at > next : stands_at < next;
}

static bool set_one(struct cutover *co, const struct counter *c, int64_t next, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    const char *database = session_database(co->maria);
    ROWSET_AUTO rs = NULL;
    if (c->twin == TWIN_COLUMN) {
        strbuf_adds(&st.sql, "ALTER TABLE ");
        maria_quote_table(&st.sql, database, about_text(c, "oschema"), about_text(c, "otable"));
        strbuf_addf(&st.sql, " AUTO_INCREMENT = %" PRId64, next);
    } else {
        strbuf_adds(&st.sql, "SELECT SETVAL(");
        maria_quote_table(&st.sql, database, c->sequence->schema, c->sequence->name);
        strbuf_addf(&st.sql, ", %" PRId64 ", 0)", next);
    }
    bool ok = session_query(co->maria, &st, &rs, err);
    strbuf_release(&st.sql);
    return ok;
}

static bool copy_one(struct cutover *co, const struct counter *c, int64_t value, bool called, struct err *err)
{
    int64_t next = 0, at = 0;
    if (c->twin == TWIN_NONE)
        return err_set(err, ERR_REFUSED,
                       "it has no twin on the target: it was made since the gates were asked");
    if (!counter_next(c, value, called, &next, err) || !counter_stands(co, c, &at, err))
        return false;
    if (c->twin == TWIN_COLUMN && next < 1) /* such a column counts from 1 on, upwards */
        next = 1;
    if (!counter_is_behind(c, at, next)) {
        co->report->sequences_kept += at != next;
        return true;
    }
    if (!set_one(co, c, next, err) || !counter_stands(co, c, &at, err))
        return false;
    return !counter_is_behind(c, at, next) ||
           err_set(err, ERR_DATA, "it stands at %" PRId64 " on the target after it was set to %" PRId64, at,
                   next);
}

static bool copy_some(struct cutover *co, const struct sequence_list *list, size_t from, size_t count,
                      struct err *err)
{
    int64_t values[SEQUENCES_AT_ONCE];
    bool called[SEQUENCES_AT_ONCE];
    if (!sequence_values(co->source, list, from, count, false, values, called, err))
        return err_wrap(err, "source");
    for (size_t i = 0; i < count; i++) {
        const struct sequence *s = &list->items[from + i];
        struct counter c;
        bool ok = counter_init(co, s, &c, err) && copy_one(co, &c, values[i], called[i], err);
        counter_release(&c);
        if (!ok)
            return err_wrap(err, "sequence=%s.%s", s->schema, s->name);
    }
    return true;
}

bool maria_counters_copy(struct cutover *co, struct err *err)
{
    struct sequence_list list;
    co->report->sequences_kept = 0;
    bool ok = sequence_list_read(co, &list, err);
    for (size_t from = 0; ok && from < list.count; from += SEQUENCES_AT_ONCE)
        ok = copy_some(co, &list, from, MIN_OF(SEQUENCES_AT_ONCE, list.count - from), err);
    if (ok)
        co->report->sequences_set = list.count;
    sequence_list_release(&list);
    return ok;
}
