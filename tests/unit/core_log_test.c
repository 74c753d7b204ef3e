/* Log lines: one event is one line, whatever is in it; the JSON form is JSON; lines of threads do not mix. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/log.h"
#include "core/log_events.h"

static FILE *captured;
static int real_stderr;

static void begin(void)
{
    captured = tmpfile();
    assert_non_null(captured);
    real_stderr = dup(STDERR_FILENO);
    dup2(fileno(captured), STDERR_FILENO);
}

/* What was written to stderr since begin(). free() */
static char *end(void)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    long size = ftell(captured);
    fseek(captured, 0, SEEK_END);
    size = ftell(captured);
    char *text = calloc(1, (size_t)size + 1);
    rewind(captured);
    assert_int_equal(fread(text, 1, (size_t)size, captured), (size_t)size);
    fclose(captured);
    return text;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static void plain_lines(void **state)
{
    begin();
    log_init("capture", LOG_LEVEL_INFO, false);
    log_event(LOG_LEVEL_DEBUG, "hidden", "x=1");
    log_event(LOG_LEVEL_INFO, "fence", "id=%d text=\"%s\"", 7, "a\nb\r\t\033[0m");
    assert_false(log_enabled(LOG_LEVEL_DEBUG));
    assert_true(log_enabled(LOG_LEVEL_ERROR));
    char *text = end();
    assert_int_equal(count_lines(text), 1);
    assert_non_null(strstr(text, "Z info  capture fence id=7 text=\"a b   [0m\"\n"));
    free(text);
}

static void long_lines_are_cut(void **state)
{
    char huge[10000];
    memset(huge, 'x', sizeof huge);
    huge[sizeof huge - 1] = '\0';
    for (int json = 0; json < 2; json++) {
        begin();
        log_init("apply", LOG_LEVEL_INFO, json);
        log_event(LOG_LEVEL_WARN, "huge", "%s", huge);
        memset(huge, '"', 3000);
        log_event(LOG_LEVEL_WARN, "quotes", "%s", huge);
        char *text = end();
        assert_int_equal(count_lines(text), 2);
        assert_int_equal(text[strlen(text) - 1], '\n');
        free(text);
    }
}

static json_t *only_line_as_json(char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);
    if (json == NULL)
        fail_msg("%s: %s", error.text, text);
    free(text);
    return json;
}

static void json_lines(void **state)
{
    static const char *const details[] = {"id=1", "a\"b\\c", "line\nbreak\ttab\001", "é☺𝄞", ""};
    for (size_t i = 0; i < sizeof details / sizeof *details; i++) {
        begin();
        log_init("apply", LOG_LEVEL_INFO, true);
        log_event(LOG_LEVEL_ERROR, "halt", "%s", details[i]);
        json_t *json = only_line_as_json(end());
        assert_string_equal(json_string_value(json_object_get(json, "detail")), details[i]);
        assert_string_equal(json_string_value(json_object_get(json, "level")), "error");
        assert_string_equal(json_string_value(json_object_get(json, "role")), "apply");
        assert_string_equal(json_string_value(json_object_get(json, "event")), "halt");
        json_decref(json);
    }
}

/* However long the text and wherever it is cut, what comes out is JSON. */
static void json_survives_any_cut(void **state)
{
    static const char *const units[] = {"x", "\"", "\n", "é", "☺", "𝄞", "\001", "\xff", "\xe2\x98"};
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char text[6000] = "...";
            text[shift < 3 ? shift : 3] = '\0';
            size_t unit = strlen(units[u]);
            for (size_t at = strlen(text); at + unit < sizeof text; at += unit)
                memcpy(text + at, units[u], unit + 1);
            begin();
            log_init("apply", LOG_LEVEL_INFO, true);
            log_event(LOG_LEVEL_ERROR, "halt", "%s", text);
            json_decref(only_line_as_json(end()));
        }
    }
}

static void *write_lines(void *letter)
{
    char text[700];
    memset(text, *(const char *)letter, sizeof text);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 300; i++)
        log_event(LOG_LEVEL_INFO, "line", "%s", text);
    return NULL;
}

static void threads_do_not_mix(void **state)
{
    static const char letters[] = "abcd";
    pthread_t threads[4];
    begin();
    log_init("test", LOG_LEVEL_INFO, false);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, (void *)(uintptr_t)&letters[i]), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    char *text = end();
    assert_int_equal(count_lines(text), 1200);
    for (char *line = text, *next; *line != '\0'; line = next + 1) {
        next = strchr(line, '\n');
        const char *body = strstr(line, " line ") + 6;
        assert_int_equal(next - body, 699);
        for (const char *p = body; p < next; p++)
            assert_int_equal(*p, *body);
    }
    free(text);
}

/* Lines of the event, and those that they say were left out. */
static uint64_t count_told(const char *text, const char *event, const char *mark, uint64_t *ret_left_out)
{
    uint64_t lines = 0;
    for (const char *p = text; (p = strstr(p, event)) != NULL; p++)
        lines++;
    for (const char *p = text; (p = strstr(p, mark)) != NULL; p++)
        *ret_left_out += strtoull(p + strlen(mark), NULL, 10);
    return lines;
}

/* What comes too often is left out and counted, of each event by itself; debug lines never are. */
static void lines_have_a_limit(void **state)
{
    for (int json = 0; json < 2; json++) {
        const char *event = json ? "table_parked" : "dead_letter";
        const char *mark = json ? "\"suppressed\":" : " suppressed=";
        uint64_t written = 0, left_out = 0, asked = 0;
        begin();
        log_init("apply", LOG_LEVEL_DEBUG, json);
        for (; asked < 20000; asked++)
            log_event(LOG_LEVEL_WARN, event, "id=%d", (int)asked);
        log_event(LOG_LEVEL_WARN, "halted", "exit_code=5");
        for (int i = 0; i < 200; i++)
            log_event(LOG_LEVEL_DEBUG, "kafka", "text=\"%d\"", i);
        char *text = end();
        written = count_told(text, event, mark, &left_out);
        assert_int_equal(count_lines(text), written + 201);
        assert_true(written >= 100 && written < asked);
        free(text);

        for (uint64_t told = 0; told == 0; written += told) { /* until some of it has leaked away */
            usleep(20000);
            begin();
            log_event(LOG_LEVEL_WARN, event, "id=last");
            asked++;
            text = end();
            told = count_told(text, event, mark, &left_out);
            json_t *root = json ? json_loads(text, 0, NULL) : NULL;
            assert_true(!json || told == 0 || root != NULL);
            json_decref(root);
            free(text);
        }
        assert_true(left_out > 0);
        assert_int_equal(written + left_out, asked);
    }
}

static void the_table_is_sorted(void **state)
{
    size_t count;
    const struct log_event_def *events = log_events(&count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(log_event_index(events[i].name), i);
        assert_true(i == 0 || strcmp(events[i - 1].name, events[i].name) < 0);
    }
    assert_int_equal(log_event_index("no_such_event"), -1);
    assert_int_equal(log_event_index(""), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines),         cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(json_lines),          cmocka_unit_test(json_survives_any_cut),
        cmocka_unit_test(threads_do_not_mix),  cmocka_unit_test(lines_have_a_limit),
        cmocka_unit_test(the_table_is_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
