/* The table of SQLSTATE classes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/sqlstate.h"

static void each_state_has_its_class(void **state)
{
    (void)state;
    static const struct {
        const char *sqlstate;
        enum err_policy policy;
        enum sqlstate_fault fault;
    } cases[] = {
        {"08006", POLICY_RECONNECT, FAULT_OTHER}, {"57P01", POLICY_RECONNECT, FAULT_OTHER},
        {"53300", POLICY_RECONNECT, FAULT_OTHER}, {"53200", POLICY_HALT, FAULT_OTHER},
        {"53100", POLICY_RECONNECT, FAULT_OTHER}, {"40001", POLICY_RETRY, FAULT_OTHER},
        {"40P01", POLICY_RETRY, FAULT_OTHER},     {"55P03", POLICY_RETRY, FAULT_OTHER},
        {"57014", POLICY_RETRY, FAULT_OTHER},     {"23505", POLICY_HALT, FAULT_CONFLICT},
        {"23503", POLICY_HALT, FAULT_CONFLICT},   {"23P01", POLICY_HALT, FAULT_CONFLICT},
        {"23514", POLICY_HALT, FAULT_ROW},        {"23502", POLICY_HALT, FAULT_ROW},
        {"22001", POLICY_HALT, FAULT_ROW},        {"22P02", POLICY_HALT, FAULT_ROW},
        {"P0001", POLICY_HALT, FAULT_ROW},        {"42501", POLICY_HALT, FAULT_OTHER},
        {"28P01", POLICY_HALT, FAULT_OTHER},      {"42P01", POLICY_HALT, FAULT_OTHER},
        {"XX000", POLICY_HALT, FAULT_OTHER},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct sqlstate_rule *rule = sqlstate_rule(cases[i].sqlstate);
        assert_int_equal(err_policy(rule->code), cases[i].policy);
        assert_int_equal(rule->fault, cases[i].fault);
    }
}

static void an_error_without_state(void **state)
{
    (void)state;
    struct err err = {.code = ERR_DATA};
    assert_int_equal(err_fault(&err), FAULT_ROW);
    err.code = ERR_CONNECT;
    assert_int_equal(err_fault(&err), FAULT_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_has_its_class),
        cmocka_unit_test(an_error_without_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
