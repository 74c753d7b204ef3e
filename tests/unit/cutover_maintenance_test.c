/* cutover/watch: maintenance windows as instants, through summer time, over midnight, in zones of all kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cutover/watch/automatic.h"
#include "cutover/watch/maintenance.h"
#include "cutover/watch/zone.h"

#define US INT64_C(1000000)

static char folder[] = "/tmp/crossfade-zones-XXXXXX";

static size_t put(unsigned char *out, const char *bytes, size_t len)
{
    memcpy(out, bytes, len);
    return len;
}

/* A file as zic -b slim writes it for a zone whose rule has always been the same: no transition, one type, and the rule. */
static size_t make_zone(unsigned char *out, int32_t offset_s, const char *rule)
{
    static const char header[44] =
        "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4";
    size_t n = 0;
    for (int part = 0; part < 2; part++) {
        n += put(out + n, header, sizeof header);
        const char type[] = {(char)((uint32_t)offset_s >> 24),
                             (char)((uint32_t)offset_s >> 16),
                             (char)((uint32_t)offset_s >> 8),
                             (char)offset_s,
                             0,
                             0};
        n += put(out + n, type, sizeof type);
        n += put(out + n, "LMT", 4);
    }
    n += put(out + n, "\n", 1);
    n += put(out + n, rule, strlen(rule));
    return n + put(out + n, "\n", 1);
}

static const struct {
    const char *name;
    int32_t offset_s;
    const char *rule;
} zones[] = {{"Berlin", 3600, "CET-1CEST,M3.5.0,M10.5.0/3"},
             {"New_York", -18000, "EST5EDT,M3.2.0,M11.1.0"},
             {"Lord_Howe", 37800, "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"},
             {"Kolkata", 19800, "IST-5:30"},
             {"Dublin", 3600, "IST-1GMT0,M10.5.0,M3.5.0/1"}};

static int make_zones(void **test)
{
    (void)test;
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        unsigned char bytes[400];
        char path[200];
        (void)snprintf(path, sizeof path, "%s/%s", folder, zones[i].name);
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        size_t len = make_zone(bytes, zones[i].offset_s, zones[i].rule);
        assert_int_equal(fwrite(bytes, 1, len, file), len);
        assert_int_equal(fclose(file), 0);
    }
    return setenv("TZDIR", folder, 1);
}

static int drop_zones(void **test)
{
    (void)test;
    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        char path[200];
        (void)snprintf(path, sizeof path, "%s/%s", folder, zones[i].name);
        (void)unlink(path);
    }
    return rmdir(folder);
}

/* The figures are those of another reader of the same database. */
static void offsets_follow_the_rule(void **test)
{
    static const struct {
        const char *zone;
        int64_t at_s;
        int weekday, second;
        int64_t offset_s;
    } cases[] = {
        {"Berlin", 1806195599, 0, 1 * 3600 + 59 * 60 + 59, 3600},
        {"Berlin", 1806195600, 0, 3 * 3600, 7200},
        {"Berlin", 1824944399, 0, 2 * 3600 + 59 * 60 + 59, 7200},
        {"Berlin", 1824944400, 0, 2 * 3600, 3600},
        {"New_York", 1805007599, 0, 1 * 3600 + 59 * 60 + 59, -18000},
        {"New_York", 1805007600, 0, 3 * 3600, -14400},
        {"Lord_Howe", 1806764399, 0, 1 * 3600 + 59 * 60 + 59, 39600},
        {"Lord_Howe", 1806764400, 0, 1 * 3600 + 30 * 60, 37800},
        {"Lord_Howe", 1822491000, 0, 2 * 3600 + 30 * 60, 39600},
        {"Kolkata", 1822491000, 6, 21 * 3600, 19800},
        {"Dublin", 1806195599, 0, 59 * 60 + 59, 0},
        {"Dublin", 1806195600, 0, 2 * 3600, 3600},
        {"UTC", 1822491000, 6, 15 * 3600 + 30 * 60, 0},
        {"UTC", -1, 3, 86399, 0},
    };
    (void)test;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct zone *zone = NULL;
        struct err err = ERR_INIT;
        assert_true(zone_open(cases[i].zone, &zone, &err));
        struct local_time at = zone_local(zone, cases[i].at_s);
        print_message("%s at %lld\n", cases[i].zone, (long long)cases[i].at_s);
        assert_int_equal(at.offset_s, cases[i].offset_s);
        assert_int_equal(at.weekday, cases[i].weekday);
        assert_int_equal(at.second_of_day, cases[i].second);
        zone_free(zone);
    }
}

