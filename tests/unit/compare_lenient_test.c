/* What counts as equal although its bytes differ: numbers, documents, texts. What a collation says is for servers to show
 * (tests/system/test_compare_texts.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare/lenient.h"
#include "compare/unicode.h"

static bool near(const char *tolerance, const char *a, const char *b)
{
    struct lenient rule;
    assert_true(lenient_read_tolerance(tolerance, &rule));
    bool same = lenient_same(&rule, a, b);
    assert_int_equal(lenient_same(&rule, b, a), same);
    lenient_release(&rule);
    assert_int_equal(rule.kind, LENIENT_NOTHING);
    return same;
}

static void tolerances_that_read(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",    "-1",        "-1e-9 relative", "much", "1e-9relative", "NaN",
                                        "1 %", " relative", "Infinity",       "1e",   "0x10",         "1,5"};
    struct lenient rule;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(lenient_read_tolerance(wrong[i], &rule));
    assert_true(lenient_read_tolerance("1e-9 relative", &rule));
    assert_null(rule.absolute);
    assert_string_equal(rule.relative, "1e-9");
    lenient_release(&rule);
    assert_true(lenient_read_tolerance("0.50", &rule));
    assert_string_equal(rule.absolute, "5e-1");
    assert_null(rule.relative);
    lenient_release(&rule);
    assert_true(lenient_read_tolerance("0", &rule));
    lenient_release(&rule);
}

static void numbers(void **state)
{
    (void)state;
    assert_true(near("0.01", "1.00", "1.01")); /* the bound itself is inside */
    assert_false(near("0.01", "1.00", "1.0100000000000000000000000001"));
    assert_true(near("0.01", "-0.005", "0.005"));
    assert_true(near("0", "1.50", "15e-1")); /* the same number, in two forms */
    assert_false(near("0", "1.5", "1.50000000000000000001"));
    assert_true(near("0", "0", "-0"));
    /* exactly: as doubles these two would be one */
    assert_false(near("0.5", "9007199254740993", "9007199254740992.4"));
    assert_true(near("0.6", "9007199254740993", "9007199254740992.4"));
    assert_true(near("1e-300", "0", "1e-300"));
    assert_false(near("1e-300", "0", "1.1e-300"));
}

static void floats_relative(void **state)
{
    (void)state;
    assert_true(near("1e-9 relative", "1e300", "1.000000001e300")); /* to the larger of the two */
    assert_false(near("1e-9 relative", "1e300", "1.0000000011e300"));
    assert_true(near("1e-9 relative", "-2e-300", "-2.000000001e-300"));
    assert_false(near("1e-9 relative", "-1", "1"));
    assert_false(near("1e-9 relative", "0", "1e-300")); /* nothing is near zero but zero */
    assert_true(near("1 relative", "0", "1e-300"));
    assert_false(near("0.1 relative", "1e308", "1e-308")); /* far apart, and no memory for it */
}

/* These are no numbers: two that are the same are equal before anybody asks, all others are not. */
static void what_is_no_number(void **state)
{
    (void)state;
    static const char *const others[] = {"NaN", "Infinity", "-Infinity", "",
                                         " 1",  "1 ",       "0x1",       "1e999999999"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(near("1e9", others[i], "1"));
        assert_false(near("1 relative", others[i], "0"));
    }
    assert_false(near("1e9", "Infinity", "-Infinity"));
    char *digits = malloc(100001);
    memset(digits, '7', 100000);
    digits[100000] = '\0';
    assert_false(near("1e9", digits, "7")); /* longer than is worth reading */
    free(digits);
}

static bool same_json(const char *a, const char *b)
{
    const struct lenient rule = {.kind = LENIENT_JSON};
    bool same = lenient_same(&rule, a, b);
    assert_int_equal(lenient_same(&rule, b, a), same);
    return same;
}

