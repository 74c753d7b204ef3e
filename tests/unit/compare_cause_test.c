/* Which cause is told of which facts, in which words, and which records of a journal are a row's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare/cause/evidence.h"
#include "compare/cause/facts.h"
#include "compare/cause/judge_row.h"
#include "compare/cause/record_row.h"
#include "compare/session_impl.h"
#include "core/alloc.h"
#include "core/attr.h"

/* ---- facts ---- */

struct example {
    enum cause_kind expected;
    struct cause_facts facts;
};

#define CHANGED .kind = DIFF_CHANGED
#define MISSING .kind = DIFF_MISSING
#define EXTRA   .kind = DIFF_EXTRA
#define RECORD  .seen = SEEN_RECORD

static const struct example examples[] = {
    {CAUSE_ROGUE_WRITER, {CHANGED, RECORD, .as_source = true}},
    {CAUSE_TRIGGER, {CHANGED, RECORD, .as_source = true, .trigger = true}},
    {CAUSE_NOT_APPLIED, {CHANGED, RECORD, .as_source = true, .earlier_as_target = true}},
    {CAUSE_LOST_IN_JOURNAL, {CHANGED, RECORD}},
    {CAUSE_LOST_IN_JOURNAL, {CHANGED, RECORD, .trigger = true}},
    {CAUSE_LOST_IN_JOURNAL, {CHANGED, RECORD, .gone = true}},
    {CAUSE_LOST_IN_JOURNAL, {CHANGED, .seen = SEEN_NONE}},
    {CAUSE_TOAST, {CHANGED, RECORD, .as_source = true, .lacking = true}},
    {CAUSE_LOST_IN_JOURNAL, {CHANGED, RECORD, .lacking = true}},
    {CAUSE_TOAST, {CHANGED, .placeholder = true}},
    {CAUSE_COLLATION, {CHANGED, RECORD, .as_source = true, .alike = true, .narrowed = true}},
    {CAUSE_TYPE_RULE, {CHANGED, RECORD, .as_source = true, .narrowed = true}},
    {CAUSE_TYPE_RULE, {CHANGED, .narrowed = true}}, /* the journal is not asked */
    {CAUSE_UNKNOWN, {CHANGED, RECORD, .as_source = true, .undecided = true}},
    {CAUSE_UNKNOWN, {CHANGED}},
    {CAUSE_UNKNOWN, {CHANGED, .trigger = true}}, /* a trigger alone proves nothing */
    {CAUSE_UNKNOWN, {CHANGED, .seen = SEEN_NONE_KEPT}},
    {CAUSE_ROGUE_WRITER, {CHANGED, .seen = SEEN_NONE, .direct = true}},
    {CAUSE_TRIGGER, {CHANGED, .seen = SEEN_NONE, .direct = true, .trigger = true}},
    {CAUSE_NOT_APPLIED, {MISSING, RECORD, .as_source = true}},
    {CAUSE_ROGUE_WRITER, {MISSING, RECORD, .as_source = true, .passed = true}}, /* it was there */
    {CAUSE_LOST_IN_JOURNAL, {MISSING, RECORD, .passed = true}},
    {CAUSE_ROGUE_WRITER, {EXTRA, RECORD, .gone = true, .earlier_as_target = true, .passed = true}},
    {CAUSE_LOST_IN_JOURNAL, {EXTRA, RECORD, .passed = true}},
    {CAUSE_ROGUE_WRITER,
     {CHANGED, RECORD, .as_source = true, .trigger = true, .lacking = true, .passed = true}},
    {CAUSE_UNKNOWN, {CHANGED, .seen = SEEN_NONE_KEPT, .passed = true}},
    {CAUSE_TRIGGER, {MISSING, RECORD, .as_source = true, .trigger = true}},
    {CAUSE_LOST_IN_JOURNAL, {MISSING, RECORD, .gone = true}},
    {CAUSE_LOST_IN_JOURNAL, {MISSING, .seen = SEEN_NONE}},
    {CAUSE_NOT_APPLIED, {MISSING, .seen = SEEN_NONE, .direct = true}},
    {CAUSE_UNKNOWN, {MISSING, .seen = SEEN_NONE_KEPT, .direct = true}},
    {CAUSE_ROGUE_WRITER, {EXTRA, RECORD, .gone = true}},
    {CAUSE_NOT_APPLIED, {EXTRA, RECORD, .gone = true, .earlier_as_target = true}},
    {CAUSE_TRIGGER, {EXTRA, RECORD, .gone = true, .trigger = true}},
    {CAUSE_LOST_IN_JOURNAL, {EXTRA, RECORD}},
    {CAUSE_ROGUE_WRITER, {EXTRA, .seen = SEEN_NONE}},
    {CAUSE_ROGUE_WRITER, {EXTRA, .seen = SEEN_NONE, .direct = true, .trigger = true}},
    {CAUSE_UNKNOWN, {EXTRA, .seen = SEEN_NONE_KEPT}},
    {CAUSE_FILTER, {EXTRA, .seen = SEEN_NONE, .filtered = true}},
    /* what is certain goes first */
    {CAUSE_ROGUE_WRITER,
     {CHANGED, RECORD, .other_origin = true, .narrowed = true, .alike = true, .lacking = true}},
    /* who wrote the row, by its transaction's origin */
    {CAUSE_ROGUE_WRITER, {CHANGED, .unmarked = true}}, /* the journal is not asked */
    {CAUSE_UNKNOWN, {CHANGED, .unmarked = true, .direct = true}},
    {CAUSE_ROGUE_WRITER, {CHANGED, RECORD, .as_source = true, .unmarked = true, .trigger = true}},
    {CAUSE_ROGUE_WRITER, {CHANGED, RECORD, .undecided = true, .unmarked = true}},
    {CAUSE_ROGUE_WRITER, {CHANGED, RECORD, .as_source = true, .lacking = true, .unmarked = true}},
    {CAUSE_ROGUE_WRITER, {EXTRA, RECORD, .gone = true, .earlier_as_target = true, .unmarked = true}},
    {CAUSE_ROGUE_WRITER, {EXTRA, .seen = SEEN_NONE_KEPT, .unmarked = true}},
    {CAUSE_TYPE_RULE, {CHANGED, RECORD, .as_source = true, .narrowed = true, .unmarked = true}},
    {CAUSE_LOST_IN_JOURNAL, {CHANGED, RECORD, .unmarked = true}},
    {CAUSE_LOST_IN_JOURNAL, {CHANGED, .seen = SEEN_NONE, .unmarked = true}},
    {CAUSE_UNKNOWN, {CHANGED, RECORD, .as_source = true, .by_apply = true}},
    {CAUSE_UNKNOWN, {CHANGED, RECORD, .as_source = true, .by_apply = true, .passed = true}},
    {CAUSE_TRIGGER, {CHANGED, RECORD, .as_source = true, .by_apply = true, .trigger = true}},
    {CAUSE_NOT_APPLIED, {CHANGED, RECORD, .as_source = true, .earlier_as_target = true, .by_apply = true}},
    {CAUSE_TRIGGER, {EXTRA, .seen = SEEN_NONE, .by_apply = true}},
    {CAUSE_DEAD_LETTER, {MISSING, RECORD, .dead_letter = true, .as_source = true}},
    {CAUSE_CONFLICT, {CHANGED, .conflict = true, .dead_letter = true, .other_origin = true}},
};

