/* The tally behind /metrics: with 10,000 tables the page stays small and every series only counts up; histograms, classes, one table of metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/metric_table.h"
#include "control/status.h"
#include "control/tally.h"

#define TABLES 10000

static uint64_t sum_of(const struct tally_view *view, const char *name)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < view->table_count; i++) {
        for (int kind = 0; (name == NULL || strcmp(view->tables[i].name, name) == 0) && kind < TALLY_KINDS;
             kind++)
            sum += view->tables[i].rows[kind];
    }
    return sum;
}

static bool is_shown(const struct tally_view *view, const char *name)
{
    for (size_t i = 0; i < view->table_count; i++) {
        if (strcmp(view->tables[i].name, name) == 0)
            return true;
    }
    return false;
}

/* No series of `now` is below what it was. */
static void assert_counts_up(const struct tally_view *was, const struct tally_view *now)
{
    for (size_t i = 0; i < now->table_count; i++) {
        for (size_t k = 0; k < was->table_count; k++) {
            if (strcmp(was->tables[k].name, now->tables[i].name) != 0)
                continue;
            for (int kind = 0; kind < TALLY_KINDS; kind++)
                assert_true(now->tables[i].rows[kind] >= was->tables[k].rows[kind]);
        }
    }
}

static void make_tables(struct tally *t, uint32_t *ret)
{
    char name[32];
    for (int i = 0; i < TABLES; i++) {
        (void)snprintf(name, sizeof name, "t%d", i);
        ret[i] = tally_table(t, "public", name);
    }
}

static void test_ten_thousand_tables(void **state)
{
    struct status_board *board = status_board_new();
    struct role_status st = {.role = "apply", .pipeline = "shop", .retained_wal_bytes = -1};
    struct tally *t = status_board_tally(board);
    struct tally_view was, now;
    static uint32_t tables[TABLES];
    status_board_publish(board, &st);
    make_tables(t, tables);
    assert_int_equal(tables[77], tally_table(t, "public", "t77"));
    for (int i = 0; i < TABLES; i++)
        tally_row(t, tables[i], TALLY_INSERT, 10);
    tally_commit(t);
    tally_look(t, &was);
    assert_int_equal(was.table_count, TALLY_TABLES_SHOWN + 1);
    assert_int_equal(was.tables_known, TABLES);
    assert_int_equal(sum_of(&was, NULL), 10 * TABLES);
    assert_int_equal(sum_of(&was, "other"), 10 * (TABLES - TALLY_TABLES_SHOWN));

    /* A hot one among the others: it gets series of its own, and nothing is counted twice or goes back. */
    tally_row(t, tables[9999], TALLY_UPDATE, 1000);
    tally_row(t, tables[9998], TALLY_UPDATE, 5); /* more than the least, but not twice as many */
    tally_commit(t);
    tally_rank(t);
    tally_row(t, tables[9999], TALLY_UPDATE, 7);
    tally_commit(t);
    tally_look(t, &now);
    assert_int_equal(now.table_count, TALLY_TABLES_SHOWN + 1);
    assert_int_equal(sum_of(&now, "public.t9999"), 7);
    assert_false(is_shown(&now, "public.t9998"));
    assert_counts_up(&was, &now);
    assert_int_equal(sum_of(&now, "other"), sum_of(&was, "other") + 1005);
    tally_view_release(&was);
    tally_view_release(&now);

    char *text = status_board_metrics(board);
    size_t series = 0;
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
        series += p[1] != '#' && p[1] != '\0';
    assert_true(series < 1500 && strlen(text) < (size_t)1 << 20);
    assert_non_null(strstr(
        text,
        "crossfade_rows_total{role=\"apply\",pipeline=\"shop\",table=\"public.t9999\",kind=\"update\"} 7\n"));
    assert_non_null(strstr(text, "crossfade_tables{role=\"apply\",pipeline=\"shop\"} 10000\n"));
    assert_int_equal(text[strlen(text) - 1], '\n');
    free(text);
    status_board_free(board);
}

static void test_only_what_is_durable(void **state)
{
    struct tally *t = tally_new();
    struct tally_view view;
    uint32_t orders = tally_table(t, "s", "orders");
    tally_row(t, orders, TALLY_DELETE, 3);
    tally_look(t, &view);
    assert_int_equal(sum_of(&view, NULL), 0);
    tally_view_release(&view);
    tally_forget(t);
    tally_row(t, orders, TALLY_DELETE, 2);
    tally_commit(t);
    tally_commit(t);
    tally_look(t, &view);
    assert_int_equal(sum_of(&view, "s.orders"), 2);
    tally_view_release(&view);
    tally_free(t);
    tally_row(NULL, tally_table(NULL, "s", "t"), TALLY_COPY, 1); /* nobody counts */
    tally_commit(NULL);
}

