/* Owns: the values of the self-test. What the target has for each is written here by hand, from docs/TYPES.md, and not made by the code that
 * is tested. */
#include "selftest_values.h"

#include "core/attr.h"

#define VALUES(...) ((const struct selftest_value[]){__VA_ARGS__, {NULL, NULL}})
#define S(text)                                                                                              \
    {                                                                                                        \
        text, NULL                                                                                           \
    }

#define INT2S VALUES(S("-32768"), S("-1"), S("0"), S("1"), S("32767"))
#define INT4S VALUES(S("-2147483648"), S("-1"), S("0"), S("1"), S("2147483647"))
#define BOOLS VALUES({"t", "1"}, {"f", "0"})
#define DATES                                                                                                \
    VALUES(S("0001-01-01"), S("1582-10-10"), S("1969-12-31"), S("1970-01-01"), S("2000-02-29"),              \
           S("9999-12-31"))
#define TEXTS                                                                                                \
    VALUES(S(""), S(" "), S("a"), S("A"), S("a "), S("a  "), S("\303\244"), S("a\314\210"),                  \
           S("\342\230\272"), S("\360\235\204\236"), S("a\tb"), S("a\nb"), S("a\\b"), S("it's"), S("\"q\""), \
           S("NULL"), S("$1"), S("\001"), S("\357\273\277"))
#define SHORT_TEXTS VALUES(S(""), S("a"), S("A"), S("\303\244"), S("a\314\210"), S("it's"), S("a b"))
#define UUIDS                                                                                                \
    VALUES(S("00000000-0000-0000-0000-000000000000"), S("ffffffff-ffff-ffff-ffff-ffffffffffff"),             \
           S("12345678-9abc-4def-8123-456789abcdef"), S("12345678-9abc-1def-8123-456789abcdee"))
#define STAMPS                                                                                               \
    VALUES(S("0001-01-01 00:00:00"), S("1500-03-01 00:00:00.000001"), S("1969-12-31 23:59:59.999999"),       \
           S("1970-01-01 00:00:00"), S("2024-02-29 11:14:15.5"), S("2024-02-29 11:14:15.05"),                \
           S("9999-12-31 23:59:59.999999"))
#define ZONED                                                                                                \
    VALUES({"1970-01-01 00:00:01+00", "'1970-01-01 00:00:01'"},                                              \
           {"2024-02-29 12:14:15.5+01", "'2024-02-29 11:14:15.5'"},                                          \
           {"2024-03-31 02:30:00+02", "'2024-03-31 00:30:00'"},                                              \
           {"2024-10-27 02:30:00+01", "'2024-10-27 01:30:00'"},                                              \
           {"2024-10-27 02:30:00+02", "'2024-10-27 00:30:00'"},                                              \
           {"2037-12-31 23:59:59.999999+00", "'2037-12-31 23:59:59.999999'"})
#define JSONS                                                                                                \
    VALUES(S("null"), S("true"), S("0"), S("\"\""), S("\"a b\""), S("1.10"),                                 \
           S("123456789012345678901234567890"), S("[]"), S("{}"),                                            \
           S("{\"a\": [1, 2, {\"b\": null}], \"c\": \"\342\230\272 \\\\ \\\" \\n\"}"))