static void each_cause_has_its_facts(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
        const struct cause_rule *rule = cause_judge(&examples[i].facts);
        if (rule->kind != examples[i].expected)
            fail_msg("example %zu: %s, expected %s", i, cause_kind_name(rule->kind),
                     cause_kind_name(examples[i].expected));
    }
}

static void every_kind_has_a_name_and_is_told(void **state)
{
    bool told[CAUSE_KIND_COUNT] = {false};
    for (size_t i = 0; i < ARRAY_LEN(examples); i++)
        told[examples[i].expected] = true;
    for (enum cause_kind kind = CAUSE_UNKNOWN; kind < CAUSE_KIND_COUNT; kind++) {
        assert_true(told[kind]);
        for (enum cause_kind other = CAUSE_UNKNOWN; other < kind; other++)
            assert_string_not_equal(cause_kind_name(kind), cause_kind_name(other));
    }
    assert_string_equal(cause_kind_name(CAUSE_LOST_IN_JOURNAL), "lost_in_journal");
    assert_string_equal(cause_kind_name(CAUSE_FILTER), "filter");
}

static void evidence_has_places(void **state)
{
    const struct record_place last = {.op = CHANGE_UPDATE, .partition = 2, .offset = 17, .lsn = 0x1000000A1};
    const struct evidence e = {
        .topic = "p.s.t", .last = &last, .writer = "transaction 9", .held = "no", .journal = "no"};
    const struct cause_rule *rule = cause_judge(&(struct cause_facts){CHANGED, RECORD, .as_source = true});
    char *text = evidence_text(rule, &e);
    assert_non_null(
        strstr(text, "; last record: op=u topic=p.s.t partition=2 offset=17 lsn=1/A1; the target's row is of "
                     "transaction 9"));
    assert_null(strstr(text, "; no"));
    assert_null(strstr(text, "trigger"));
    free(text);
    const struct evidence hidden = {.topic = "p.s.t", .last = &last, .triggers_hidden = true};
    text = evidence_text(rule, &hidden);
    assert_non_null(strstr(text, "; a trigger may have done it"));
    free(text);
}

