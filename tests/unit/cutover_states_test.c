/* The state table of a cutover: names, completeness, and that every failure before the decision leads back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cutover/cutover_internal.h"

static void names_round_trip(void **state)
{
    for (int s = CUT_UNKNOWN + 1; s < CUT_MAX_; s++) {
        const char *name = cutover_state_name((enum cutover_state)s);
        assert_non_null(name);
        assert_int_equal(cutover_state_parse(name), s);
    }
    assert_int_equal(cutover_state_parse("no such state"), CUT_UNKNOWN);
    assert_string_equal(cutover_state_name(CUT_MAX_), "unknown");
}

/* Follows "a --> b: …" lines of the diagram from a state; which: the first line is success, the second
 * failure. */
static bool edge(const char *diagram, const char *from, int which, char to[32])
{
    char prefix[48];
    (void)snprintf(prefix, sizeof prefix, "    %s --> ", from);
    const char *p = diagram;
    for (int i = 0; (p = strstr(p, prefix)) != NULL; i++) {
        p += strlen(prefix);
        if (i == which) {
            size_t n = strcspn(p, ":\n");
            memcpy(to, p, n);
            to[n] = '\0';
            return true;
        }
    }
    return false;
}

static void success_leads_to_done_and_failure_back(void **state)
{
    struct strbuf diagram = STRBUF_INIT(65536);
    cutover_diagram(&diagram);
    char at[32] = "beginning", to[32];
    bool decided = false;
    int steps = 0;
    while (strcmp(at, "done") != 0) {
        assert_true(++steps < CUT_MAX_);
        if (decided) {
            assert_false(edge(diagram.data, at, 1, to)); /* behind the decision there is no way back */
        } else {
            assert_true(edge(diagram.data, at, 1, to));
            assert_string_equal(to, "aborting");
        }
        decided = decided || strcmp(at, "deciding") == 0;
        assert_true(edge(diagram.data, at, 0, to));
        (void)snprintf(at, sizeof at, "%s", to);
    }
    assert_true(decided);
    assert_true(edge(diagram.data, "aborting", 0, to));
    assert_string_equal(to, "aborted");
    strbuf_release(&diagram);
}

static void freeze_comes_before_the_marker_and_the_comparison_before_the_decision(void **state)
{
    struct strbuf text = STRBUF_INIT(65536);
    cutover_describe(&text);
    static const char *const order[] = {
        "  beginning", "  waiting",  "  preparing",  "  reading",   "  arming",   "  pausing",  "  freezing",
        "  marking",   "  draining", "  sequencing", "  verifying", "  deciding", "  switching"};
    const char *last = text.data;
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        const char *found = strstr(text.data, order[i]);
        assert_non_null(found);
        assert_true(found >= last);
        last = found;
    }
    strbuf_release(&text);
}

/* Every state that acts says all that the plan prints of it; what may go wrong before the decision leads back, whatever it is. */
static void rows_are_whole(void **state)
{
    for (int s = CUT_UNKNOWN + 1; s < CUT_MAX_; s++) {
        const struct cutover_rule *rule = cutover_rule((enum cutover_state)s, EV_GO);
        if (s == CUT_DONE || s == CUT_ABORTED) {
            assert_null(rule);
            continue;
        }
        assert_non_null(rule);
        assert_true(rule->act != NULL && rule->action != NULL && rule->undo != NULL &&
                    rule->next != CUT_UNKNOWN);
        assert_int_equal(rule->guard != NULL, rule->holds != NULL);
        assert_true(rule->deadline != NULL || s == CUT_WAITING || s == CUT_READING);
        for (int e = EV_FAILED; e <= EV_ABORTED; e++) {
            const struct cutover_rule *wrong = cutover_rule((enum cutover_state)s, (enum cutover_event)e);
            if (s <= CUT_DECIDING)
                assert_true(wrong != NULL && wrong->next == CUT_ABORTING && wrong->act == NULL);
            else
                assert_null(wrong); /* stays, and needs a person */
        }
    }
    assert_int_equal(cutover_rule(CUT_ABORTING, EV_SWITCHED)->next, CUT_SWITCHING);
}

/* From the first step that makes clients wait until the switch, and in no other. */
static void clients_wait_in_one_piece(void **state)
{
    for (int s = CUT_BEGINNING; s < CUT_DONE; s++)
        assert_int_equal(cutover_rule((enum cutover_state)s, EV_GO)->in_pause,
                         s >= CUT_PAUSING && s <= CUT_SWITCHING);
    assert_false(cutover_rule(CUT_ABORTING, EV_GO)->in_pause);
}

static void page_has_a_row_for_each_state(void **state)
{
    struct strbuf page = STRBUF_INIT(1 << 20);
    cutover_markdown(&page);
    for (int s = CUT_UNKNOWN + 1; s < CUT_MAX_; s++) {
        char head[40];
        (void)snprintf(head, sizeof head, "\n| `%s` |", cutover_state_name((enum cutover_state)s));
        assert_int_equal(strstr(page.data, head) != NULL, cutover_rule((enum cutover_state)s, EV_GO) != NULL);
    }
    strbuf_release(&page);
}

static void exit_codes(void **state)
{
    static const struct {
        const char *outcome;
        int code;
    } cases[] = {{"planned", 0},  {"done", 0},          {"refused", 10},
                 {"aborted", 11}, {"needs_person", 12}, {"?", 12}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cutover_report report = {.outcome = cases[i].outcome};
        assert_int_equal(cutover_exit_code(&report), cases[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_round_trip),
        cmocka_unit_test(success_leads_to_done_and_failure_back),
        cmocka_unit_test(freeze_comes_before_the_marker_and_the_comparison_before_the_decision),
        cmocka_unit_test(rows_are_whole),
        cmocka_unit_test(clients_wait_in_one_piece),
        cmocka_unit_test(page_has_a_row_for_each_state),
        cmocka_unit_test(exit_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