const struct selftest_case selftest_cases[] = {
    {16, "boolean", "tinyint(1)", BOOLS},
    {16, "boolean", "bit(1)", BOOLS},
    {16, "boolean", "varchar(5)", VALUES(S("true"), S("false"))},
    {21, "smallint", "smallint", INT2S},
    {23, "integer", "int", INT4S},
    {23, "integer", "decimal(12,2)", INT4S},
    {20, "bigint", "bigint",
     VALUES(S("-9223372036854775808"), S("-1"), S("0"), S("9007199254740993"), S("9223372036854775807"))},
    {26, "oid", "bigint", VALUES(S("0"), S("1"), S("2147483648"), S("4294967295"))},
    {700, "real", "float",
     VALUES(S("0"), S("0.1"), S("1e-45"), S("-1e-45"), S("1.1754944e-38"), S("16777216"), S("3.4028234e+38"),
            S("-3.4028234e+38"))},
    {701, "double precision", "double",
     VALUES(S("0"), S("-1e-300"), S("0.1"), S("0.30000000000000004"), S("0.3"), S("5e-324"), S("-5e-324"),
            S("1e-323"), S("2.2250738585072014e-308"), S("2.225073858507201e-308"), S("9007199254740992"),
            S("9007199254740994"), S("1e+23"), S("1.0000000000000001e+23"), S("5.684341886080802e-14"),
            S("1.7976931348623157e+308"), S("-1.7976931348623157e+308"))},
    {1700, "numeric", "decimal(20,4)",
     VALUES(S("0"), S("0.0001"), S("-0.0001"), S("1.50"), S("100"), S("9999999999999999.9999"),
            S("-9999999999999999.9999"))},
    {1700, "numeric", "decimal(65,30)",
     VALUES(S("0"), S("1e-30"), S("-1e-30"),
            S("99999999999999999999999999999999999.999999999999999999999999999999"), S("10.000000"))},
    {1700, "numeric", "longtext",
     VALUES(S("1.5"), S("1.50"), S("NaN"), S("0.00000000000000000000000000000000000001"))},
    {790, "money", "decimal(19,2)",
     VALUES(S("0.00"), S("0.01"), S("-0.01"), S("92233720368547758.07"), S("-92233720368547758.08"))},
    {25, "text", "longtext", TEXTS},
    {25, "text", "enum('a','B','it''s','')", VALUES(S("a"), S("B"), S("it's"), S(""))},
    {1043, "character varying", "varchar(20)", TEXTS},
    {1043, "character varying", "char(20)", SHORT_TEXTS},
    {1042, "character(5)", "char(5)", SHORT_TEXTS},
    {1042, "character(5)", "varchar(5)", VALUES({"a", "'a    '"}, {"a b", "'a b  '"}, S("abcde"))},
    {18, "\"char\"", "varchar(4)", VALUES(S(""), S("x"), S("X"))},
    {19, "name", "varchar(63)", SHORT_TEXTS},
    {17, "bytea", "longblob",
     VALUES({"\\x", "''"}, {"\\x00", "x'00'"}, {"\\x0000", "x'0000'"}, {"\\x5c27", "x'5c27'"},
            {"\\xff", "x'ff'"}, {"\\x20", "x'20'"})},
    {17, "bytea", "varbinary(8)", VALUES({"\\x", "''"}, {"\\x00", "x'00'"}, {"\\xff20", "x'ff20'"})},
    {17, "bytea", "binary(2)",
     VALUES({"\\x0000", "x'0000'"}, {"\\x0001", "x'0001'"}, {"\\xff20", "x'ff20'"})},
    {2950, "uuid", "uuid", UUIDS},
    {2950, "uuid", "char(36)", UUIDS},
    {2950, "uuid", "binary(16)",
     VALUES({"12345678-9abc-4def-8123-456789abcdef", "x'123456789abc4def8123456789abcdef'"},
            {"00000000-0000-0000-0000-000000000000", "x'00000000000000000000000000000000'"})},
    {114, "json", "json", JSONS},
    {114, "json", "longtext", JSONS},
    {3802, "jsonb", "json", JSONS},
    {3802, "jsonb", "json",
     VALUES({"{\"b\":1,\"a\":[1,2]}", "'{\"a\":[1,2],\"b\":1}'"},
            {"{\"b\":1,\"a\":[1,3]}", "'{ \"a\" : [ 1 , 3 ], \"b\":1 }'"})},
    {3802, "jsonb", "longtext", JSONS},
    {142, "xml", "longtext", VALUES(S("<a/>"), S("<a b=\"1\">\303\244</a>"), S("text"))},
    {1082, "date", "date", DATES},
    {1082, "date", "varchar(20)", DATES},
    {1083, "time without time zone", "time(6)",
     VALUES(S("00:00:00"), S("00:00:00.000001"), S("12:00:00.5"), S("12:00:10"), S("23:59:59.999999"),
            S("24:00:00"))},
    {1083, "time without time zone", "time(0)", VALUES(S("00:00:00"), S("12:00:10"), S("24:00:00"))},
    {1266, "time with time zone", "varchar(24)",
     VALUES(S("00:00:00+00"), S("23:59:59.999999-15:59:59"), S("12:00:00+05:30"))},
    {1114, "timestamp without time zone", "datetime(6)", STAMPS},
    {1114, "timestamp without time zone", "datetime(0)",
     VALUES(S("0001-01-01 00:00:00"), S("2024-02-29 11:14:10"))},
    {1184, "timestamp with time zone", "datetime(6)", ZONED},
    {1184, "timestamp with time zone", "timestamp(6)", ZONED},
    {1186, "interval", "varchar(100)",
     VALUES(S("00:00:00"), S("1 mon"), S("30 days"), S("720:00:00"), S("-00:00:00.5"),
            S("-1 years -2 mons +3 days -04:05:06.789"))},
    {1560, "bit(12)", "bit(12)",
     VALUES({"000000000000", "b'000000000000'"}, {"000000000001", "b'1'"},
            {"111111111111", "b'111111111111'"})},
    {1560, "bit(64)", "bit(64)",
     VALUES({"1111111111111111111111111111111111111111111111111111111111111111", "x'ffffffffffffffff'"},
            {"1000000000000000000000000000000000000000000000000000000000000000", "x'8000000000000000'"})},
    {1562, "bit varying", "varchar(40)", VALUES(S(""), S("0"), S("00"), S("0101"))},
    {869, "inet", "varchar(43)",
     VALUES(S("1.2.3.4"), S("1.2.3.4/24"), S("::1"), S("::ffff:1.2.3.4"), S("::/0"))},
    {869, "inet", "inet6",
     VALUES({"1.2.3.4", "'::ffff:1.2.3.4'"}, S("::1"), S("1:0:0:2::3"),
            S("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))},
    {869, "inet", "inet4", VALUES(S("0.0.0.0"), S("1.2.3.4"), S("255.255.255.255"))},
    {650, "cidr", "varchar(43)", VALUES(S("10.0.0.0/8"), S("10.0.0.0/9"), S("::/0"), S("1.2.3.4/32"))},
    {829, "macaddr", "char(17)", VALUES(S("00:00:00:00:00:00"), S("08:00:2b:01:02:03"))},
    {774, "macaddr8", "char(23)", VALUES(S("00:00:00:00:00:00:00:00"), S("08:00:2b:01:02:03:04:ff"))},
    {600, "point", "varchar(100)", VALUES(S("(0,0)"), S("(-0,0)"), S("(1.5,NaN)"), S("(1e+300,5e-324)"))},
    {628, "line", "varchar(200)", VALUES(S("{1,2,3}"), S("{1,2,-3}"))},
    {601, "lseg", "varchar(200)", VALUES(S("[(0,0),(1,1)]"), S("[(1,1),(0,0)]"))},
    {603, "box", "varchar(200)", VALUES(S("(1,1),(0,0)"), S("(2,1),(0,0)"))},
    {718, "circle", "varchar(200)", VALUES(S("<(0,0),1>"), S("<(0,0),2>"))},
    {602, "path", "longtext", VALUES(S("((0,0),(1,1))"), S("[(0,0),(1,1)]"))},
    {604, "polygon", "longtext", VALUES(S("((0,0),(1,1))"), S("((0,0),(1,2))"))},
    {3614, "tsvector", "longtext", VALUES(S("'a'"), S("'a':1"), S("'a':1A 'b c':2"))},
    {3615, "tsquery", "longtext",
     VALUES(S("'a' & 'b'"), S("'a' | 'b'"), {"'a' & ('b' & 'c')", "'''a'' & ( ''b'' & ''c'' )'"})},
    {3220, "pg_lsn", "varchar(17)", VALUES(S("0/0"), S("FFFFFFFF/FFFFFFFF"), S("1/0"))},
    {3904, "int4range", "longtext", VALUES(S("empty"), S("[1,5)"), S("(,3)"), S("(,)"))},
    {1007, "integer[]", "json",
     VALUES({"{}", "'[]'"}, {"{1,NULL,-2}", "'[1,null,-2]'"}, {"{{1,2},{3,4}}", "'[[1,2],[3,4]]'"},
            {"{1,2,3,4}", "'[1,2,3,4]'"})},
    {1022, "double precision[]", "json",
     VALUES({"{0.1,NaN,-Infinity}", "'[0.1,\"NaN\",\"-Infinity\"]'"}, {"{1e+30,-0}", "'[1e+30,-0]'"})},
    {1231, "numeric[]", "json",
     VALUES({"{1.50}", "'[1.50]'"}, {"{1.5}", "'[1.5]'"}, {"{NaN}", "'[\"NaN\"]'"})},
    {1000, "boolean[]", "json", VALUES({"{t,f,NULL}", "'[true,false,null]'"}, {"{t}", "'[true]'"})},
    {1028, "oid[]", "json", VALUES({"{1,4294967295}", "'[1,4294967295]'"})},
    {1009, "text[]", "json",
     VALUES({"{a,\"b c\",NULL,\"NULL\",\"\"}", "CONCAT('[\"a\",\"b c\",null,\"NULL\",\"\"]')"},
            {"{\"q\\\"x\"}", "CONCAT('[\"q', CHAR(92 USING utf8mb4), '\"x\"]')"},
            {"{\"n\nn\"}", "CONCAT('[\"n', CHAR(92 USING utf8mb4), 'u000an\"]')"},
            {"{\"n\\\\nn\"}", "CONCAT('[\"n', CHAR(92, 92 USING utf8mb4), 'nn\"]')"},
            {"{\"\\\\u000a\"}", "CONCAT('[\"', CHAR(92, 92 USING utf8mb4), 'u000a\"]')"},
            {"{\"\342\230\272\"}", "'[\"\342\230\272\"]'"})},
    {1185, "timestamp with time zone[]", "json",
     VALUES({"{\"2024-02-29 11:14:15.5+00\"}", "'[\"2024-02-29 11:14:15.5+00\"]'"},
            {"{infinity}", "'[\"infinity\"]'"})},
    {1041, "inet[]", "json",
     VALUES({"{1.2.3.4,1.2.3.0/24}", "'[\"1.2.3.4\",\"1.2.3.0/24\"]'"}, {"{1.2.3.4}", "'[\"1.2.3.4\"]'"})},
    {1020, "box[]", "json",
     VALUES({"{(1,1),(0,0);(2,2),(0,0)}", "'[\"(1,1),(0,0)\",\"(2,2),(0,0)\"]'"},
            {"{(1,1),(0,0)}", "'[\"(1,1),(0,0)\"]'"})},
    {1007, "integer[]", "longtext", VALUES(S("{}"), S("{1,NULL,-2}"), S("[0:1]={1,2}"))},
};
const size_t selftest_case_count = ARRAY_LEN(selftest_cases);