/* ---- records ---- */

static struct field fields[] = {
    {.name = (char *)"id",
     .phys = PHYS_INT32,
     .key = true,
     .source_type = (char *)"INT4",
     .source_length = -1,
     .source_scale = -1},
    {.name = (char *)"c",
     .phys = PHYS_STRING,
     .key = true,
     .source_type = (char *)"BPCHAR",
     .source_length = 5,
     .source_scale = -1},
    {.name = (char *)"v",
     .phys = PHYS_STRING,
     .optional = true,
     .source_type = (char *)"TEXT",
     .source_length = -1,
     .source_scale = -1},
};
static size_t key_fields[] = {0, 1};
static const struct table_schema schema = {.topic = (char *)"p.s.t",
                                           .schema = (char *)"s",
                                           .table = (char *)"t",
                                           .fields = fields,
                                           .field_count = 3,
                                           .key_fields = key_fields,
                                           .key_count = 2};
static struct plan_column columns[] = {
    {.name = (char *)"id", .is_key = true}, {.name = (char *)"c", .is_key = true}, {.name = (char *)"v"}};
static struct plan_key keys[] = {{.name = (char *)"id"}, {.name = (char *)"c"}};
static const struct plan_table pt = {.columns = columns, .column_count = 3, .keys = keys, .key_count = 2};

struct records {
    struct wanted_row rows[3];
    struct journal_look look;
    struct record_rows *all;
    uint64_t offset;
};

static void begin(struct records *r)
{
    *r = (struct records){.rows = {{.key = "7\0b", .key_len = 4, .two = true},
                                   {.key = "1\0a", .key_len = 4},
                                   {.key = "7\0b", .key_len = 4}}};
    r->look = (struct journal_look){.pt = &pt, .topic = "p.s.t", .rows = r->rows, .row_count = 3};
    journal_look_sort(&r->look);
    r->all = record_rows_new(&r->look);
}

static void end(struct records *r)
{
    record_rows_free(r->all);
    journal_look_release(&r->look);
}

static struct datum text(const char *s)
{
    return s == NULL ? (struct datum){.state = DATUM_NULL}
                     : (struct datum){.state = DATUM_VALUE, .s = {.p = s, .len = (uint32_t)strlen(s)}};
}

