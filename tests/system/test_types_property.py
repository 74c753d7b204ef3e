"""Random values of every type, source → journal → apply → target, in the copy and in the stream: not one may change.

Values are made here, by CF_SEED; extremes of each type come with high probability. Afterwards source and target are equal by text form,
by IS NOT DISTINCT FROM (where the type has an equality), and for scalar types by the server's own binary form.
"""

import random
import string

import psycopg
import pytest

from rig import Postgres, Workdir
from rig.scenario import count, scenario, seed

SCHEMA = r"""
CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy ☺', 'with space', 'quo''te"d,x', 'NULL', '');
CREATE DOMAIN dom_num AS numeric(12,3) CHECK (VALUE <> 7); CREATE DOMAIN dom_dom AS dom_num; CREATE DOMAIN dom_text AS varchar(30);
CREATE DOMAIN dom_arr AS int[]; CREATE DOMAIN dom_tstz AS timestamptz(3); CREATE DOMAIN dom_mood AS mood; CREATE DOMAIN dom_range AS numrange;
CREATE TYPE comp AS (a int, "b b" text, c numeric(6,2)[], d mood, e daterange, f dom_num);
CREATE TYPE nest AS (x comp, y comp[], z timestamptz, "char" "char", h hstore);
CREATE DOMAIN dom_comp AS comp; CREATE DOMAIN dom_nest AS nest[];
CREATE TYPE floatrange AS RANGE (subtype = float8); CREATE TYPE textrange AS RANGE (subtype = text);
"""
LETTERS = list(string.ascii_letters) + ['"', "'", "\\", "\\\\", ",", "{", "}", "(", ")", "[", "]", ":", ";", "=>", "NULL", "null", " ", "\t", "\n", "\r", "$", "/", "0",
                                       "ü", "☺", "𝄞", "日", "\x01", "\x1f", "\x7f", "\u2028", "\ufeff", "\\N", "%", "\\x", "--", "&", "|", "!", "<", ">"]
PLACEHOLDER = "__debezium_unavailable_value"


