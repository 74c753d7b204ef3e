/* The board: JSON and metrics of what was published; unknown things are null; hostile texts are escaped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "control/status.h"
#include "core/clock.h"

static json_t *look(struct status_board *board)
{
    char *text = status_board_json(board);
    json_error_t error;
    json_t *root = json_loads(text, 0, &error);
    if (root == NULL)
        fail_msg("%s: %s", error.text, text);
    free(text);
    return root;
}

static double number(json_t *root, const char *key)
{
    json_t *value = json_object_get(root, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static const char *text_of(json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));
    assert_non_null(text);
    return text;
}

static struct role_status streaming(const char *role)
{
    return (struct role_status){.role = role,
                                .pipeline = "shop",
                                .phase = PHASE_STREAMING,
                                .source_lsn = 0x100000500,
                                .journaled_lsn = 0x100000200,
                                .applied_lsn = 0x100000180,
                                .position_commit_us = clock_wall_us() - 5000000,
                                .retained_wal_bytes = -1};
}

static void test_nothing_known(void **state)
{
    struct status_board *board = status_board_new();
    json_t *root = look(board);
    assert_string_equal(text_of(root, "phase"), "unknown");
    const char *nulls[] = {"source_lsn",  "journaled_lsn", "applied_lsn",        "lag_bytes",
                           "lag_seconds", "snapshot",      "retained_wal_bytes", "last_error"};
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
        assert_true(json_is_null(json_object_get(root, nulls[i])));
    json_decref(root);
    status_board_free(board);
}

static void test_lag_by_role(void **state)
{
    struct status_board *board = status_board_new();
    struct role_status st = streaming("capture");
    status_board_publish(board, &st);
    json_t *root = look(board);
    assert_string_equal(text_of(root, "source_lsn"), "1/500");
    assert_int_equal((int)number(root, "lag_bytes"), 0x300);
    assert_true(number(root, "lag_seconds") >= 5.0 && number(root, "lag_seconds") < 60.0);
    json_decref(root);

    st.role = "apply";
    st.caught_up_us = clock_wall_us();
    status_board_publish(board, &st);
    root = look(board);
    assert_int_equal((int)number(root, "lag_bytes"), 0x80);
    assert_true(number(root, "lag_seconds") < 5.0);
    json_decref(root);

    st.applied_lsn = st.journaled_lsn + 10; /* a stale journaled position never makes a negative lag */
    status_board_publish(board, &st);
    root = look(board);
    assert_int_equal((int)number(root, "lag_bytes"), 0);
    json_decref(root);
    status_board_free(board);
}

/* An idle source has old commits and no lag. */
static void test_no_lag_when_idle(void **state)
{
    struct status_board *board = status_board_new();
    struct role_status st = streaming("capture");
    st.journaled_lsn = st.source_lsn;
    status_board_publish(board, &st);
    json_t *root = look(board);
    assert_true(number(root, "lag_seconds") < 5.0);
    json_decref(root);
    st.phase = PHASE_RETRYING; /* it cannot know whether there is more */
    status_board_publish(board, &st);
    root = look(board);
    assert_true(number(root, "lag_seconds") >= 5.0);
    json_decref(root);
    status_board_free(board);
}

static int retained_of(struct status_board *board)
{
    json_t *root = look(board);
    int retained = (int)number(root, "retained_wal_bytes");
    json_decref(root);
    return retained;
}

/* What was found of the slot stays until the role itself says more: what it said before is older. */
static void test_what_was_found_of_the_slot(void **state)
{
    struct status_board *board = status_board_new();
    struct role_status st = streaming("capture"), found = {.retained_wal_bytes = 77, .safe_wal_bytes = -1};
    st.retained_wal_bytes = 33;
    status_board_publish(board, &st);
    status_board_slot(board, &found);
    assert_int_equal(retained_of(board), 77);
    status_board_publish(board, &st);
    assert_int_equal(retained_of(board), 77);
    status_board_slot(board, NULL);
    assert_int_equal(retained_of(board), 77);
    st.retained_wal_bytes = 55;
    status_board_publish(board, &st);
    assert_int_equal(retained_of(board), 55);
    status_board_free(board);
}