/* v: "?" = not sent */
static void take(struct records *r, enum change_op op, lsn_t commit_lsn, int64_t id, const char *v,
                 unsigned part)
{
    struct datum row[] = {{.state = DATUM_VALUE, .i = id}, text("b    "), text(v)};
    if (v != NULL && strcmp(v, "?") == 0)
        row[2].state = DATUM_UNAVAILABLE;
    const struct change chg = {.op = op,
                               .schema = &schema,
                               .before = op == CHANGE_DELETE ? row : NULL,
                               .after = op == CHANGE_DELETE ? NULL : row,
                               .source = {.lsn = commit_lsn - 1, .commit_lsn = commit_lsn},
                               .total_order = 1};
    record_rows_take(r->all, &chg, 0, r->offset++, part);
}

static struct wanted_row *row_7(struct records *r)
{
    return journal_look_find(&r->look, "7\0b", 4);
}

static void the_newest_records_come_first(void **state)
{
    struct records r;
    begin(&r);
    assert_int_equal(r.look.row_count, 2); /* a key that two differences name is looked up once */
    take(&r, CHANGE_UPDATE, 300, 7, "new", 1);
    take(&r, CHANGE_UPDATE, 300, 7, "new", 1); /* comes again */
    take(&r, CHANGE_UPDATE, 300, 8, "another row", 1);
    assert_false(record_rows_satisfied(r.all));
    take(&r, CHANGE_DELETE, 400, 7, NULL, 2); /* another part, read later: newer all the same */
    take(&r, CHANGE_INSERT, 100, 7, "?", 2);
    struct wanted_row *row = row_7(&r);
    assert_non_null(row);
    assert_int_equal(row->image_count, 3);
    assert_true(row->images[0].gone && row->images[0].at.commit_lsn == 400 && row->images[0].cells == NULL);
    assert_int_equal(row->images[1].cells[2].state, CELL_TEXT);
    assert_string_equal(row->images[1].cells[2].text, "new");
    assert_int_equal(row->images[2].cells[2].state, CELL_ABSENT);
    assert_null(journal_look_find(&r.look, "8\0b", 4));
    assert_int_equal(r.look.unreadable, 0);
    end(&r);
}

static void what_half_a_part_has_told_is_forgotten(void **state)
{
    struct records r;
    begin(&r);
    take(&r, CHANGE_UPDATE, 300, 7, "new", 1);
    take(&r, CHANGE_UPDATE, 200, 7, NULL, 2);
    record_rows_forget(r.all, 2); /* first met in part 1: the last record is known */
    assert_int_equal(row_7(&r)->image_count, 2);
    assert_int_equal(row_7(&r)->images[1].cells[2].state, CELL_NULL);
    record_rows_forget(r.all, 1);
    assert_int_equal(row_7(&r)->image_count, 0);
    end(&r);
}

static void only_so_many_are_kept(void **state)
{
    struct records r;
    begin(&r);
    for (lsn_t lsn = 100; lsn < 200; lsn++)
        take(&r, CHANGE_UPDATE, lsn, 7, "v", 1);
    take(&r, CHANGE_UPDATE, 50, 7, "old", 2);
    assert_int_equal(row_7(&r)->image_count, IMAGES_PER_ROW);
    assert_int_equal(row_7(&r)->images[0].at.commit_lsn, 199);
    assert_int_equal(row_7(&r)->images[IMAGES_PER_ROW - 1].at.commit_lsn, 196);
    end(&r);
}

static void a_truncate_is_of_every_row(void **state)
{
    struct records r;
    const struct change chg = {.op = CHANGE_TRUNCATE, .schema = &schema, .source = {.commit_lsn = 150}};
    begin(&r);
    take(&r, CHANGE_UPDATE, 100, 7, "v", 1);
    record_rows_take(r.all, &chg, 0, 99, 1);
    assert_true(row_7(&r)->images[0].gone && row_7(&r)->images[0].at.offset == 99);
    assert_true(journal_look_find(&r.look, "1\0a", 4)->images[0].gone);
    take(&r, CHANGE_INSERT, 200, 7, "again", 1);
    assert_false(row_7(&r)->images[0].gone);
    assert_true(record_rows_satisfied(r.all));
    end(&r);
}