static void damaged_files_are_refused(void **test)
{
    unsigned char bytes[400];
    size_t len = make_zone(bytes, 3600, zones[0].rule);
    (void)test;
    for (size_t cut = 0; cut < len; cut++) {
        struct zone *zone = NULL;
        struct err err = ERR_INIT;
        assert_false(zone_parse("cut", bytes, cut, &zone, &err));
        assert_int_equal(err.code, ERR_CONFIG);
    }
}

/* since and until 0: not in a window. */
static void check(const char *const *texts, size_t count, int64_t at_s, int64_t since_s, int64_t until_s)
{
    struct maintenance *m = NULL;
    struct err err = ERR_INIT;
    int64_t since_us = 0, until_us = 0;
    assert_true(maintenance_open(texts, count, &m, &err));
    assert_int_equal(maintenance_now(m, at_s * US, &since_us, &until_us), until_s != 0);
    assert_int_equal(since_us, since_s * US);
    assert_int_equal(until_us, until_s * US);
    maintenance_free(m);
}

static void check_one(const char *text, int64_t at_s, int64_t since_s, int64_t until_s)
{
    check(&text, 1, at_s, since_s, until_s);
}

#define BERLIN_SUNDAY "Sun 02:00-04:00 Berlin"

static void an_ordinary_night(void **test)
{
    (void)test;
    int64_t two = 1806195600 - 3600 + INT64_C(7) * 86400; /* 2027-04-04 02:00 CEST */
    check_one(BERLIN_SUNDAY, two - 1, 0, 0);
    check_one(BERLIN_SUNDAY, two, two, two + 7200);
    check_one(BERLIN_SUNDAY, two + 7199, two, two + 7200);
    check_one(BERLIN_SUNDAY, two + 7200, 0, 0);
    check_one(BERLIN_SUNDAY, two + 86400, 0, 0);
}

/* 2027-03-28: clocks go from 02:00 to 03:00; the window is an hour. */
static void the_night_in_which_clocks_are_put_forward(void **test)
{
    (void)test;
    check_one(BERLIN_SUNDAY, 1806195599, 0, 0);
    check_one(BERLIN_SUNDAY, 1806195600, 1806195600, 1806195600 + 3600);
    check_one(BERLIN_SUNDAY, 1806195600 + 3600, 0, 0);
    check_one("Sun 02:10-02:50 Berlin", 1806195600, 0, 0); /* is not there */
}

/* 2027-10-31: 02:00 to 03:00 comes twice; the window is three hours. */
static void the_night_in_which_clocks_are_put_back(void **test)
{
    (void)test;
    check_one(BERLIN_SUNDAY, 1824944400 - 3600, 1824944400 - 3600, 1824944400 + 7200);
    check_one(BERLIN_SUNDAY, 1824944400, 1824944400 - 3600, 1824944400 + 7200);
    check_one(BERLIN_SUNDAY, 1824944400 + 7200, 0, 0);
}

static void over_midnight_it_belongs_to_the_day_on_which_it_begins(void **test)
{
    (void)test;
    int64_t sunday = 1822435200; /* 2027-10-02 00:00 UTC is a Saturday */
    const char *text = "Sat 23:30-01:00 UTC";
    check_one(text, sunday + 1800, 0, 0); /* Saturday 00:30 */
    int64_t begins = sunday + 86400 - 1800;
    check_one(text, begins - 1, 0, 0);
    check_one(text, begins, begins, begins + 5400);
    check_one(text, begins + 5399, begins, begins + 5400);
    check_one(text, begins + 5400, 0, 0);
}

static void windows_that_touch_are_one(void **test)
{
    (void)test;
    static const char *const texts[] = {"Sat 22:00-24:00 UTC", "Sun 00:00-02:00 UTC",
                                        "Wed 01:00-02:00 Kolkata"};
    int64_t begins = 1822435200 + INT64_C(22) * 3600;
    check(texts, ARRAY_LEN(texts), begins + 60, begins, begins + 4 * 3600);
    check(texts, ARRAY_LEN(texts), begins + 4 * 3600, 0, 0);
    int64_t wednesday = 1822435200 + 4 * INT64_C(86400) + 3600 - 19800;
    check(texts, ARRAY_LEN(texts), wednesday + 30, wednesday, wednesday + 3600);
}

static void the_next_one_is_told(void **test)
{
    (void)test;
    const char *text = "Sun 02:00-04:00 Berlin";
    struct maintenance *m = NULL;
    struct err err = ERR_INIT;
    assert_true(maintenance_open(&text, 1, &m, &err));
    int64_t two = 1806195600 - 3600 + INT64_C(7) * 86400;
    assert_int_equal(maintenance_next(m, (two - INT64_C(3) * 86400) * US), two * US);
    assert_int_equal(maintenance_next(m, two * US), (two + INT64_C(7) * 86400) * US);
    maintenance_free(m);
}

