/*
 * Column types and values for pg_types_test: `values` is a list of SQL expressions (each cast to the type),
 * `random` an SQL expression over random() and n (1, 2, …) that gives more of them.
 */
#ifndef PG_TYPES_CASES_H
#define PG_TYPES_CASES_H

struct type_case {
    const char *type;
    const char *values;
    const char *random; /* NULL: none */
    bool text_only;     /* expected to go through text */
};

static const char case_setup[] =
    "CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION citext; CREATE EXTENSION cube;"
    "CREATE TYPE mood AS ENUM ('sad','ok','happy ☺','with space','quo''te\"d,x','');"
    "CREATE DOMAIN dom_num AS numeric(12,3); CREATE DOMAIN dom_plain AS numeric; CREATE DOMAIN dom_text AS "
    "varchar(30);"
    "CREATE DOMAIN dom_dom AS dom_num CHECK (VALUE <> 7); CREATE DOMAIN dom_arr AS int[];"
    "CREATE DOMAIN \"Dom\"\"Quote\" AS timestamptz(3);"
    "CREATE TYPE comp AS (a int, b text, c numeric(6,2)[], d mood, e tstzrange); ALTER TYPE comp DROP "
    "ATTRIBUTE a;"
    "CREATE TYPE comp2 AS (x comp, y comp[], z dom_num, \"char\" \"char\");"
    "CREATE TYPE floatrange AS RANGE (subtype = float8); CREATE TYPE textrange AS RANGE (subtype = text);"
    "CREATE TYPE comprange AS RANGE (subtype = mood);"
    "CREATE TABLE \"Weird Table\" (id int); CREATE SCHEMA hidden; CREATE TABLE hidden.pg_class (id int);"
    "CREATE FUNCTION hidden.f(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1';";

/* random text with quotes, backslashes, blanks, braces and letters of several lengths */
#define RANDOM_TEXT                                                                                          \
    "(SELECT coalesce(string_agg((ARRAY['a','\"','\\','''',' "                                               \
    "',',','{','}','(',')','[',']',':','NULL','null','ü','☺','𝄞',"                                     \
    "E'\\n',E'\\t','$','/',';','=>','0'])[1+floor(random()*25)::int], ''), '') FROM generate_series(1, "     \
    "(random()*8)::int + 0*n))"
#define RANDOM_DOUBLE "((random()-0.5) * 10::float8^(floor(random()*600)-300))"
#define RANDOM_STAMP                                                                                         \
    "(timestamp '4713-01-01 BC' + (random()*298987)*interval '1 year' + random()*interval '400 days' - "     \
    "random()*interval '1 hour')"
#define RANDOM_INTERVAL                                                                                      \
    "(make_interval(months => ((random()-0.5)*4e9)::int, days => ((random()-0.5)*4e9)::int) + "              \
    "((random()-0.5)*10^(random()*12)) * interval '1 second')"
#define RANDOM_NUMERIC                                                                                       \
    "((CASE WHEN random() < 0.5 THEN '-' ELSE '' END) || floor(random()*10^(random()*9))::text || "          \
    "repeat((floor(random()*10000))::int::text, (random()*5)::int) || "                                      \
    "CASE WHEN random() < 0.3 THEN '' ELSE '.' || lpad(floor(random()*1e6)::int::text, (random()*20)::int "  \
    "+ 6, '0') || repeat('0', (random()*4)::int) END)"