static void documents(void **state)
{
    (void)state;
    assert_true(same_json("{\"a\":1,\"b\":[2,3]}", " { \"b\" : [2.0, 30e-1], \"a\" : 1.00 }\n"));
    assert_false(same_json("{\"a\":1,\"b\":[2,3]}", "{\"a\":1,\"b\":[3,2]}")); /* arrays have an order */
    assert_false(same_json("{\"a\":1}", "{\"a\":1,\"b\":null}"));
    assert_false(same_json("{\"a\":1}", "{\"A\":1}"));
    assert_false(same_json("[]", "{}"));
    assert_false(same_json("null", "false"));
    assert_true(same_json(" 12345678901234567890.10 ", "1234567890123456789010e-2"));
    assert_false(same_json("12345678901234567890", "12345678901234567891")); /* one as doubles */
    assert_true(same_json("\"\\u00e4\"", "\"\xc3\xa4\""));
    assert_true(same_json("\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""));
    assert_false(same_json("\"a\xcc\x88\"", "\"\xc3\xa4\"")); /* normal forms are not looked at */
    assert_true(same_json("\"\\u0000\"", " \"\\u0000\""));
}

/* A number must not be taken for the text by which it is compared. */
static void numbers_beside_texts(void **state)
{
    (void)state;
    assert_false(same_json("1", "\"1\""));
    assert_false(same_json("1", "\"n1\""));
    assert_false(same_json("\"s\"", "\"ss\""));
    assert_false(same_json("{\"n1\":1}", "{\"1\":1}"));
    assert_true(same_json("\"1.0 \\\" -5e3\"", " \"1.0 \\\" -5e3\""));
    assert_false(same_json("\"1.0\"", "\"1\""));
    assert_false(same_json("[1,2]", "[12]"));
    assert_false(same_json("[-]", "[- ]"));
    assert_false(same_json("1-2", " 1-2"));
}

/* Which of the two counts is the reader's choice: such a document equals only its own text. */
static void keys_that_come_twice(void **state)
{
    (void)state;
    assert_false(same_json("{\"a\":1,\"a\":2}", "{\"a\":2}"));
    assert_false(same_json("{\"a\":1,\"a\":1}", " {\"a\":1,\"a\":1}"));
    assert_false(same_json("[{\"b\":{\"\\u0061\":1,\"a\":1}}]", " [{\"b\":{\"a\":1,\"a\":1}}]"));
    assert_true(same_json("[{\"a\":1},{\"a\":1}]", "[{\"a\":1}, {\"a\":1}]"));
}

static char *nested(size_t depth, const char *inner)
{
    char *text = malloc(depth * 2 + strlen(inner) + 1);
    memset(text, '[', depth);
    strcpy(text + depth, inner);
    memset(text + depth + strlen(inner), ']', depth);
    text[depth * 2 + strlen(inner)] = '\0';
    return text;
}

static void deep_documents(void **state)
{
    (void)state;
    static const struct {
        size_t depth;
        bool same;
    } cases[] = {{2000, true}, {3000, false}, {3000000, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *a = nested(cases[i].depth, "1"), *b = nested(cases[i].depth, "1.0");
        assert_int_equal(same_json(a, b), cases[i].same);
        free(a);
        free(b);
    }
}

static void what_is_no_document(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "{",
                                        "\"",
                                        "\"\\",
                                        "\"a\\\"",
                                        "{\"a\"}",
                                        "[1,]",
                                        "nul",
                                        "[1] 2",
                                        "\"\xff\"",
                                        "\"\xc3\"",
                                        "\"\xed\xa0\x80\"",
                                        "{\"\xc0\xaf\":1}",
                                        "\"\\ud800\"",
                                        "{\"\\u0000\":1}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char spaced[64] = " ";
        strcat(spaced, wrong[i]);
        assert_false(same_json(wrong[i], spaced)); /* else blanks would not count */
    }
}

#define A_UMLAUT   "\xc3\xa4"     /* U+00E4 */
#define A_AND_DOTS "a\xcc\x88"    /* U+0061 U+0308 */
#define OHM        "\xe2\x84\xa6" /* U+2126, in NFC U+03A9 */
#define OMEGA      "\xce\xa9"

static bool same_text(const char *a, const char *b)
{
    const struct lenient rule = {.kind = LENIENT_TEXT, .nfc = true}, as_is = {.kind = LENIENT_TEXT};
    bool same = lenient_same(&rule, a, b);
    assert_int_equal(lenient_same(&rule, b, a), same);
    assert_false(lenient_same(&as_is, a, b)); /* they are not the same texts */
    return same;
}

static void texts(void **state)
{
    (void)state;
    assert_true(same_text("M" A_UMLAUT "rz", "M" A_AND_DOTS "rz"));
    assert_true(same_text(OHM, OMEGA));
    assert_true(same_text("q\xcc\xa3\xcc\x87", "q\xcc\x87\xcc\xa3"));               /* marks in their order */
    assert_true(same_text("\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8")); /* Hangul: U+AC01 */
    assert_true(same_text("\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc")); /* U+0958 is never composed */
    assert_false(same_text(A_UMLAUT, "a"));
    assert_false(same_text(A_UMLAUT, "\xc3\x84")); /* case */
    assert_false(same_text("\xef\xac\x81", "fi")); /* compatibility forms are other texts: U+FB01 */
    assert_false(same_text("\xe2\x91\xa0", "1"));  /* U+2460 */
    assert_false(same_text("a", "a "));
    assert_false(same_text("", " "));
    assert_false(same_text("a\xe2\x80\x8b", "a")); /* U+200B */
}

/* Each equals only its own text. */
static void malformed_texts(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "\xff", "\xc3", "a\xc3(", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char longer[64];
        assert_null(unicode_nfc(wrong[i]));
        assert_false(same_text(wrong[i], "\xef\xbf\xbd"));
        assert_false(same_text(wrong[i], ""));
        strcpy(longer, wrong[i]);
        strcat(longer, "\xcc\x88");
        assert_false(same_text(wrong[i], longer));
    }
}

static void forms(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"", ""},
                                           {"plain", "plain"},
                                           {A_AND_DOTS A_UMLAUT, A_UMLAUT A_UMLAUT},
                                           {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
                                           {"\xcc\x88", "\xcc\x88"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *nfc = unicode_nfc(cases[i][0]);
        assert_string_equal(nfc, cases[i][1]);
        free(nfc);
    }
    /* a heap of marks on one letter */
    size_t marks = 200000;
    char *heap = malloc(marks * 2 + 2), *nfc;
    heap[0] = 'a';
    for (size_t i = 0; i < marks; i++)
        memcpy(heap + 1 + i * 2, "\xcc\x88", 2);
    heap[1 + marks * 2] = '\0';
    nfc = unicode_nfc(heap);
    assert_memory_equal(nfc, A_UMLAUT "\xcc\x88", 4);
    assert_int_equal(strlen(nfc), marks * 2);
    free(nfc);
    free(heap);
}

/* A rule holds for its own kind alone. */
static void kinds(void **state)
{
    (void)state;
    const struct lenient nothing = {0}, json = {.kind = LENIENT_JSON},
                         text = {.kind = LENIENT_TEXT, .nfc = true};
    assert_false(lenient_same(&nothing, "1.0", "1"));
    assert_false(lenient_same(&text, "1.0", "1"));
    assert_false(lenient_same(&json, A_UMLAUT, A_AND_DOTS));
    assert_false(near("1", A_UMLAUT, A_AND_DOTS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tolerances_that_read),
        cmocka_unit_test(numbers),
        cmocka_unit_test(floats_relative),
        cmocka_unit_test(what_is_no_number),
        cmocka_unit_test(documents),
        cmocka_unit_test(numbers_beside_texts),
        cmocka_unit_test(keys_that_come_twice),
        cmocka_unit_test(deep_documents),
        cmocka_unit_test(what_is_no_document),
        cmocka_unit_test(texts),
        cmocka_unit_test(malformed_texts),
        cmocka_unit_test(forms),
        cmocka_unit_test(kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
