/* Fences: round trip, names, refusal of what is newer, malformed or out of range. */
#include "change_fixture.h"

#include "change/fence.h"

static struct fence_range ranges[] = {
    {.stream = (char *)"shop.public.orders", .partition = 0, .first_offset = 10, .next_offset = 25},
    {.stream = (char *)"shop.public.a_\"quoted\"",
     .partition = INT32_MAX,
     .first_offset = 5,
     .next_offset = 5},
    {.stream = (char *)"s", .partition = 3, .first_offset = 0, .next_offset = INT64_MAX},
};

static char *place_key[] = {(char *)"7", (char *)"o\"n\\e \xc3\xa9\n"};

static char *key_columns[] = {(char *)"id", (char *)"a \"b"};
static char *key_cells[] = {(char *)"1", (char *)"x'\\", (char *)"2", (char *)"\xc3\xa9\n"};
static struct copy_keys keys = {
    .column_count = 2, .count = 2, .columns = key_columns, .cells = key_cells, .delete_gone = true};

static struct copy_request requests[] = {
    {.nonce = "0123456789abcdef",
     .oid = UINT32_MAX,
     .fresh = true,
     .schema = (char *)"s",
     .table = (char *)"a\"b"},
    {.nonce = "n",
     .oid = 1,
     .schema = (char *)"s",
     .table = (char *)"t",
     .where = (char *)"p.id < 5 -- \xc3\xa9"},
    {.nonce = "k", .oid = 2, .schema = (char *)"s", .table = (char *)"u", .keys = &keys},
};

static struct fence sample(void)
{
    return (struct fence){
        .format = FENCE_FORMAT,
        .kind = FENCE_STREAM,
        .id = 41,
        .attempt = 2,
        .pipeline = (char *)"shop",
        .source_system_id = UINT64_MAX,
        .timeline = UINT32_MAX,
        .lsn = UINT64_C(0x16B374D848),
        .commit_time_us = 1795248035898384,
        .written_us = -5,
        .complete = true,
        .full = false,
        .marker = {.kind = MARKER_COMPARE, .nonce = "0123456789abcdef", .deadline_ms = 30000},
        .copy = {.there = true,
                 .plan = UINT64_C(0x7edcba9876543210),
                 .part = 9,
                 .key = place_key,
                 .key_count = 2,
                 .requested = true,
                 .requests = requests,
                 .request_count = ARRAY_LEN(requests)},
        .changes = 1234,
        .transactions = 56,
        .writer = UINT64_C(0xfedcba9876543210),
        .schemas_next = 77,
        .ranges = ranges,
        .range_count = ARRAY_LEN(ranges)};
}

static void assert_same_keys(const struct copy_keys *a, const struct copy_keys *b)
{
    assert_true((a == NULL) == (b == NULL));
    if (a == NULL)
        return;
    assert_true(a->column_count == b->column_count && a->count == b->count &&
                a->delete_gone == b->delete_gone);
    for (size_t i = 0; i < a->column_count; i++)
        assert_string_equal(a->columns[i], b->columns[i]);
    for (size_t i = 0; i < a->count * a->column_count; i++)
        assert_string_equal(a->cells[i], b->cells[i]);
}

