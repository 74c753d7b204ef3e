/* What a status page keeps: tables in passes, so that a slow client gets less and misses nothing; rings that stay as long as they are said to be; and what is served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/log.h"
#include "statuspage/kept.h"
#include "statuspage/statuspage.h"

#define MANY 1203

static struct statuspage_table tables[MANY];
static char names[MANY][16];

static void set_up_tables(void)
{
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "public.t%zu", i);
        tables[i] = (struct statuspage_table){.name = names[i]};
    }
}

/* Until nothing comes; *ret_most: the longest message. */
static size_t take_all(const struct kept_tables *kept, struct tables_seen *seen, int64_t rows[MANY],
                       size_t *ret_most)
{
    size_t messages = 0, i;
    json_t *message, *row;
    *ret_most = 0;
    while ((message = kept_tables_next(kept, seen)) != NULL) {
        messages++;
        const json_t *list = json_object_get(message, "rows");
        *ret_most = json_array_size(list) > *ret_most ? json_array_size(list) : *ret_most;
        json_array_foreach(list, i, row) rows[json_integer_value(json_array_get(row, 0))] =
            json_integer_value(json_array_get(row, 2));
        json_decref(message);
        assert_true(messages < 100);
    }
    return messages;
}

static void test_tables(void **state)
{
    struct kept_tables kept = {0};
    struct tables_seen seen = {0};
    static int64_t rows[MANY];
    size_t most = 0;
    (void)state;
    set_up_tables();
    assert_null(kept_tables_next(&kept, &seen));
    kept_tables_set(&kept, tables, MANY);
    assert_int_equal(take_all(&kept, &seen, rows, &most), 3);
    assert_int_equal(most, 500);
    kept_tables_set(&kept, tables, MANY); /* nothing has changed */
    assert_int_equal(take_all(&kept, &seen, rows, &most), 0);
    tables[7].rows = 70;
    tables[1200].rows = 12;
    kept_tables_set(&kept, tables, MANY);
    assert_int_equal(take_all(&kept, &seen, rows, &most), 1);
    assert_int_equal(most, 2);
    /* what changes in the middle of a pass, before and behind where it stands, arrives */
    for (size_t i = 0; i < MANY; i++)
        tables[i].rows++;
    kept_tables_set(&kept, tables, MANY);
    json_decref(kept_tables_next(&kept, &seen));
    tables[7].rows = 700;
    tables[1201].rows = 800;
    kept_tables_set(&kept, tables, MANY);
    (void)take_all(&kept, &seen, rows, &most);
    assert_int_equal(rows[7], 700);
    assert_int_equal(rows[1201], 800);
    assert_int_equal(rows[1200], 13);
    /* other names: another list, from its beginning; and an empty one */
    uint64_t before = kept.id;
    tables[0].name = "public.other";
    kept_tables_set(&kept, tables, MANY);
    assert_int_not_equal(kept.id, before);
    assert_int_equal(take_all(&kept, &seen, rows, &most), 3);
    kept_tables_set(&kept, tables, 0);
    json_t *message = kept_tables_next(&kept, &seen);
    assert_int_equal(json_integer_value(json_object_get(message, "total")), 0);
    json_decref(message);
    assert_null(kept_tables_next(&kept, &seen));
    kept_tables_release(&kept);
}

static void test_samples(void **state)
{
    struct kept_samples *kept = calloc(1, sizeof *kept);
    uint64_t seen = 0;
    (void)state;
    assert_null(kept_samples_next(kept, &seen));
    for (int64_t i = 0; i < STATUSPAGE_SAMPLES + 5; i++)
        kept_samples_add(
            kept, &(struct statuspage_sample){.wall_us = i * 1000000, .apply_s = -1, .capture_s = 0.25});
    json_t *list = kept_samples_next(kept, &seen);
    assert_int_equal(json_array_size(list), STATUSPAGE_SAMPLES);
    const json_t *first = json_array_get(list, 0);
    assert_int_equal(json_integer_value(json_array_get(first, 0)), 5);
    assert_true(json_real_value(json_array_get(first, 3)) > 0.24 && json_is_null(json_array_get(first, 4)));
    json_decref(list);
    assert_null(kept_samples_next(kept, &seen));
    kept_samples_add(kept, &(struct statuspage_sample){0});
    list = kept_samples_next(kept, &seen);
    assert_int_equal(json_array_size(list), 1);
    json_decref(list);
    free(kept);
}

