/* One suite for the two dialects of cutover/store/store.h: what a cutover writes to its target, it reads back alike from either. */
#include "mariadb_server.h"

#include "config/config.h"
#include "core/alloc.h"
#include "cutover/cutover_internal.h"

static struct pg_server postgres;
static struct mariadb_server mariadb;
static struct err err;

static void ok(bool good)
{
    if (!good)
        fail_msg("%s: %s", err_code_name(err.code), err.text);
}

static void say(void *ctx, const char *text)
{
    (void)ctx;
    print_message("%s\n", text);
}

static const struct cutover_talk talk = {.say = say, .stop_fd = -1};

struct desk {
    struct config *cfg;
    struct cutover_report report;
    struct cutover co;
};

static struct desk *desk_open(void **state)
{
    struct desk *d = xcalloc(1, sizeof *d);
    char yaml[400];
    int n =
        *state != NULL
            ? snprintf(yaml, sizeof yaml,
                       "pipeline: shop\ntarget: { url: \"mariadb://crossfade:p%%40ss@127.0.0.1:%d/shop\" }\n",
                       mariadb.port)
            : snprintf(yaml, sizeof yaml, "pipeline: shop\ntarget: { url: \"%s\" }\n", postgres.url);
    ok(config_load_text("test", yaml, (size_t)n, NULL, 0, NULL, &d->cfg, &err));
    ok(cutover_open_target(&d->co, d->cfg, &err));
    d->co.talk = &talk;
    d->co.report = &d->report;
    d->co.attempt = 1;
    ok(d->co.store->make(&d->co, &err) && d->co.store->make(&d->co, &err));
    return d;
}

static void desk_close(struct desk *d)
{
    cutover_close(&d->co);
    config_free(d->cfg);
    free(d);
}

static int start_servers(void **state)
{
    (void)state;
    pg_server_start(&postgres);
    mariadb_server_start(&mariadb);
    mysql_close(mariadb_server_database(&mariadb, "shop"));
    return 0;
}

static int stop_servers(void **state)
{
    (void)state;
    pg_server_stop(&postgres);
    mariadb_server_stop(&mariadb);
    return 0;
}

static void run_statement(struct desk *d, const char *sql)
{
    struct rowset *rs = NULL;
    ok(d->co.store->ask(&d->co, sql, 0, NULL, &rs, &err));
    rowset_free(rs);
}

static const char *by_dialect(const struct desk *d, const char *on_postgres, const char *on_mariadb)
{
    return d->co.store == &store_mariadb ? on_mariadb : on_postgres;
}

static void nothing_is_there(void **state)
{
    struct desk *d = desk_open(state);
    static const enum store_statement empty[] = {
        STORE_FIND_OPEN, STORE_LIST,   STORE_STEPS,  STORE_POSITION,     STORE_BASELINE,      STORE_FULL_PASS,
        STORE_PAST,      STORE_SHADOW, STORE_SHAPES, STORE_NOTED_SCHEMA, STORE_SHADOW_LATENCY};
    static const int params_of[STORE_STATEMENTS] = {
        [STORE_FIND_OPEN] = 1, [STORE_LIST] = 2,         [STORE_STEPS] = 2,         [STORE_POSITION] = 1,
        [STORE_BASELINE] = 3,  [STORE_FULL_PASS] = 1,    [STORE_PAST] = 1,          [STORE_SHADOW] = 1,
        [STORE_SHAPES] = 1,    [STORE_NOTED_SCHEMA] = 1, [STORE_SHADOW_LATENCY] = 1};
    for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
        struct rowset *rs = NULL;
        const char *params[] = {empty[i] == STORE_SHAPES ? "1" : "shop",
                                empty[i] == STORE_LIST       ? NULL
                                : empty[i] == STORE_BASELINE ? "-infinity"
                                                             : "x",
                                "y"};
        ok(store_ask(&d->co, empty[i], params_of[empty[i]], params, &rs, &err));
        assert_int_equal(rowset_rows(rs), 0);
        rowset_free(rs);
    }
    struct rowset *lags = NULL;
    ok(store_ask(&d->co, STORE_LAGS, 1, &d->co.pipeline, &lags, &err));
    assert_true(rowset_rows(lags) == 0 || rowset_is_null(lags, 0, 1));
    rowset_free(lags);
    char *identity = NULL;
    ok(store_text(&d->co, STORE_IDENTITY, 0, NULL, &identity, &err));
    assert_non_null(identity);
    free(identity);
    desk_close(d);
}