static void test_histograms(void **state)
{
    struct status_board *board = status_board_new();
    struct role_status st = {.role = "capture", .pipeline = "shop", .retained_wal_bytes = -1};
    struct tally *t = status_board_tally(board);
    status_board_publish(board, &st);
    tally_observe(t, TALLY_COMMIT_SECONDS, 0.001); /* on the bound: inside */
    tally_observe(t, TALLY_COMMIT_SECONDS, 0.2);
    tally_observe(t, TALLY_COMMIT_SECONDS, 1e9);
    char *text = status_board_metrics(board);
    const char *const lines[] = {
        "# TYPE crossfade_commit_journaled_seconds histogram\n",
        "crossfade_commit_journaled_seconds_bucket{role=\"capture\",pipeline=\"shop\",le=\"0.001\"} 1\n",
        "crossfade_commit_journaled_seconds_bucket{role=\"capture\",pipeline=\"shop\",le=\"0.1\"} 1\n",
        "crossfade_commit_journaled_seconds_bucket{role=\"capture\",pipeline=\"shop\",le=\"0.25\"} 2\n",
        "crossfade_commit_journaled_seconds_bucket{role=\"capture\",pipeline=\"shop\",le=\"3600\"} 2\n",
        "crossfade_commit_journaled_seconds_bucket{role=\"capture\",pipeline=\"shop\",le=\"+Inf\"} 3\n",
        "crossfade_commit_journaled_seconds_count{role=\"capture\",pipeline=\"shop\"} 3\n"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_non_null(strstr(text, lines[i]));
    assert_null(strstr(text, "crossfade_commit_visible_seconds"));
    free(text);
    status_board_free(board);
}

static void test_classes_are_bounded(void **state)
{
    struct status_board *board = status_board_new();
    struct tally *t = status_board_tally(board);
    struct err err = {.code = ERR_SQL, .sqlstate = "23505"};
    struct tally_view view;
    tally_error(t, &err);
    tally_retry(t, &err);
    err.sqlstate[4] = '6'; /* the same class */
    tally_error(t, &err);
    char *text = status_board_metrics(board);
    assert_non_null(strstr(
        text,
        "crossfade_errors_total{role=\"unknown\",pipeline=\"\",class=\"sql\",sqlstate_class=\"23\"} 2\n"));
    assert_non_null(strstr(
        text,
        "crossfade_retries_total{role=\"unknown\",pipeline=\"\",class=\"sql\",sqlstate_class=\"23\"} 1\n"));
    assert_non_null(strstr(
        text,
        "crossfade_errors_total{role=\"unknown\",pipeline=\"\",class=\"connect\",sqlstate_class=\"\"} 0\n"));
    free(text);
    for (int i = 0; i < 1000; i++) { /* a server that makes them up */
        (void)snprintf(err.sqlstate, sizeof err.sqlstate, "%c%c000", 'A' + i % 26, 'A' + i / 26 % 26);
        tally_error(t, &err);
    }
    tally_look(t, &view);
    assert_int_equal(view.class_count, TALLY_CLASSES_MAX);
    uint64_t errors = 0;
    for (size_t i = 0; i < view.class_count; i++)
        errors += view.classes[i].errors;
    assert_int_equal(errors, 1002);
    assert_string_equal(view.classes[TALLY_CLASSES_MAX - 1].sqlstate_class, "**");
    tally_view_release(&view);
    status_board_free(board);
}

/* Each metric has all of its parts, and a name of its own. */
static void test_table_of_metrics(void **state)
{
    for (int i = 0; i < METRICS_MAX_; i++) {
        const struct metric_def *def = metric_def((enum metric_id)i);
        assert_non_null(def->name);
        assert_true(strlen(def->help) > 10 && def->help[strlen(def->help) - 1] == '.');
        assert_true(strcmp(def->roles, "both") == 0 || strcmp(def->roles, "capture") == 0 ||
                    strcmp(def->roles, "apply") == 0);
        size_t len = strlen(def->name);
        assert_int_equal(def->type == METRIC_COUNTER, len > 6 && strcmp(def->name + len - 6, "_total") == 0);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(def->name, metric_def((enum metric_id)k)->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_thousand_tables), cmocka_unit_test(test_only_what_is_durable),
        cmocka_unit_test(test_histograms),          cmocka_unit_test(test_classes_are_bounded),
        cmocka_unit_test(test_table_of_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
