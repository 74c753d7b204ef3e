/* What stands for values that Debezium's source did not send: by default, and as the connector is configured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "change/foreign_missing.h"
#include "change/nested.h"
#include "core/alloc.h"
#include "core/strbuf.h"

static bool is_missing(const char *placeholder, const struct field *field, const char *bytes, size_t len)
{
    struct missing_forms *mf = missing_forms_new(placeholder);
    struct field fields[1] = {*field};
    struct table_schema schema = {.fields = fields, .field_count = 1};
    struct datum image = {.state = DATUM_VALUE, .s = {bytes, (uint32_t)len}};
    missing_forms_mark(mf, &schema, &image);
    missing_forms_mark(mf, &schema, NULL);
    missing_forms_free(mf);
    return image.state == DATUM_UNAVAILABLE;
}

static bool text_is(const char *placeholder, const char *text)
{
    return is_missing(placeholder, &(struct field){.phys = PHYS_STRING}, text, strlen(text));
}

static void test_texts(void **unused)
{
    (void)unused;
    assert_true(text_is(NULL, "__debezium_unavailable_value"));
    assert_true(
        text_is(NULL, "{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}")); /* hstore */
    assert_true(text_is(NULL, "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="));
    assert_true(text_is(NULL, "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565"));
    assert_false(text_is(NULL, "__debezium_unavailable_value "));
    assert_false(text_is(NULL, ""));
    assert_true(text_is("gone \"x\"", "__debezium_unavailable_value")); /* from before it was configured */
    assert_false(text_is(NULL, "gone \"x\""));
    assert_true(text_is("gone \"x\"", "gone \"x\""));
    assert_true(text_is("gone \"x\"", "{\"gone \\\"x\\\"\":\"gone \\\"x\\\"\"}"));
    assert_true(is_missing("gone", &(struct field){.phys = PHYS_BYTES}, "gone", 4));
    assert_false(is_missing("gone", &(struct field){.phys = PHYS_INT64}, NULL, 0));
}

static bool array_is(const char *placeholder, enum phys elem, const struct datum *items, size_t count)
{
    struct field field = {.phys = PHYS_ARRAY, .elem = elem};
    struct strbuf sb = STRBUF_INIT(1000);
    nested_add_long(&sb, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        nested_add(&sb, elem, true, &items[i]);
    nested_add_long(&sb, 0);
    bool found = is_missing(placeholder, &field, sb.data, sb.len);
    strbuf_release(&sb);
    return found;
}

static void test_arrays(void **unused)
{
    const struct datum texts[2] = {{.state = DATUM_VALUE, .s = {"gone", 4}}, {.state = DATUM_NULL}};
    const struct datum codes[4] = {{.state = DATUM_VALUE, .i = 'g'},
                                   {.state = DATUM_VALUE, .i = 'o'},
                                   {.state = DATUM_VALUE, .i = 'n'},
                                   {.state = DATUM_VALUE, .i = 'e'}};
    (void)unused;
    assert_true(array_is("gone", PHYS_STRING, texts, 1));
    assert_false(array_is("gone", PHYS_STRING, texts, 2));
    assert_false(array_is("gone", PHYS_STRING, texts, 0));
    assert_false(array_is(NULL, PHYS_STRING, texts, 1));
    assert_true(array_is("gone", PHYS_INT32, codes, 4));
    assert_false(array_is("gone", PHYS_INT32, codes, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