/* A record, its rows of the chain, who took it up again, and what is found of it. */
static void steps_are_kept(void **state)
{
    struct desk *d = desk_open(state), *other = desk_open(state);
    struct cutover *co = &d->co;
    bool found = false, ended = true, there = false;
    (void)snprintf(co->id, sizeof co->id, "20260101T000000Z-one");
    (void)snprintf(co->nonce, sizeof co->nonce, "a 'quoted' \\ nonce");
    co->final_lsn = 0x1234567890;
    co->pause_began_wall_us = 1234567890123;
    co->read_share = 10;
    ok(record_state(co, CUT_BEGINNING, &err));
    co->from = CUT_BEGINNING;
    co->took_us = 2500;
    notes_add(co, json_pack("{s:s, s:i}", "kind", "hook", "at_us", 7));
    ok(record_state(co, CUT_DRAINING, &err));
    assert_int_equal(co->seq, 2);
    ok(record_find_open(&other->co, &found, &err));
    assert_true(found);
    assert_string_equal(other->co.id, co->id);
    assert_string_equal(other->co.nonce, co->nonce);
    assert_true(other->co.state == CUT_DRAINING && other->co.seq == 2 &&
                other->co.final_lsn == co->final_lsn);
    assert_true(other->co.pause_began_wall_us == co->pause_began_wall_us && other->co.read_share == 10);
    for (int i = 0; i < 60; i++)
        ok(notes_resumed(&other->co, &err));
    assert_int_equal(other->co.attempt, 61);
    notes_add(&other->co, json_pack("{s:s}", "kind", "straggler"));
    notes_keep(&other->co);
    struct rowset *rs = NULL;
    const char *step[] = {co->id, "2"};
    ok(store_ask(co, STORE_STEP_READ, 2, step, &rs, &err));
    json_t *detail = json_loads(rowset_cell(rs, 0, 0), 0, NULL);
    assert_int_equal(json_array_size(json_object_get(detail, "resumed")), 50);
    assert_int_equal(json_array_size(json_object_get(detail, "notes")), 1);
    assert_int_equal(json_array_size(json_object_get(detail, "late_notes")), 1);
    assert_string_equal(json_string_value(json_object_get(detail, "from")), "beginning");
    assert_true(rowset_int64(rs, 0, 1) > INT64_C(1700000000000000));
    json_decref(detail);
    rowset_free(rs);
    const char *one[] = {co->id};
    ok(store_bool(co, STORE_ENDED, 1, one, &ended, &err) &&
       store_bool(co, STORE_THERE, 0, NULL, &there, &err));
    assert_true(!ended && there);
    desk_close(other);

    co->report->pause_us = 4321;
    ok(record_state(co, CUT_DONE, &err));
    ok(store_bool(co, STORE_ENDED, 1, one, &ended, &err) && record_find_open(co, &found, &err));
    assert_true(ended && !found);
    const char *list[] = {"shop", NULL}, *steps[] = {"shop", co->id};
    rs = NULL;
    ok(store_ask(co, STORE_LIST, 2, list, &rs, &err));
    assert_int_equal(rowset_rows(rs), 1);
    assert_string_equal(rowset_cell(rs, 0, 1), "done");
    assert_int_equal(strlen(rowset_cell(rs, 0, 2)), strlen("2026-01-01T00:00:00.000Z"));
    assert_int_equal(rowset_int64(rs, 0, 4), 4321);
    assert_false(rowset_bool(rs, 0, 6));
    rowset_free(rs);
    rs = NULL;
    ok(store_ask(co, STORE_STEPS, 2, steps, &rs, &err));
    assert_int_equal(rowset_rows(rs), 3);
    assert_string_equal(rowset_cell(rs, 1, 0), "draining");
    assert_int_equal(rowset_int64(rs, 0, 2), 2500);
    assert_int_equal(rowset_int64(rs, 2, 2), -1);
    rowset_free(rs);
    rs = NULL;
    ok(store_ask(co, STORE_PAST, 1, list, &rs, &err));
    assert_int_equal(rowset_rows(rs), 1);
    assert_int_equal(rowset_int64(rs, 0, 1), 2);
    rowset_free(rs);
    struct audit_verdict verdict;
    ok(audit_verify(trail_audit(co, &err), NULL, 0, &verdict, &err));
    assert_true(verdict.finding_count == 0 && verdict.rows >= 63);
    desk_close(d);
}