class Maker:
    """Random texts that PostgreSQL's input functions take, one method or table entry for each type."""

    def __init__(self, rnd):
        self.r = rnd

    def pick(self, extremes, ordinary, share=0.45):
        return self.r.choice(extremes) if extremes and self.r.random() < share else ordinary()

    def text(self, most=None):
        value = self.pick(["", " ", "NULL", "null", "{}", '"', "\\", "'", "a" * 300, "ü" * 40, PLACEHOLDER, "\\N", "\t\n", "trail  ", "{NULL}", "\\x00"],
                          lambda: "".join(self.r.choice(LETTERS) for _ in range(self.r.choice((1, 3, 8, 40)))), 0.3)
        return value if most is None else value[:most].rstrip(" ") if most == 5 else value[:most]

    def integer(self, bits, signed=True):
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        return str(self.pick([low, high, 0, 1, low + 1, high - 1, -1 if signed else 2], lambda: self.r.randint(low, high) >> self.r.randrange(bits)))

    def float(self, single):
        extremes = ["NaN", "Infinity", "-Infinity", "-0", "0", "0.1"] + (
            ["1e-45", "1.17549435e-38", "3.4028235e38", "-3.4028235e38", "16777216", "1e6"] if single else
            ["5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "-1.7976931348623157e308", "1e23", "9007199254740993", "1e15", "1e-5"])
        span = 37 if single else 300
        return self.pick(extremes, lambda: f"{self.r.uniform(-10, 10) * 10.0 ** self.r.randint(-span, span - 1):.17g}")

    def numeric(self):
        def ordinary():
            whole = "".join(self.r.choice("0123456789") for _ in range(self.r.choice((1, 4, 9, 30, 200))))
            part = "".join(self.r.choice("0123456789") for _ in range(self.r.choice((0, 1, 4, 9, 60))))
            return self.r.choice(("", "-")) + whole + ("." + part if part else "")
        return self.pick(["NaN", "Infinity", "-Infinity", "0", "0.000", "-0.1", "10000", "9999", "0.0001", "1e-300", "12345.678900", "1e130", "-1e130", "1e-1000",
                          "1e20", "100000000000000000000000000000001", "1e131071", "1e-16383"], ordinary)

    def fixed(self, digits, scale):
        if self.r.random() < 0.05:
            return "NaN"
        limit = 10 ** digits - 1
        unscaled = self.pick([0, 1, -1, limit, -limit], lambda: self.r.randint(-limit, limit) // 10 ** self.r.randrange(digits))
        return f"{unscaled}e{-scale}"

    def money(self):
        cents = int(self.integer(64))
        return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"

    def bytea(self):
        return "\\x" + self.pick([b"", b"\0", b"\\", b"\xff" * 3, bytes(range(256))], lambda: self.r.randbytes(self.r.randrange(40))).hex()

    def json(self, depth=0):
        kind = self.r.randrange(7 if depth < 3 else 5)
        if kind < 5:
            return (self.r.choice(("null", "true", "{}", "[]", '""')), self.r.choice(("0", "-0.0", "1e30", "123456789012345678901234567890", "1.10")),
                    '"' + self.r.choice(("", "a b", "\\u2028", "ü☺𝄞", "q\\\"uote", "\\\\", "__debezium_unavailable_value", "\\ttab", "'")) + '"',
                    str(self.r.randint(-99, 99)), "false")[kind]
        inner = [self.json(depth + 1) for _ in range(self.r.randrange(4))]
        if kind == 5:
            return "[" + self.r.choice((",", " , ")).join(inner) + "]"
        return "{" + ", ".join(f'"k{self.r.randrange(3)}": {value}' for value in inner) + "}"

    def xml(self):
        return self.r.choice(("<a/>", '<r a="1">t</r>', "", "just text ü", "<a><b>☺ &lt;&amp;</b></a>", '<?xml version="1.0"?><a/>', '<?xml version="1.1"?><a/>',
                              f"<n>{self.r.randrange(1 << 30)}</n>", '<?xml version="1.0" standalone="yes"?><a>ü</a>', "<!-- c --><a  b = '1' />"))

    def uuid(self):
        return self.pick(["0" * 32, "f" * 32], lambda: self.r.randbytes(16).hex(), 0.2)

    def mood(self):
        return self.r.choice(("sad", "ok", "happy ☺", "with space", 'quo\'te"d,x', "NULL", ""))

    def year(self):
        return self.r.choice((4713, 44, 1, 100, 1500, 1582, 1900, 1969, 1970, 1999, 2000, 2024, 2038, 9999, 10000, 12345, 200000, 294276))

    def date(self):
        def ordinary():
            bc = self.r.random() < 0.15
            year = self.r.randint(1, 4713 if bc else 10 ** self.r.randint(4, 6) * 2)
            return f"{year:04d}-{self.r.randint(1, 12):02d}-{self.r.randint(1, 28):02d}" + (" BC" if bc else "")
        return self.pick(["infinity", "-infinity", "4714-11-24 BC", "5874897-12-31", "0001-01-01", "0001-12-31 BC", "0044-03-15 BC", "1969-12-31", "1970-01-01",
                          "2000-02-29", "9999-12-31", "10000-01-01", "294276-12-31"], ordinary)

    def clock(self, digits=6):
        part = self.r.choice((0, 1, 10 ** digits - 1, self.r.randrange(10 ** digits))) if digits else 0
        return f"{self.r.randrange(24):02d}:{self.r.randrange(60):02d}:{self.r.randrange(60):02d}" + (f".{part:0{digits}d}" if digits else "")

    def time(self, digits=6):
        return self.pick(["00:00:00", "24:00:00", "23:59:59", "12:00:00.5" if digits else "12:00:00"], lambda: self.clock(digits), 0.3)

    def timetz(self, digits=6):
        zone = self.r.choice(("+00", "+15:59:59", "-15:59:59", "+05:30:15", "-00:30", "+02", f"{self.r.choice('+-')}{self.r.randrange(15):02d}:{self.r.randrange(60):02d}"))
        return self.time(digits) + zone

    def timestamp(self, digits=6, zone=""):
        def ordinary():
            bc = self.r.random() < 0.15
            year = self.r.randint(1, 4712) if bc else self.year()
            return f"{year:04d}-{self.r.randint(1, 12):02d}-{self.r.randint(1, 28):02d} {self.clock(digits)}{zone}" + (" BC" if bc else "")
        extremes = ["4714-11-24 00:00:00%s BC", "294276-12-31 23:59:59%s", "294247-01-10 04:00:54%s", "1970-01-01 00:00:00%s", "0001-01-01 00:00:00%s", "0044-03-15 12:00:00%s BC"]
        if digits == 6:
            extremes += ["294276-12-31 23:59:59.999999%s", "294247-01-10 04:00:54.775807%s", "294247-01-10 04:00:54.775808%s", "1969-12-31 23:59:59.999999%s", "1500-03-01 00:00:00.000001%s"]
        return self.pick(["infinity", "-infinity"] + [e % zone for e in extremes], ordinary)

    def interval(self):
        def part(limit):
            return self.pick([0, limit, -limit, 1, -1], lambda: self.r.randint(-limit, limit) >> self.r.randrange(31), 0.5)
        return self.pick(["0", "1 mon", "-1 mon", "1 day", "30 days", "24:00:00", "-178000000 years", "178000000 years", "1 mon -1 day +00:00:00.000001", "-00:00:00.5",
                          "2562047788:00:54.775807", "-2562047788:00:54.775807", "2147483647 days", "-2147483648 days", "-1 year -2 mons -3 days -04:05:06.789"],
                         lambda: f"{part(2147483647)} mons {part(2147483647)} days {part(9223372036)}.{self.r.randrange(10 ** 6):06d} secs")

    def bits(self, least, most):
        return "".join(self.r.choice("01") for _ in range(self.r.randint(least, most))) if self.r.random() < 0.7 else "0" * least

    def inet(self):
        return self.pick(["0.0.0.0/0", "::", "::1", "::ffff:1.2.3.4", "ffff::1/64", "1:0:0:2::3", "255.255.255.255", "::/0", "10.0.0.1/8", "2001:db8::/32"],
                         lambda: ".".join(str(self.r.randrange(256)) for _ in range(4)) + f"/{self.r.randrange(33)}")

    def cidr(self):
        return self.pick(["0.0.0.0/0", "::/0", "10.0.0.0/8", "2001:db8::/32", "::1/128", "192.168.1.5/32"], lambda: f"{self.r.randrange(256)}.{self.r.randrange(256)}.0.0/16")

    def mac(self, parts):
        return ":".join(f"{self.r.choice((0, 255, self.r.randrange(256))):02x}" for _ in range(parts))

    def number(self):
        return self.pick(["NaN", "Infinity", "-Infinity", "0", "-0", "1e300", "5e-324"], lambda: repr(self.r.uniform(-1e6, 1e6)), 0.25)

    def point(self):
        return f"({self.number()},{self.number()})"

    def points(self, least):
        return ",".join(self.point() for _ in range(self.r.randint(least, 5)))

    def line(self):
        return "{%s,%s,%s}" % (self.r.randint(1, 9), self.r.uniform(-9, 9), self.number())

    def path(self):
        return self.r.choice(("[%s]", "(%s)")) % self.points(1)

    def circle(self):
        return f"<{self.point()},{self.r.choice((0, 1, 2.5, self.r.random() * 1e9))}>"

    def tsvector(self):
        def word():
            text = "".join(self.r.choice(("a", "b", "ü", "''", "\\\\", " ", ":", "☺", "z9")) for _ in range(self.r.randint(1, 6)))
            where = ",".join(f"{p}{self.r.choice(('', 'A', 'B', 'C', 'D'))}" for p in sorted(self.r.sample(range(1, 16383), self.r.randrange(4))))
            return f"'{text}'" + (":" + where if where else "")
        return " ".join(word() for _ in range(self.r.randrange(5)))

    def tsquery(self, depth=0):
        if depth > 3 or self.r.random() < 0.4:
            return "'" + self.r.choice(("fat", "ü", "q''uote", "back\\\\slash", "two words", "☺")) + "'" + self.r.choice(("", ":A", ":*", ":BD*"))
        if self.r.random() < 0.25:
            return "!" + "( " + self.tsquery(depth + 1) + " )"
        return f"( {self.tsquery(depth + 1)} ) {self.r.choice(('&', '|', '<->', '<3>', '<0>'))} ( {self.tsquery(depth + 1)} )"

    def lsn(self):
        return self.pick(["0/0", "FFFFFFFF/FFFFFFFF", "0/1", "1/0"], lambda: f"{self.r.getrandbits(32):X}/{self.r.getrandbits(32):X}")

    def jsonpath(self):
        return self.r.choice(("$", "$.a[*]", 'strict $."k y".b ? (@ > 1.10 && @.c starts with "a")', "lax $[0 to last].**{2 to 4}", '$.a like_regex "^x" flag "i"', "-$.a + 5", '$."q\\"uote☺"'))

    def snapshot(self):
        low = self.r.randrange(1, 1 << 40)
        running = sorted({low + self.r.randrange(1, 1000) for _ in range(self.r.randrange(4))})
        return f"{low}:{low + 1000}:{','.join(map(str, running))}"

    def hstore(self):
        def quote(text):
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return ", ".join(f"{quote(self.text(20))}=>{self.r.choice(('NULL', quote(self.text())))}" for _ in range(self.r.randrange(4)))

    def ltree(self):
        return ".".join(self.r.choice(("Top", "a_1", "Science", "x" * 50)) for _ in range(self.r.randrange(5)))

    def lquery(self):
        return self.r.choice(("*", "Top.*{1,3}.a@", "*.!b|c*.*{,4}", "a_1%*@|b", "!x"))

    def geometry(self):
        def xy():
            return f"{self.r.choice((0, -1.5, 1e300, self.r.uniform(-180, 180)))!r} {self.r.uniform(-90, 90)!r}"
        srid = self.r.choice(("", "SRID=4326;", "SRID=3857;"))
        ring = "0 0, 0 9, 9 9, 0 0"
        return srid + self.r.choice((f"POINT({xy()})", "POINT EMPTY", f"POINT Z({xy()} 1)", f"POINT ZM({xy()} 1 2)", f"LINESTRING({xy()}, {xy()}, {xy()})", f"POLYGON(({ring}))",
                                     f"MULTIPOINT(({xy()}), ({xy()}))", f"GEOMETRYCOLLECTION(POINT({xy()}), LINESTRING({xy()}, {xy()}))", "GEOMETRYCOLLECTION EMPTY", "CIRCULARSTRING(0 0, 1 1, 2 0)"))

    # What is made of other types.
    def quoted(self, text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def array(self, make, delim=","):
        dims = self.r.choice((1, 1, 1, 2, 3))
        sizes = [self.r.randint(1, 3) for _ in range(dims)]
        if self.r.random() < 0.15:
            return "{}"
        lower = [self.r.choice((1, 0, -3, 2, 2147483600)) for _ in range(dims)] if self.r.random() < 0.25 else None

        def level(depth):
            if depth == dims:
                return "NULL" if self.r.random() < 0.2 else self.quoted(make())
            return "{" + delim.join(level(depth + 1) for _ in range(sizes[depth])) + "}"
        bounds = "".join(f"[{b}:{b + n - 1}]" for b, n in zip(lower, sizes)) + "=" if lower else ""
        return bounds + level(0)

    def range(self, bound):
        if self.r.random() < 0.12:
            return "empty"
        low, high = sorted((bound(), bound()), key=lambda pair: pair[0])
        left = "" if self.r.random() < 0.2 else self.quoted(low[1])
        right = "" if self.r.random() < 0.2 else self.quoted(high[1])
        return self.r.choice("[(") + left + "," + right + self.r.choice("])")

    def multirange(self, bound):
        return "{" + ",".join(self.range(bound) for _ in range(self.r.randrange(4))) + "}"

    def record(self, *makers):
        return "(" + ",".join("" if self.r.random() < 0.2 else self.quoted(make()) for make in makers) + ")"

    def comp(self):
        return self.record(lambda: self.integer(32), self.text, lambda: self.array(lambda: self.fixed(6, 2)), self.mood, lambda: self.range(self.bound_date), self.dom_num)

    def nest(self):
        return self.record(self.comp, lambda: self.array(self.comp), lambda: self.timestamp(zone="+00"), lambda: self.r.choice("x\"\\ "), self.hstore)

    def dom_num(self):
        value = self.fixed(12, 3)
        return "8" if value in ("7e0", "7000e-3") else value

    def bound_int(self, bits=31):
        value = self.r.choice((0, 1, -1, 1 << bits - 1, -(1 << bits - 1), self.r.randint(-999, 999)))
        return value, str(value)

    def bound_num(self):
        value = self.r.choice((0.0, 1.5, -1.5, 1e20, self.r.uniform(-9, 9)))
        return value, self.r.choice((f"{value:.9f}", f"{value:.20f}"))

    def bound_date(self):
        day = self.r.choice((-700000, 0, 11016, 2932896, 3000000, self.r.randint(-99999, 99999)))
        if day == 3000000:
            return day, "infinity"
        if day == -700000:
            return day, "0044-03-15 BC"
        return day, {0: "1970-01-01", 11016: "2000-02-29", 2932896: "9999-12-31"}.get(day) or (psycopg_date(day))

    def bound_stamp(self):
        number, text = self.bound_date()
        if text == "infinity":
            return number, text
        head, era = (text[:-3], " BC") if text.endswith(" BC") else (text, "")
        return number, f"{head} 12:34:56.789012{era}"

    def bound_text(self):
        number = self.r.randrange(7)
        return number, "abcdefg"[number] + ("", '"', "\\", ",", "NULL", " ", "ü")[number]


def psycopg_date(day):
    import datetime
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


def kinds(m, has_postgis):
    """Column type → maker of its values."""
    scalar = {
        "bool": lambda: m.r.choice("tf"), "int2": lambda: m.integer(16), "int4": lambda: m.integer(32), "int8": lambda: m.integer(64), "oid": lambda: m.integer(32, False),
        "float4": lambda: m.float(True), "float8": lambda: m.float(False), "numeric": m.numeric, "numeric(10,2)": lambda: m.fixed(10, 2), "numeric(5,-2)": lambda: m.fixed(5, -2),
        "numeric(3,5)": lambda: m.fixed(3, 5), "money": m.money, "text": m.text, "varchar": m.text, "varchar(20)": lambda: m.text(20), "char(5)": lambda: m.text(5),
        "name": lambda: m.text(12), '"char"': lambda: m.r.choice(("", "x", '"', "\\", " ", "'", "{", ",")), "citext": m.text, "bytea": m.bytea, "json": m.json, "jsonb": m.json,
        "xml": m.xml, "uuid": m.uuid, "mood": m.mood, "date": m.date, "time": m.time, "time(3)": lambda: m.time(3), "time(0)": lambda: m.time(0), "timetz": m.timetz,
        "timetz(3)": lambda: m.timetz(3), "timestamp": m.timestamp, "timestamp(3)": lambda: m.timestamp(3), "timestamp(0)": lambda: m.timestamp(0),
        "timestamptz": lambda: m.timestamp(zone="+00"), "timestamptz(3)": lambda: m.timestamp(3, "+00"), "timestamptz(0)": lambda: m.timestamp(0, "+00"), "interval": m.interval,
        "interval year to month": lambda: f"{m.r.randint(-999, 999)} years {m.r.randint(-11, 11)} mons", "interval second(0)": lambda: f"{m.r.randint(-99, 99)} secs",
        "bit(1)": lambda: m.r.choice("01"), "bit(12)": lambda: m.bits(12, 12), "bit varying": lambda: m.bits(0, 40), "bit varying(10)": lambda: m.bits(0, 10), "inet": m.inet, "cidr": m.cidr,
        "macaddr": lambda: m.mac(6), "macaddr8": lambda: m.mac(8), "point": m.point, "line": m.line, "lseg": lambda: f"[{m.point()},{m.point()}]",
        "box": lambda: f"{m.point()},{m.point()}", "path": m.path, "polygon": lambda: f"({m.points(1)})", "circle": m.circle, "tsvector": m.tsvector, "tsquery": m.tsquery,
        "pg_lsn": m.lsn, "xid": lambda: m.integer(32, False), "xid8": lambda: m.integer(64, False), "cid": lambda: m.integer(32, False),
        "tid": lambda: f"({m.integer(32, False)},{m.integer(16, False)})", "jsonpath": m.jsonpath, "txid_snapshot": m.snapshot, "pg_snapshot": m.snapshot,
        "hstore": m.hstore, "ltree": m.ltree, "lquery": m.lquery, "ltxtquery": lambda: m.r.choice(("a & b", "!(x|y)", "Top@ & (a_1% | c)")),
        "comp": m.comp, "nest": m.nest, "dom_num": m.dom_num, "dom_dom": m.dom_num, "dom_text": lambda: m.text(30), "dom_tstz": lambda: m.timestamp(3, "+00"), "dom_mood": m.mood,
        "dom_arr": lambda: m.array(lambda: m.integer(32)), "dom_comp": m.comp, "dom_nest": lambda: m.array(m.nest), "dom_range": lambda: m.range(m.bound_num),
        "int4range": lambda: m.range(m.bound_int), "int8range": lambda: m.range(lambda: m.bound_int(62)), "numrange": lambda: m.range(m.bound_num),
        "tsrange": lambda: m.range(m.bound_stamp), "tstzrange": lambda: m.range(m.bound_stamp), "daterange": lambda: m.range(m.bound_date),
        "floatrange": lambda: m.range(m.bound_num), "textrange": lambda: m.range(m.bound_text),
        "int4multirange": lambda: m.multirange(m.bound_int), "int8multirange": lambda: m.multirange(lambda: m.bound_int(62)), "floatmultirange": lambda: m.multirange(m.bound_num), "nummultirange": lambda: m.multirange(m.bound_num), "tsmultirange": lambda: m.multirange(m.bound_stamp),
        "tstzmultirange": lambda: m.multirange(m.bound_stamp), "datemultirange": lambda: m.multirange(m.bound_date), "textmultirange": lambda: m.multirange(m.bound_text),
        "int2vector": lambda: " ".join(m.integer(16) for _ in range(m.r.randint(1, 4))), "oidvector": lambda: " ".join(m.integer(32, False) for _ in range(m.r.randint(1, 4))),
        "regtype": lambda: m.r.choice(("int4", "text[]", "timestamp with time zone", "-")), "regclass": lambda: m.r.choice(("pg_class", "-", "pg_catalog.pg_type")),
        "regproc": lambda: m.r.choice(("now", "-")), "regnamespace": lambda: m.r.choice(("public", "pg_catalog", "-")),
    }
    if has_postgis:
        scalar.update({"geometry": m.geometry, "geography(Point,4326)": lambda: f"SRID=4326;POINT({m.r.uniform(-180, 180)!r} {m.r.uniform(-90, 90)!r})"})
    made = dict(scalar)
    for kind, make in scalar.items():
        if kind.startswith(("int2vector", "oidvector", "geography")):
            continue
        base, bracket, modifier = kind.partition("(")
        made[f"{base}{bracket}{modifier}[]" if not kind.startswith("interval ") else f"{kind}[]"] = (lambda make, kind: lambda: m.array(make, ";" if kind == "box" else ":" if kind in ("geometry",) else ","))(make, kind)
    return made


NO_EQUALITY = ("json", "xml", "point", "jsonpath", "lquery", "ltxtquery", "box", "lseg", "path", "polygon", "circle", "line", "txid_snapshot", "pg_snapshot", "geometry", "geography", "tsquery", "dom_mood")


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("types") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def has_postgis(server):
    return bool(server.value("SELECT count(*) FROM pg_available_extensions WHERE name = 'postgis'"))


def tables_of(types, width=24):
    names = list(types)
    return {f"t{i // width}": names[i:i + width] for i in range(0, len(names), width)}


def fill(connection, table, types, makers, first, rows, m):
    """Inserts rows first.. by COPY; 6 % of the values are NULL."""
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for number in range(first, first + rows):
            values = [None if m.r.random() < 0.06 else makers[kind]() for kind in types]
            copy.write_row([number, number, m.r.choice(("small", "L" * 9000, m.text()))] + values)
    return rows * len(types)


def change(connection, table, types, makers, last, times, m):
    """Updates of a few columns each, so that large values elsewhere in the row stay as they are."""
    values = 0
    for _ in range(times):
        chosen = m.r.sample(range(len(types)), m.r.randint(1, min(4, len(types))))
        assignments = ", ".join(f"c{i} = %s" for i in chosen)
        connection.execute(f"UPDATE {table} SET v = v + 1, {assignments} WHERE id = %s",
                           [None if m.r.random() < 0.1 else makers[types[i]]() for i in chosen] + [m.r.randint(1, last)])
        values += len(chosen)
    return values


def text_rows(url, table, types):
    # format(): by the output function, since xml::text is what lies on disk, which the server sends to nobody.
    # tsquery's text drops parentheses that its value has: its binary form is looked at as well.
    columns = ["id", "v", "big"] + [f"CASE WHEN c{i}::text IS NOT NULL THEN format('%s', c{i}) END" for i in range(len(types))] + [f"encode(tsquerysend(c{i}), 'hex')" for i, kind in enumerate(types) if kind == "tsquery"]
    with psycopg.connect(url, options="-c timezone=UTC -c extra_float_digits=1") as connection:
        return {row[0]: row for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY id")}


def assert_same_text(s, table, types):
    left, right = text_rows(s.source_url, table, types), text_rows(s.target_url, table, types)
    assert left.keys() == right.keys()
    for number, row in left.items():
        for i, (a, b) in enumerate(zip(row, right[number])):
            assert a == b, f"{table} id={number} {types[i - 3] if 3 <= i < len(types) + 3 else i}: source {a!r}, target {b!r}"


def assert_not_distinct(s, table, types):
    """The source's rows, brought next to the target's by COPY, are IS NOT DISTINCT FROM them."""
    s.target("CREATE SCHEMA IF NOT EXISTS other", f"CREATE TABLE other.{table} (LIKE public.{table})")
    options = "-c timezone=UTC -c extra_float_digits=1"
    with psycopg.connect(s.source_url, options=options) as a, psycopg.connect(s.target_url, options=options) as b:
        with a.cursor().copy(f"COPY {table} TO STDOUT") as out, b.cursor().copy(f"COPY other.{table} FROM STDIN") as into:
            for block in out:
                into.write(block)
        b.commit()
        for i, kind in enumerate(types):
            if kind.removesuffix("[]").partition("(")[0] in NO_EQUALITY:
                continue
            row = b.execute(f"SELECT id, x.c{i}::text, y.c{i}::text FROM public.{table} x JOIN other.{table} y USING (id) WHERE x.c{i} IS DISTINCT FROM y.c{i} LIMIT 1").fetchone()
            assert row is None, f"{table} {kind}: {row}"


@pytest.mark.parametrize("journal_format", ["avro", "json"])
def test_no_value_changes(servers, journal_format):
    folder, source, target = servers
    m = Maker(random.Random(f"{seed()} {journal_format}"))
    postgis = has_postgis(source)
    makers = kinds(m, postgis)
    tables = tables_of(makers)
    values, rows, times = 0, count(24, 120), count(60, 320)
    schema = SCHEMA
    for table, types in tables.items():
        columns = ", ".join(f"c{i} {kind}" for i, kind in enumerate(types))
        schema += f"CREATE TABLE {table} (id int PRIMARY KEY, v int, big text, {columns}); ALTER TABLE {table} ALTER big SET STORAGE EXTERNAL;"
    with scenario(folder, source, target, schema, journal_format=journal_format, tables=("public.t*",), extensions=("postgis",) if postgis else ()) as s:
        with psycopg.connect(s.source_url, autocommit=True, options="-c timezone=UTC") as connection:
            for table, types in tables.items():
                values += fill(connection, table, types, makers, 1, rows, m)
            s.start()
            for table, types in tables.items():
                values += fill(connection, table, types, makers, rows + 1, rows, m)
                with connection.transaction():
                    values += change(connection, table, types, makers, 2 * rows, times, m)
                values += change(connection, table, types, makers, 2 * rows, 10, m)
                connection.execute(f"UPDATE {table} SET id = id + 100000 WHERE id % 17 = 3")
                connection.execute(f"DELETE FROM {table} WHERE id % 19 = 5")
        s.wait(180)
        for table, types in tables.items():
            assert_same_text(s, table, types)
            assert_not_distinct(s, table, types)
    least = count(9_000, 50_000)
    print(f"{journal_format}: {len(makers)} column types, {values} values, PostGIS {'tested' if postgis else 'not installed: not tested'}")
    assert values >= least