static const struct type_case cases[] = {
    {"bool", "true, false", NULL, false},
    {"int2", "-32768, -1, 0, 1, 32767", "(random()*65535-32768)::int", false},
    {"int4", "-2147483648, -1, 0, 2147483647", "(random()*4294967295-2147483648)::int8", false},
    {"int8", "-9223372036854775808, -1, 0, 9223372036854775807", "((random()-0.5)*18e18)::int8", false},
    {"oid", "0, 26, 4294967295", "(random()*4294967295)::int8::oid", false},
    {"float4",
     "'NaN', 'Infinity', '-Infinity', '-0', '0', '1e-45', '1.17549435e-38', '3.4028235e38', '-3.4028235e38', "
     "'1e6', "
     "'1e5', '123456', '1234567', '0.0001', '0.00001', '16777216', '0.1', '8388608', '1.4e-45', '3e-45'",
     "((random()-0.5) * 10::float8^(floor(random()*74)-37))::float4", false},
    {"float8",
     "'NaN', 'Infinity', '-Infinity', '-0', '0', '5e-324', '2.2250738585072014e-308', "
     "'2.225073858507201e-308', "
     "'1.7976931348623157e308', '1e15', '1e14', '123456789012345', '1234567890123456', '0.0001', '0.00001', "
     "'0.1', '1e23', "
     "'9007199254740992', '9007199254740993', '5e-323', '9.5367431640625e-07', '5.684341886080802e-14', "
     "'2e-308'",
     RANDOM_DOUBLE, false},
    {"numeric",
     "'NaN', 'Infinity', '-Infinity', '0', '0.000', '1', '-1', '10000', '9999', '0.0001', '0.00001', '-0.1', "
     "'1e20', "
     "'1e-300', '12345.678900', '100000000000000000000000000000001', '1e131071', '1e-16383', '0.00000000', "
     "'1000.10', "
     "('1' || repeat('0123456789',30) || '.' || repeat('987654321',20))",
     RANDOM_NUMERIC, false},
    {"numeric(10,2)", "'NaN', '99999999.99', '-99999999.99', '0', '0.01', '100', '12.30'",
     "(random()-0.5)*2e8", false},
    {"numeric(10)", "'9999999999', '0'", "(random()-0.5)*2e10", false},
    {"numeric(5,-2)", "12300, -99900, 99900, 0, 5400, 10000000 - 100", "(random()*99999)::int*100", false},
    {"numeric(3,5)", "0.00123, -0.00999, 0", "(random()-0.5)/51", false},
    {"numeric(1000,1000)", "'1e-1000', '0.1'", "random()", false},
    {"money",
     "'-92233720368547758.08', '92233720368547758.07', '0', '0.01', '-0.01', '1234.56', '-1', '999.99', "
     "'1000'",
     "((random()-0.5)*10^(random()*17))::numeric::money", false},
    {"text", "'', 'plain', E'tab\\tnl\\n \\x01\\x1f\\x7f', '😀 𝄞 ü \\ \"'' $', repeat('x', 100000)",
     RANDOM_TEXT, false},
    {"varchar", "'', 'trail  '", RANDOM_TEXT, false},
    {"varchar(20)", "'', 'trail  ', '😀😀𝄞日本語ñ', repeat('ü', 20)", NULL, false},
    {"char(5)", "'', 'ab', 'a  ', 'ÄÖÜßé', 'abcde'", NULL, false},
    {"bpchar", "'', 'ab   ', 'trail  '", RANDOM_TEXT, false},
    {"name", "'', 'a_name', repeat('x', 63)", NULL, false},
    {"\"char\"", "'', 'x', '\"', '\\'", "(random()*255-128)::int::\"char\"", false},
    {"citext", "'', 'AbC'", RANDOM_TEXT, false},
    {"bytea", "'', '\\x00', '\\xdeadbeef00ff', decode(repeat('5c', 1000), 'hex')",
     "decode(md5(random()::text) || lpad(to_hex((random()*255)::int), 2, '0'), 'hex')", false},
    {"json",
     "'{\"b\": 1,  \"a\": [1, null, \"x\"]}', 'null', '{\"n\":1.10,\"n\":2}', "
     "'123456789012345678901234567890'",
     "to_json(" RANDOM_TEXT ")", false},
    {"jsonb", "'{\"b\": 1,  \"a\": [1, null, \"x\"]}', 'null', '{}', '1.10', '\"\\u2028☺\"'",
     "to_jsonb(" RANDOM_TEXT ")", false},
    {"xml",
     "'<r a=\"1\">t</r>', '', 'just text ü', '<?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>', "
     "'<?xml version=\"1.1\"?><a/>', '<?xml version=\"1.0\" standalone=\"yes\"?><a>ü</a>', E'<?xml "
     "version=\"1.0\"?>\\n<a/>'",
     NULL, false},
    {"uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '00000000-0000-0000-0000-000000000000'",
     "md5(random()::text)", false},
    {"mood", "'sad', 'happy ☺', 'quo''te\"d,x', ''", NULL, false},
    {"date",
     "'infinity', '-infinity', '4714-11-24 BC', '5874897-12-31', '0001-01-01', '0001-12-31 BC', "
     "'1969-12-31', '2000-02-29', "
     "'1970-01-01', '12345-06-07', '0044-03-15 BC'",
     "'4714-11-24 BC'::date + (random()*2147483493)::int", false},
    {"time", "'00:00:00', '24:00:00', '23:59:59.999999', '12:00:00.5'", "random()*interval '1 day'", false},
    {"time(3)", "'13:14:15.123', '24:00:00'", "random()*interval '1 day'", false},
    {"time(0)", "'13:14:15', '24:00:00'", NULL, false},
    {"timetz",
     "'00:00:00+15:59:59', '24:00:00-15:59:59', '13:14:15.123456+05:30:15', '12:00:00Z', '12:00:00-00:30'",
     "((random()*interval '1 day')::time::text || (ARRAY['+','-'])[1+(random())::int] || "
     "(interval '15:59:59'*random())::interval(0)::text)",
     false},
    {"timetz(3)", "'13:14:15.123-08', '12:00:00.5Z'", NULL, false},
    {"timestamp",
     "'infinity', '-infinity', '4714-11-24 BC', '294276-12-31 23:59:59.999999', '294247-01-10 "
     "04:00:54.775807', "
     "'294247-01-10 04:00:54.775808', '294247-01-10 04:00:54.775806', '294247-01-10 04:00:54.775809', "
     "'1970-01-01', "
     "'1969-12-31 23:59:59.999999', '2000-01-01', '0001-01-01', '0044-03-15 12:00:00 BC', '9999-12-31 "
     "23:59:59.999999', "
     "'1500-03-01 00:00:00.000001'",
     RANDOM_STAMP, false},
    {"timestamp(3)", "'2024-02-29 13:14:15.123', 'infinity', '294276-12-31 23:59:59.999'", RANDOM_STAMP,
     false},
    {"timestamp(0)", "'2024-02-29 13:14:15', '-infinity'", RANDOM_STAMP, false},
    {"timestamptz",
     "'infinity', '-infinity', '4714-11-24 00:00:00+00 BC', '294276-12-31 23:59:59.999999+00', '1970-01-01', "
     "'0001-01-01', "
     "'10000-01-01', '9999-12-31 23:59:59.999999', '0044-03-15 12:00:00+00 BC', '2024-02-29 "
     "13:14:15.123456+02', '0001-01-01 BC'",
     RANDOM_STAMP, false},
    {"timestamptz(3)", "'2024-02-29 13:14:15.123+02', '0044-03-15 12:00:00.5+00 BC', 'infinity'",
     RANDOM_STAMP, false},
    {"timestamptz(0)", "'2024-02-29 13:14:15+02', '-infinity'", RANDOM_STAMP, false},
    {"interval",
     "'0', '1 year 2 mons 3 days 04:05:06.789012', '-1 year -2 mons -3 days -04:05:06.789', '178000000 "
     "years', "
     "'-178000000 years', '1 mon -1 day +00:00:00.000001', '-11 mons', '100:00:00', '-00:00:00.5', '1 day "
     "-00:00:01', "
     "'-1 day +00:00:01', '2147483647 days', '-2147483648 days', '2147483647 mons', '-2147483648 mons', "
     "'2562047788:00:54.775807', '-2562047788:00:54.775807', '1 year', '-1 year', '1 day', "
     "make_interval(months => 2147483647, days => 2147483647) + '2562047788:00:54.775807'",
     RANDOM_INTERVAL, false},
    {"interval year to month", "'3 years 4 mons', '-11 mons'", NULL, false},
    {"interval day to second(2)", "'3 days 04:05:06.78'", RANDOM_INTERVAL, false},
    {"interval second(0)", "'42 seconds', '-1 day 00:00:07'", NULL, false},
    {"interval hour", "'1 day 05:00:00'", RANDOM_INTERVAL, false},
    {"interval(3)", "'1 day 00:00:00.123'", RANDOM_INTERVAL, false},
    {"bit(1)", "'0', '1'", NULL, true},
    {"bit(12)", "'100000000001', '000000000000'", "(random()*4095)::int::bit(12)", true},
    {"varbit", "'', '0', '00000000', '1011', '101100000'",
     "substring((random()*65535)::int::bit(16)::varbit from 1 for n % 17)", true},
    {"varbit(10)", "'', '10110'", NULL, true},
    {"inet",
     "'192.168.1.5/24', '0.0.0.0/0', '10.0.0.1', '::', '::1', 'ffff::1/64', '::ffff:1.2.3.4', '::1.2.3.4', "
     "'::1:2', '1:0:0:2::3', "
     "'1:0:0:2:0:0:0:3/127', '2001:db8::/32', '::0.1.0.0', '::ffff:0:0'",
     "'0.0.0.0'::inet + (random()*4294967295)::int8", true},
    {"cidr", "'192.168.1.0/24', '10.0.0.0/8', '::/0', '2001:db8::/128'", NULL, true},
    {"macaddr", "'08:00:2b:01:02:03', 'ff:ff:ff:ff:ff:ff'", NULL, true},
    {"macaddr8", "'08:00:2b:01:02:03:04:05'", NULL, true},
    {"point", "'(1.5,-2.25)', '(NaN,Infinity)', '(-0,1e300)'", "point(" RANDOM_DOUBLE "," RANDOM_DOUBLE ")",
     true},
    {"line", "'{1,2,3}', '{0,-1,0.1}'", NULL, true},
    {"lseg", "'[(0,0),(1,1)]', '[(0.1,1e-7),(-1,1e15)]'", NULL, true},
    {"box", "'(2,2),(0,0)', '(0.1,0.2),(-1e20,-1e-20)'", NULL, true},
    {"path", "'[(0,0),(1,1),(2,0)]', '((0,0),(1,1))'", NULL, true},
    {"polygon", "'((0,0),(1,1),(2,0))', '((0.1,0.2))'", NULL, true},
    {"circle", "'<(1,2),3>', '<(0.1,-0.2),1e-10>'", NULL, true},
    {"tsvector",
     "'', 'a fat cat', 'a:1A b:2B,3C,4 c:16383', '''quo''''te'' ''back\\\\slash'' ''two words'':5', 'ü:1'",
     "array_to_tsvector(ARRAY['x', 'y' || n, 'z' || " RANDOM_TEXT "])", true},
    {"tsquery",
     "'', 'fat', 'fat & cat', 'a | b & c', '(a | b) & !c', '!(a & b) | !!d', 'a <-> b <2> c', 'a <-> (b <-> "
     "c)', "
     "'(a <-> b) <-> c', 'a <-> (b | c) & d', 'x:*', 'x:AB & y:*CD', '''quo''''te'' & ''back\\\\slash''', "
     "'!a <-> b', "
     "'!(a <-> b)', 'a & (b & (c & d))', '((a | b) | c) | d', 'a <0> b'",
     NULL, true},
    {"pg_lsn", "'0/0', '16/B374D848', 'FFFFFFFF/FFFFFFFF'", NULL, true},
    {"xid", "'0', '742', '4294967295'", NULL, true},
    {"xid8", "'0', '18446744073709551615'", NULL, true},
    {"cid", "'0', '7'", NULL, true},
    {"tid", "'(0,1)', '(4294967295,65535)'", NULL, true},
    {"pg_snapshot", "'1:1:', '10:20:10,14,15'", NULL, true},
    {"txid_snapshot", "'10:20:10,14,15'", NULL, true},
    {"jsonpath", "'$.a[*]', 'strict $.\"x\" ? (@ > 1)'", NULL, true},
    {"refcursor", "'', 'cur \"x\"'", NULL, false},
    {"int2vector", "'', '1', '1 -2 3'", NULL, true},
    {"oidvector", "'', '26', '1 4294967295'", NULL, true},
    {"hstore", "'', 'k=>v, n=>NULL, \"sp ace\"=>\"q\\\"uote\", \"NULL\"=>\"\\\\b\"'",
     "hstore(" RANDOM_TEXT ", " RANDOM_TEXT ")", true},
    {"ltree", "'Top.Sci.Astro', ''", NULL, true},
    {"lquery", "'Top.*{0,2}.sport*@.!football|tennis.Russ*|Spain'", NULL, true},
    {"int4range", "'empty', '[1,10)', '(,)', '[5,)', '(,5]'", NULL, true},
    {"int8range", "'[-9223372036854775808,)'", NULL, true},
    {"numrange", "'(1.5,2.50]', '[NaN,NaN]', '[-Infinity,Infinity)'", NULL, true},
    {"tsrange", "'[2024-01-01 00:00,2024-02-01 00:00:00.5)', '[-infinity,infinity]'", NULL, true},
    {"tstzrange", "'[2024-01-01 00:00+02,infinity)', '[\"0044-03-15 12:00:00+00 BC\",)'", NULL, true},
    {"daterange", "'[2024-01-01,2024-02-01]', '[\"0044-03-15 BC\",infinity)'", NULL, true},
    {"floatrange", "'[0.1,1e300)', '(NaN,)'", NULL, true},
    {"textrange", "'[\"\",\" \")', '[a,\"b c\")', '[\"\\\"\",\"\\\\\"]', '[\"(\",\"[\"]'",
     "SELECT textrange(least(t, u), greatest(t, u), '[]') FROM (SELECT " RANDOM_TEXT " t, " RANDOM_TEXT
     " u) x",
     true},
    {"int4multirange", "'{}', '{[1,3),[5,8)}', '{(,)}'", NULL, true},
    {"tstzmultirange", "'{[2024-01-01 00:00+00,2024-02-01 00:00+00)}'", NULL, true},
    {"datemultirange", "'{[2024-01-01,2024-02-01],[2025-01-01,)}'", NULL, true},
    {"dom_num", "'1234.5', 'NaN', '-999999999.999'", NULL, false},
    {"dom_dom", "'1234.5', '8'", NULL, false},
    {"dom_plain", "'1.50', 'Infinity'", NULL, false},
    {"dom_text", "'dom', ''", NULL, false},
    {"dom_arr", "'{1,NULL}', '[0:1]={7,8}'", NULL, true},
    {"\"Dom\"\"Quote\"", "'2024-02-29 13:14:15.123+02'", RANDOM_STAMP, false},
    {"comp",
     "'(x,\"{1.5,NULL}\",ok,\"[2024-01-01 00:00+00,)\")', '(,,,)', '(\"\",{},\"quo''te\"\"d,x\",empty)'",
     "ROW(" RANDOM_TEXT ", ARRAY[random()*9, NULL]::numeric(6,2)[], 'happy ☺', NULL)::comp", true},
    {"comp2", "'(\"(a,,,)\",\"{\"\"(b,,,)\"\",NULL}\",1.5,x)'",
     "ROW(ROW(" RANDOM_TEXT ", NULL, 'sad', NULL), ARRAY[ROW(" RANDOM_TEXT
     ", NULL, '', NULL)::comp, NULL], 1, 'x')::comp2",
     true},
    {"int4[]", "'{}', '{1,NULL,-3}', '{{1,2},{3,4}}', '[2:3]={7,8}', '[-1:0][5:5][0:0]={{{1}},{{2}}}'", NULL,
     true},
    {"int8[]", "'{1,9007199254740993}'", NULL, true},
    {"bool[]", "'{t,f,NULL}'", NULL, true},
    {"text[]",
     "'{}', '{NULL,\"NULL\",\"null\",\"\",a}', '{\"b c\",\"d\\\"e\",\"\\\\\",\"{\",\"}\",\",\",\";\"}', "
     "'{{a,b},{c,NULL}}'",
     "ARRAY[" RANDOM_TEXT "," RANDOM_TEXT ",NULL]", true},
    {"varchar(10)[]", "'{x,yyyyyyyyyy}'", NULL, true},
    {"char(3)[]", "'{a,bcd}'", NULL, true},
    {"\"char\"[]", "'{x,\"\",\"\\\"\",NULL}'", NULL, true},
    {"name[]", "'{a,b}'", NULL, true},
    {"numeric[]", "'{1,2.50,NaN,-Infinity,NULL}'", "ARRAY[" RANDOM_NUMERIC "," RANDOM_NUMERIC "]::numeric[]",
     true},
    {"numeric(10,2)[]", "'{1.25,-9.99}'", NULL, true},
    {"float4[]", "'{1.5,-0.1,NaN,Infinity,-0,1e-45}'",
     "ARRAY[((random()-0.5) * 10::float8^(floor(random()*74)-37))::float4, "
     "2::float8^(floor(random()*250)-140), "
     "10::float8^(floor(random()*74)-37)]",
     true},
    {"float8[]", "'{0.1,1e300,NaN,-Infinity,-0,5e-324}'",
     "ARRAY[" RANDOM_DOUBLE ",2::float8^(floor(random()*2040)-1020),10::float8^(floor(random()*600)-300),"
     "(random()*10^(random()*16))::int8,random(),(random()*1e6)::int/100.0::float8]",
     true},
    {"date[]", "'{2024-02-29,infinity,-infinity,\"0044-03-15 BC\"}'", NULL, true},
    {"time[]", "'{13:14:15.123456,24:00:00}'", NULL, true},
    {"timetz[]", "'{13:14:15+02,00:00:00-05:30:15,24:00:00+00}'", NULL, true},
    {"timestamp[]", "'{\"2024-02-29 13:14:15.123456\",infinity,-infinity}'", "ARRAY[" RANDOM_STAMP "]", true},
    {"timestamptz[]",
     "'{\"2024-02-29 13:14:15.123456+02\",\"0044-03-15 12:00:00+00 BC\",\"294276-12-31 "
     "23:59:59.999999+00\"}'",
     "ARRAY[" RANDOM_STAMP "]::timestamptz[]", true},
    {"interval[]", "'{\"1 day\",\"-1 mon\",\"1 mon -1 day +00:00:00.000001\",0}'",
     "ARRAY[" RANDOM_INTERVAL "]", true},
    {"uuid[]", "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'", NULL, true},
    {"json[]", "ARRAY['{\"a\":1}'::json, 'null', NULL]", NULL, true},
    {"jsonb[]", "ARRAY['{\"a\":1}'::jsonb]", NULL, true},
    {"xml[]", "ARRAY['<a b=\"1\"/>'::xml]", NULL, true},
    {"bytea[]", "ARRAY['\\xdead'::bytea,'\\x', NULL]", NULL, true},
    {"inet[]", "'{10.0.0.1,10.0.0.0/8,::1}'", NULL, true},
    {"mood[]", "ARRAY['ok','happy ☺','quo''te\"d,x','',NULL]::mood[]", NULL, true},
    {"money[]", "'{$1.50,\"-$1,234,567.89\",0}'", "ARRAY[((random()-0.5)*10^(random()*17))::numeric::money]",
     true},
    {"oid[]", "'{26,4294967295}'", NULL, true},
    {"citext[]", "'{AbC,\"d e\"}'", NULL, true},
    {"hstore[]", "ARRAY['a=>1'::hstore,'']", NULL, true},
    {"ltree[]", "'{Top.Sci,a}'", NULL, true},
    {"point[]", "ARRAY[point(1,2),NULL]", NULL, true},
    {"box[]", "'{(2,2),(0,0);(1,1),(0,0)}'", NULL, true},
    {"bit(8)[]", "ARRAY[B'10101010',NULL]", NULL, true},
    {"varbit[]", "ARRAY[B'1'::varbit,B'']", NULL, true},
    {"int4range[]", "ARRAY[int4range(1,5),'empty']", NULL, true},
    {"int4multirange[]", "'{\"{[1,3),[5,8)}\"}'", NULL, true},
    {"tsquery[]", "ARRAY['a & b'::tsquery]", NULL, true},
    {"tsvector[]", "ARRAY['a b'::tsvector]", NULL, true},
    {"comp[]", "ARRAY[ROW('x',NULL,'ok',NULL)::comp,NULL]", NULL, true},
    {"dom_num[]", "'{1.5,NULL}'", NULL, true},
    {"oidvector[]", "ARRAY['1 2'::oidvector]", NULL, true},
    {"regclass", "'pg_class', '-', '\"Weird Table\"', 'hidden.pg_class', '4000000000'", NULL, true},
    {"regtype", "'int4', 'text[]', 'mood', 'timestamptz', '-'", NULL, true},
    {"regproc", "'now', 'hidden.f', '-'", NULL, true},
    {"regprocedure", "'abs(int4)', 'hidden.f(int,text)'", NULL, true},
    {"regoperator", "'+(int4,int4)', '!!(none,tsquery)'", NULL, true},
    {"regoper", "'||/'", NULL, true},
    {"regrole", "'postgres'", NULL, true},
    {"regnamespace", "'hidden', 'pg_catalog'", NULL, true},
    {"regconfig", "'english', 'simple'", NULL, true},
    {"regdictionary", "'simple'", NULL, true},
    {"regcollation", "'\"C\"'", NULL, true},
    {"regclass[]", "ARRAY['pg_class'::regclass,'\"Weird Table\"',NULL]", NULL, true},
};

#endif