/* One at a time, as long as the session lives; and what its transaction has appended to the chain is not there if it is rolled back. */
static void one_at_a_time(void **state)
{
    struct desk *d = desk_open(state), *other = desk_open(state);
    struct audit_verdict before, after;
    ok(cutover_lock(&d->co, &err));
    assert_false(cutover_lock(&other->co, &err));
    assert_int_equal(err.code, ERR_BUSY);
    err_clear(&err);
    ok(audit_verify(trail_audit(&d->co, &err), NULL, 0, &before, &err));
    ok(trail_begin(&d->co, &err));
    ok(audit_append(trail_audit(&d->co, &err), "x", "cutover.step", NULL, NULL, &err));
    ok(audit_append(trail_audit(&d->co, &err), "x", "cutover.step", NULL, NULL, &err));
    ok(store_rollback(&d->co, &err));
    ok(audit_append(trail_audit(&other->co, &err), "x", "cutover.step", NULL, NULL, &err));
    ok(audit_verify(trail_audit(&d->co, &err), NULL, 0, &after, &err));
    assert_int_equal(after.rows, before.rows + 1);
    assert_int_equal(after.finding_count, 0);
    ok(d->co.store->renew(&d->co, &err)); /* the same session: it keeps its lock */
    assert_false(cutover_lock(&other->co, &err));
    err_clear(&err);
    desk_close(d);
    for (int i = 0; i < 200 && !cutover_lock(&other->co, &err);
         i++) { /* the server has to see that it has gone */
        err_clear(&err);
        usleep(50000);
    }
    ok(cutover_lock(&other->co, &err));
    desk_close(other);
}