static void a_record_without_its_key_is_counted(void **state)
{
    struct records r;
    struct datum row[] = {{.state = DATUM_VALUE, .i = 7}, {.state = DATUM_NULL}, text("v")};
    const struct change chg = {.op = CHANGE_UPDATE, .schema = &schema, .after = row};
    begin(&r);
    record_rows_take(r.all, &chg, 0, 1, 1);
    assert_int_equal(r.look.unreadable, 1);
    end(&r);
}

/* ---- records against rows ---- */

static void no_owner(void *owner)
{
    (void)owner;
}

/* One row: its number, id, c, v. */
static struct rowset *result(size_t rows, const char *const *texts)
{
    struct rowset *res = rowset_new((int)rows, 4, NULL, no_owner);
    for (size_t i = 0; i < rows * 4; i++)
        res->cells[i] = (struct rowset_cell){texts[i], texts[i] != NULL ? strlen(texts[i]) : 0};
    for (int c = 0; c < 4; c++)
        res->names[c] = xstrdup("x");
    return res;
}

struct against {
    struct cause_facts facts;
    size_t earlier;
};

/* The row has v = source and target; its records newest first. */
static struct against judge(const char *source, const char *target, const char *const records[2],
                            enum image_cell_state state)
{
    struct against ret = {.facts = {CHANGED}};
    struct image_cell cells[2][3] = {{{.state = CELL_TEXT}, {.state = CELL_TEXT}, {.state = state}},
                                     {{.state = CELL_TEXT}, {.state = CELL_TEXT}, {.state = CELL_TEXT}}};
    const struct wanted_row wanted = {.images = {{.cells = cells[0]}, {.cells = cells[1]}}, .image_count = 2};
    struct values v = {.pt = &pt, .image_of = {{0, 1, -1, -1}}};
    v.sides[SIDE_SOURCE] = result(1, (const char *const[]){"1", "7", "b", source});
    v.sides[SIDE_TARGET] = result(1, (const char *const[]){"1", "7", "b", target});
    v.images = result(2, (const char *const[]){"1", "7", "b", records[0], "2", "7", "b", records[1]});
    judge_records(&v, 0, &wanted, &ret.facts, &ret.earlier);
    values_release(&v);
    return ret;
}

static void records_are_held_against_both_sides(void **state)
{
    struct against a = judge("new", "rogue", (const char *const[]){"new", "old"}, CELL_TEXT);
    assert_true(a.facts.as_source && !a.facts.earlier_as_target && !a.facts.lacking && !a.facts.undecided);
    a = judge("new", "old", (const char *const[]){"new", "old"}, CELL_TEXT);
    assert_true(a.facts.as_source && a.facts.earlier_as_target && a.earlier == 1);
    a = judge("new", NULL, (const char *const[]){"new", NULL}, CELL_TEXT);
    assert_true(a.facts.earlier_as_target); /* null is a value */
    a = judge("newer", "x", (const char *const[]){"new", "old"}, CELL_TEXT);
    assert_false(a.facts.as_source);
    a = judge("new", "x", (const char *const[]){NULL, "new"}, CELL_ABSENT);
    assert_true(a.facts.lacking && a.facts.as_source);
    a = judge("newer", "x", (const char *const[]){NULL, "new"}, CELL_ABSENT);
    assert_true(a.facts.lacking && !a.facts.as_source); /* it has changed since it was last sent */
    a = judge("new", "x", (const char *const[]){NULL, "old"}, CELL_UNREAD);
    assert_true(a.facts.undecided && a.facts.as_source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_cause_has_its_facts),
        cmocka_unit_test(every_kind_has_a_name_and_is_told),
        cmocka_unit_test(evidence_has_places),
        cmocka_unit_test(the_newest_records_come_first),
        cmocka_unit_test(what_half_a_part_has_told_is_forgotten),
        cmocka_unit_test(only_so_many_are_kept),
        cmocka_unit_test(a_truncate_is_of_every_row),
        cmocka_unit_test(a_record_without_its_key_is_counted),
        cmocka_unit_test(records_are_held_against_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