static void test_events(void **state)
{
    struct kept_events *kept = calloc(1, sizeof *kept);
    char text[3 * KEPT_EVENT_TEXT] = "";
    (void)state;
    assert_null(kept_events_after(kept, 0, NULL));
    for (size_t i = 0; i + 3 < sizeof text; i += 2)
        memcpy(text + i, "\u00e4", 3);
    for (int i = 0; i < STATUSPAGE_EVENTS + 3; i++)
        kept_events_add(
            kept, &(struct statuspage_event){
                      .role = i % 2 == 0 ? "apply" : "capture", .level = "info", .name = "n", .text = text});
    json_t *list =
        kept_events_after(kept, 0, NULL); /* a character that was cut is no reason to say nothing */
    assert_int_equal(json_array_size(list), STATUSPAGE_EVENTS);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "id")), 4);
    json_decref(list);
    list = kept_events_after(kept, STATUSPAGE_EVENTS, "apply");
    assert_int_equal(json_array_size(list), 2);
    json_decref(list);
    assert_null(kept_events_after(kept, STATUSPAGE_EVENTS + 3, NULL));
    free(kept);
}

/* The page with a name that wants out; what is logged goes on the stream, newest state only. */
static void test_page(void **state)
{
    (void)state;
    struct statuspage *page = statuspage_new("capture", "<b>\"x");
    const struct http_pages *pages = statuspage_pages(page);
    struct http_page got = {0};
    assert_true(pages->get(pages->ctx, "/", 0, &got));
    assert_null(strstr(got.body, "<b>\"x"));
    assert_non_null(strstr(got.body, "&lt;b&gt;"));
    assert_null(strstr(got.body, "{{"));
    assert_null(strstr(got.policy, "'none''")); /* both hashes are there */
    assert_non_null(strstr(got.policy, "style-src 'sha256-"));
    assert_non_null(strstr(got.policy, "script-src 'sha256-"));
    free(got.body);
    assert_false(pages->get(pages->ctx, "/page/other", 0, &got));
    assert_false(statuspage_wants_facts(page));
    assert_true(pages->get(pages->ctx, "/page/facts", 0, &got));
    assert_string_equal(got.body, "{}");
    free(got.body);
    assert_true(statuspage_wants_facts(page) && !statuspage_is_watched(page));

    void *client = pages->stream_open(pages->ctx);
    assert_true(statuspage_is_watched(page));
    log_event(LOG_LEVEL_WARN, "odd", "text=\"a\nb\"");
    statuspage_show_live(page, "{\"n\":1}");
    statuspage_show_live(page, "{\"n\":2}");
    struct strbuf out = STRBUF_INIT(100000);
    pages->stream_next(client, &out);
    assert_non_null(strstr(out.data, "event: hello\n"));
    assert_non_null(strstr(out.data, "data: {\"n\":2}\n\n"));
    assert_null(strstr(out.data, "{\"n\":1}"));
    assert_non_null(strstr(out.data, "\"event\":\"odd\""));
    strbuf_clear(&out);
    pages->stream_next(client, &out);
    assert_int_equal(out.len, 0);
    strbuf_release(&out);
    pages->stream_close(client);
    assert_false(statuspage_is_watched(page));
    statuspage_free(page);
    log_event(LOG_LEVEL_WARN, "afterwards", "nobody=listens");
}

int main(void)
{
    const struct CMUnitTest all[] = {cmocka_unit_test(test_tables), cmocka_unit_test(test_samples),
                                     cmocka_unit_test(test_events), cmocka_unit_test(test_page)};
    return cmocka_run_group_tests(all, NULL, NULL);
}