static void texts_that_do_not_read(void **test)
{
    static const char *const bad[] = {"",
                                      "Sun",
                                      "Sun 02:00",
                                      "Sun 02:00-04:00",
                                      "Sun 2-4 UTC",
                                      "Sun 02:60-04:00 UTC",
                                      "Sun 24:00-04:00 UTC",
                                      "Sun 02:00-24:01 UTC",
                                      "Sun, 02:00-04:00 UTC",
                                      "Son 02:00-04:00 UTC",
                                      "Sun 02:00-04:00 ../../etc/passwd",
                                      "Sun 02:00-04:00 /etc/passwd",
                                      "Sun 02:00-04:00 UTC tomorrow"};
    static const char *const good[] = {
        "Sun 02:00-04:00 Europe/Berlin", "02:00-4:00 UTC", "Mon-Fri 23:30-01:00 UTC",
        "Fri-Mon, Wed 00:00-24:00 America/Argentina/Buenos_Aires", "mon,tue 01:00-02:00 Etc/GMT+5"};
    (void)test;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(maintenance_window_fits(bad[i]));
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(maintenance_window_fits(good[i]));
    const char *nowhere = "Sun 02:00-04:00 Atlantis";
    struct maintenance *m = NULL;
    struct err err = ERR_INIT;
    assert_false(maintenance_open(&nowhere, 1, &m, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "Atlantis"));
}

/* --- the rule of cutovers that run by themselves --- */

static struct automatic_view all_holds(void)
{
    return (struct automatic_view){.now_us = 100 * US,
                                   .in_window = true,
                                   .until_us = 7200 * US,
                                   .clean_since_us = 10 * US,
                                   .clean_for_us = 60 * US,
                                   .max_attempts = 3};
}

static void expect(const struct automatic_view *view, const char *part)
{
    char why[300];
    automatic_waits(view, why, sizeof why);
    print_message("%s\n", why);
    if (*part == '\0')
        assert_string_equal(why, "");
    else
        assert_non_null(strstr(why, part));
}

static void each_condition_holds_it_back(void **test)
{
    (void)test;
    struct automatic_view v = all_holds();
    expect(&v, "");
    v.cut_over = true;
    expect(&v, "no other runs by itself");
    v = all_holds();
    v.in_window = false;
    expect(&v, "none begins within a week");
    v.next_us = 500 * US;
    expect(&v, "maintenance window at 1970-01-01T00:08:20");
    v = all_holds();
    v.attempts = 3;
    expect(&v, "3 attempts");
    v = all_holds();
    v.not_before_us = 101 * US;
    expect(&v, "tries again");
    v = all_holds();
    v.firing = true;
    expect(&v, "a trigger fires");
    v = all_holds();
    v.postponed = true;
    expect(&v, "postpone_file");
    v = all_holds();
    v.clean_since_us = 0;
    expect(&v, "clean window");
    v.clean_since_us = 41 * US;
    expect(&v, "clean for 60 s");
    v.clean_since_us = 40 * US;
    expect(&v, "");
}

static void gates_and_time_hold_it_back(void **test)
{
    char why[600];
    static struct cutover_report report = {
        .gates = {{.name = "lag", .verdict = GATE_OK}, {.name = "approvals", .verdict = GATE_OK}},
        .gate_count = 2,
        .estimates = {{.state = "arming", .ms = 4000}, {.state = "waiting", .ms = -1}},
        .estimate_count = 2,
        .pause_estimate_ms = -1};
    (void)test;
    automatic_gates(&report, 5 * US, why, sizeof why);
    assert_string_equal(why, "");
    automatic_gates(&report, 3 * US, why, sizeof why);
    assert_non_null(strstr(why, "next maintenance window"));
    report.gates[1].verdict = GATE_REFUSED;
    (void)snprintf(report.gates[1].hint, sizeof report.gates[1].hint, "ticket");
    automatic_gates(&report, 5 * US, why, sizeof why);
    assert_string_equal(why, "waits for approval: ticket");
    report.gates[0].verdict = GATE_REFUSED;
    automatic_gates(&report, 5 * US, why, sizeof why);
    assert_non_null(strstr(why, "gate lag"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_follow_the_rule),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(an_ordinary_night),
        cmocka_unit_test(the_night_in_which_clocks_are_put_forward),
        cmocka_unit_test(the_night_in_which_clocks_are_put_back),
        cmocka_unit_test(over_midnight_it_belongs_to_the_day_on_which_it_begins),
        cmocka_unit_test(windows_that_touch_are_one),
        cmocka_unit_test(the_next_one_is_told),
        cmocka_unit_test(texts_that_do_not_read),
        cmocka_unit_test(each_condition_holds_it_back),
        cmocka_unit_test(gates_and_time_hold_it_back),
    };
    return cmocka_run_group_tests(tests, make_zones, drop_zones);
}