static void comparisons_are_found(void **state)
{
    struct desk *d = desk_open(state);
    run_statement(
        d, by_dialect(d,
                      "INSERT INTO crossfade.verdict (pipeline, fence_id, lsn, scope, verdict, detail, "
                      "started_at, finished_at) VALUES "
                      "('shop', 7, '0/70', 'full', 'PASS', '{\"shapes\": {\"public.a\": \"x\"}, \"schema\": "
                      "\"abc\"}', now() - interval '5 s', now())",
                      "INSERT INTO crossfade_verdict (pipeline, fence_id, lsn, scope, verdict, detail, "
                      "started_at, finished_at) VALUES "
                      "('shop', 7, '0/70', 'full', 'PASS', '{\"shapes\": {\"public.a\": \"x\"}, \"schema\": "
                      "\"abc\"}', UTC_TIMESTAMP(6) - INTERVAL 5 SECOND, UTC_TIMESTAMP(6))"));
    run_statement(d,
                  by_dialect(d,
                             "INSERT INTO crossfade.comparison (pipeline, level, every_s, started_at, "
                             "finished_at, verdict, whole, tables, row_count, differences, held_us, lag_us) "
                             "SELECT 'shop', 'digests', 1, now(), now(), 'PASS', true, 1, 1, 0, 0, i * 1000 "
                             "FROM generate_series(1, 100) i",
                             "INSERT INTO crossfade_comparison (pipeline, level, every_s, started_at, "
                             "finished_at, verdict, whole, tables, row_count, differences, held_us, lag_us) "
                             "SELECT 'shop', 'digests', 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), 'PASS', true, "
                             "1, 1, 0, 0, seq * 1000 FROM seq_1_to_100"));
    const char *baseline[] = {"shop", "-infinity", ""}, *of[] = {"shop"};
    struct rowset *rs = NULL;
    ok(store_ask(&d->co, STORE_BASELINE, 3, baseline, &rs, &err));
    assert_int_equal(rowset_rows(rs), 1);
    assert_int_equal(rowset_int64(rs, 0, 0), 7);
    const char *id[] = {rowset_cell(rs, 0, 2)};
    char *text = NULL;
    ok(store_text(&d->co, STORE_SHAPES, 1, id, &text, &err));
    json_t *shapes = json_loads(text, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(shapes, "public.a")), "x");
    json_decref(shapes);
    free(text);
    rowset_free(rs);
    ok(store_text(&d->co, STORE_NOTED_SCHEMA, 1, of, &text, &err));
    assert_string_equal(text, "abc");
    free(text);
    ok(store_text(&d->co, STORE_FULL_PASS, 1, of, &text, &err));
    assert_string_equal(text, "5000");
    free(text);
    rs = NULL;
    ok(store_ask(&d->co, STORE_LAGS, 1, of, &rs, &err));
    assert_int_equal(rowset_int64(rs, 0, 0), 100);
    assert_int_equal(rowset_int64(rs, 0, 1), 95);
    rowset_free(rs);
    desk_close(d);
}

/* Behind a switch only what was noted with it counts. */
static void a_start_is_noted(void **state)
{
    struct desk *d = desk_open(state);
    run_statement(
        d, by_dialect(d,
                      "INSERT INTO crossfade.position (pipeline, fence_id, fence_offset, lsn, "
                      "source_system_id, attempt, complete) VALUES ('there', 9, 9, '0/90', 1, 1, true)",
                      "INSERT INTO crossfade_position (pipeline, fence_id, fence_offset, lsn, "
                      "source_system_id, attempt, complete, applied_at) VALUES ('there', 9, 9, '0/90', 1, "
                      "1, true, UTC_TIMESTAMP(6))"));
    const char *start[] = {"there", "{\"public.a\": \"y\"}", "the switch", NULL};
    const char *behind[] = {"there", "2099-01-01", "the switch"},
               *other[] = {"there", "2099-01-01", "another"};
    struct rowset *rs = NULL;
    ok(store_ask(&d->co, STORE_NOTE_START, 4, start, &rs, &err));
    rowset_free(rs);
    rs = NULL;
    ok(store_ask(&d->co, STORE_BASELINE, 3, behind, &rs, &err));
    assert_int_equal(rowset_rows(rs), 1);
    assert_int_equal(rowset_int64(rs, 0, 0), 9);
    const char *id[] = {rowset_cell(rs, 0, 2)};
    char *text = NULL;
    ok(store_text(&d->co, STORE_SHAPES, 1, id, &text, &err));
    assert_non_null(strstr(text, "\"y\""));
    free(text);
    rowset_free(rs);
    rs = NULL;
    ok(store_ask(&d->co, STORE_BASELINE, 3, other, &rs, &err));
    assert_int_equal(rowset_rows(rs), 0);
    rowset_free(rs);
    desk_close(d);
}

int main(void)
{
    static int on_mariadb = 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_there),
        cmocka_unit_test_prestate(nothing_is_there, &on_mariadb),
        cmocka_unit_test(steps_are_kept),
        cmocka_unit_test_prestate(steps_are_kept, &on_mariadb),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test_prestate(one_at_a_time, &on_mariadb),
        cmocka_unit_test(comparisons_are_found),
        cmocka_unit_test_prestate(comparisons_are_found, &on_mariadb),
        cmocka_unit_test(a_start_is_noted),
        cmocka_unit_test_prestate(a_start_is_noted, &on_mariadb),
    };
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