static void assert_same(const struct fence *a, const struct fence *b)
{
    assert_true(a->writer == b->writer);
    assert_true(a->schemas_next == b->schemas_next);
    assert_int_equal(a->kind, b->kind);
    assert_true(a->id == b->id && a->attempt == b->attempt && a->lsn == b->lsn);
    assert_string_equal(a->pipeline, b->pipeline);
    assert_true(a->source_system_id == b->source_system_id && a->timeline == b->timeline);
    assert_true(a->commit_time_us == b->commit_time_us && a->written_us == b->written_us);
    assert_true(a->complete == b->complete && a->full == b->full);
    assert_int_equal(a->marker.kind, b->marker.kind);
    assert_string_equal(a->marker.nonce, b->marker.nonce);
    assert_true(a->marker.deadline_ms == b->marker.deadline_ms);
    assert_true(a->changes == b->changes && a->transactions == b->transactions);
    assert_true(a->copy.there == b->copy.there && a->copy.plan == b->copy.plan &&
                a->copy.part == b->copy.part && a->copy.direct == b->copy.direct &&
                a->copy.begin_lsn == b->copy.begin_lsn);
    assert_int_equal(a->copy.key_count, b->copy.key_count);
    for (size_t i = 0; i < a->copy.key_count; i++)
        assert_string_equal(a->copy.key[i], b->copy.key[i]);
    assert_true(a->copy.requested == b->copy.requested);
    assert_int_equal(a->copy.request_count, b->copy.request_count);
    for (size_t i = 0; i < a->copy.request_count; i++) {
        const struct copy_request *x = &a->copy.requests[i], *y = &b->copy.requests[i];
        assert_true(x->oid == y->oid && x->fresh == y->fresh && (x->where == NULL) == (y->where == NULL));
        assert_string_equal(x->nonce, y->nonce);
        assert_string_equal(x->schema, y->schema);
        assert_string_equal(x->table, y->table);
        if (x->where != NULL)
            assert_string_equal(x->where, y->where);
        assert_same_keys(x->keys, y->keys);
    }
    assert_int_equal(a->range_count, b->range_count);
    for (size_t i = 0; i < a->range_count; i++) {
        assert_string_equal(a->ranges[i].stream, b->ranges[i].stream);
        assert_int_equal(a->ranges[i].partition, b->ranges[i].partition);
        assert_true(a->ranges[i].first_offset == b->ranges[i].first_offset);
        assert_true(a->ranges[i].next_offset == b->ranges[i].next_offset);
    }
}

static void round_trip(const struct fence *fence)
{
    struct strbuf sb = STRBUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    struct fence back;
    if (!fence_encode(fence, &sb, &err) || !fence_decode(sb.data, sb.len, &back, &err))
        fail_msg("%s", err.text);
    assert_int_equal(back.format, FENCE_FORMAT);
    assert_same(fence, &back);
    fence_release(&back);
    strbuf_release(&sb);
}

static void fences_come_back(void **state)
{
    struct fence f = sample();
    round_trip(&f);
    f.marker = (struct fence_marker){.kind = MARKER_NONE};
    f.range_count = 0;
    f.kind = FENCE_SNAPSHOT_BEGIN;
    f.copy.key_count = 0;
    f.copy.direct = true;
    f.copy.begin_lsn = 0x100000020;
    f.complete = false;
    f.full = true;
    round_trip(&f);
    f.kind = FENCE_SNAPSHOT;
    f.marker = (struct fence_marker){.kind = MARKER_FINAL};
    f.copy = (struct fence_copy){.there = false};
    f.writer = f.schemas_next = 0;
    round_trip(&f);
}

/* An older reader must not take a fence whose ranges hold what does not count; others it may take. */
static void only_fences_with_a_writer_need_a_new_reader(void **state)
{
    struct strbuf sb = STRBUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    struct fence f = sample();
    assert_true(fence_encode(&f, &sb, &err));
    assert_non_null(strstr(sb.data, "{\"format\":2,"));
    strbuf_clear(&sb);
    f.copy.direct = true; /* rows that do not come by the journal */
    assert_true(fence_encode(&f, &sb, &err));
    assert_non_null(strstr(sb.data, "{\"format\":3,"));
    f.copy.direct = false;
    strbuf_clear(&sb);
    f.writer = 0;
    assert_true(fence_encode(&f, &sb, &err));
    assert_non_null(strstr(sb.data, "{\"format\":1,"));
    assert_null(strstr(sb.data, "writer"));
    strbuf_release(&sb);
}

static void refuse_encode(struct fence f)
{
    struct strbuf sb = STRBUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    assert_false(fence_encode(&f, &sb, &err));
    assert_int_equal(err.code, ERR_BUG);
    assert_int_equal(sb.len, 0);
    strbuf_release(&sb);
}