static void test_snapshot(void **state)
{
    struct status_board *board = status_board_new();
    struct role_status st = streaming("capture");
    struct table_status tables[2] = {{.name = "public.a", .rows = 10, .rows_estimate = 100, .done = false},
                                     {.name = "public.b", .rows = 15, .done = true}};
    st.phase = PHASE_SNAPSHOT;
    st.snapshot_started_us = clock_wall_us() - 1000000;
    st.snapshot_rows = 25;
    st.snapshot_rows_estimate = 100;
    st.tables = tables;
    st.table_count = 2;
    status_board_publish(board, &st);
    memset(tables, 'x', sizeof tables); /* the board has its own copy */
    json_t *root = look(board);
    json_t *snapshot = json_object_get(root, "snapshot");
    assert_true(number(snapshot, "percent") == 25.0);
    json_t *list = json_object_get(snapshot, "tables");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(text_of(json_array_get(list, 0), "name"), "public.a");
    assert_true(json_is_null(json_object_get(json_array_get(list, 1), "estimate")));
    json_decref(root);

    st.tables = NULL;
    st.table_count = 0;
    st.snapshot_rows = 200; /* more than estimated, and not finished: not 100 % */
    status_board_publish(board, &st);
    root = look(board);
    assert_true(number(json_object_get(root, "snapshot"), "percent") < 100.0);
    json_decref(root);

    st.snapshot_finished_us = clock_wall_us();
    status_board_publish(board, &st);
    root = look(board);
    assert_true(number(json_object_get(root, "snapshot"), "percent") == 100.0);
    json_decref(root);
    status_board_free(board);
}

static void test_hostile_texts(void **state)
{
    struct status_board *board = status_board_new();
    struct role_status st = streaming("capture");
    strcpy(st.last_error, "bad \"quote\" \\ \x01 byte \xff\xfe end");
    strcpy(st.pipeline, "a\"b\\c\nd");
    status_board_publish(board, &st);
    json_t *root = look(board);
    assert_non_null(strstr(text_of(root, "last_error"), "\"quote\" \\"));
    assert_non_null(strstr(text_of(root, "last_error"), "?? end"));
    json_decref(root);
    char *metrics = status_board_metrics(board);
    assert_non_null(strstr(metrics, "pipeline=\"a\\\"b\\\\c\\nd\""));
    free(metrics);
    status_board_free(board);
}

static void test_metrics(void **state)
{
    struct status_board *board = status_board_new();
    struct role_status st = streaming("apply");
    st.changes = 12345678901234;
    status_board_publish(board, &st);
    char *metrics = status_board_metrics(board);
    assert_non_null(strstr(metrics,
                           "# TYPE crossfade_changes_total counter\n"
                           "crossfade_changes_total{role=\"apply\",pipeline=\"shop\"} 12345678901234\n"));
    assert_non_null(
        strstr(metrics, "crossfade_phase{role=\"apply\",pipeline=\"shop\",phase=\"streaming\"} 1\n"));
    assert_non_null(
        strstr(metrics, "crossfade_phase{role=\"apply\",pipeline=\"shop\",phase=\"halted\"} 0\n"));
    assert_non_null(
        strstr(metrics, "crossfade_lag_bytes{role=\"apply\",pipeline=\"shop\",stage=\"applied\"} 128\n"));
    assert_null(strstr(metrics, "crossfade_retained_wal_bytes"));
    assert_int_equal(metrics[strlen(metrics) - 1], '\n');
    free(metrics);
    status_board_free(board);
}

static void test_health(void **state)
{
    struct status_board *board = status_board_new();
    struct role_status st = streaming("apply");
    for (int phase = PHASE_UNKNOWN; phase < PHASE_MAX_; phase++) {
        st.phase = (enum role_phase)phase;
        status_board_publish(board, &st);
        assert_int_equal(status_board_healthy(board), phase != PHASE_HALTED && phase != PHASE_RETRYING);
        assert_non_null(role_phase_name(st.phase));
    }
    assert_string_equal(role_phase_name((enum role_phase)99), "unknown");
    status_board_free(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_known),    cmocka_unit_test(test_lag_by_role),
        cmocka_unit_test(test_no_lag_when_idle), cmocka_unit_test(test_what_was_found_of_the_slot),
        cmocka_unit_test(test_snapshot),         cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_metrics),          cmocka_unit_test(test_health),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