static void wrong_fences_are_not_written(void **state)
{
    struct fence f = sample();
    f.id = 0;
    refuse_encode(f);
    f = sample();
    f.kind = FENCE_UNKNOWN;
    refuse_encode(f);
    f = sample();
    f.pipeline = NULL;
    refuse_encode(f);
    struct fence_range backwards = {.stream = (char *)"s", .first_offset = 2, .next_offset = 1};
    f = sample();
    f.ranges = &backwards;
    f.range_count = 1;
    refuse_encode(f);
    f = sample();
    memset(f.marker.nonce, 'x', sizeof f.marker.nonce);
    refuse_encode(f);
}

/* The sample's text with one part replaced must be refused with this code. */
static void refuse_text(const char *from, const char *to, enum err_code code)
{
    struct fence f = sample(), back;
    struct strbuf sb = STRBUF_INIT(1 << 20), changed = STRBUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    assert_true(fence_encode(&f, &sb, &err));
    char *at = strstr(sb.data, from);
    if (at == NULL)
        fail_msg("%s is not in %s", from, sb.data);
    strbuf_add(&changed, sb.data, (size_t)(at - sb.data));
    strbuf_adds(&changed, to);
    strbuf_adds(&changed, at + strlen(from));
    if (fence_decode(changed.data, changed.len, &back, &err))
        fail_msg("taken: %s", changed.data);
    assert_int_equal(err.code, code);
    strbuf_release(&sb);
    strbuf_release(&changed);
}

static void malformed_fences_are_refused(void **state)
{
    static const char *const cases[][2] = {
        {"{\"format\"", "\"format\""},
        {"\"format\":2", "\"format\":0"},
        {"\"format\":2", "\"format\":\"1\""},
        {"\"kind\":\"stream\"", "\"kind\":\"unknown\""},
        {"\"id\":41", "\"id\":0"},
        {"\"id\":41", "\"id\":4.5"},
        {"\"id\":41,", ""},
        {"\"id\":41,", "\"id\":41,\"id\":42,"},
        {"\"lsn\":\"16/B374D848\"", "\"lsn\":\"16-B374D848\""},
        {"\"timeline\":4294967295", "\"timeline\":4294967296"},
        {"\"complete\":true", "\"complete\":1"},
        {"\"marker\":{\"kind\":\"compare\"", "\"marker\":{\"kind\":\"other\""},
        {"\"nonce\":\"0123", "\"nonce\":\"0123456789012345678901234567890123456789"},
        {"\"plan\":\"7e", "\"plan\":\"7x"},
        {"\"plan\":", "\"plane\":"},
        {"\"part\":9", "\"part\":-9"},
        {"\"key\":[\"7\"", "\"key\":[7"},
        {"\"key\":[", "\"kex\":["},
        {"\"first_offset\":10", "\"first_offset\":26"},
        {"\"first_offset\":10", "\"first_offset\":-1"},
        {"\"partition\":3", "\"partition\":-3"},
        {"\"source_system_id\":\"1", "\"source_system_id\":\"-1"},
        {"]}", "]}x"},
        {"]}", "]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        refuse_text(cases[i][0], cases[i][1], ERR_PROTOCOL);
    refuse_text("\"format\":2", "\"format\":4", ERR_UNSUPPORTED);
}

static void names_are_known(void **state)
{
    assert_string_equal(fence_kind_name(FENCE_SNAPSHOT_BEGIN), "snapshot_begin");
    assert_string_equal(fence_kind_name((enum fence_kind)99), "unknown");
    for (int i = MARKER_NONE; i <= MARKER_PING; i++)
        assert_int_equal(marker_kind_parse(marker_kind_name((enum marker_kind)i)), i);
    assert_int_equal(marker_kind_parse("what"), MARKER_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fences_come_back),
        cmocka_unit_test(only_fences_with_a_writer_need_a_new_reader),
        cmocka_unit_test(wrong_fences_are_not_written),
        cmocka_unit_test(malformed_fences_are_refused),
        cmocka_unit_test(names_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
