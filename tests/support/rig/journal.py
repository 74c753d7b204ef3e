"""Reads a whole journal as a foreign consumer would, and judges it: each change exactly once, and together they are the source.

Nothing of Crossfade takes part but, for LMDB, `crossfade journal cat`.
"""

import collections
import json
import operator

import psycopg

Record = collections.namedtuple("Record", "topic partition offset key value headers")
Event = collections.namedtuple("Event", "topic partition offset key op before after txid order headers lsn")
UNAVAILABLE = "__debezium_unavailable_value"
NEW_KEY, OLD_KEY, COPYING = "__debezium.newkey", "__debezium.oldkey", "__crossfade.copying"


def text(value):
    """A key or row as one text that is equal for equal ones."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


# -- reading

def read_kafka(kafka, prefix):
    """All committed records of a prefix's topics whose format is JSON: ({topic: [Record]}, [fence])."""
    fence_topic = prefix + ".fence"
    found = kafka.read_all([t for t in kafka.topics() if t.startswith(prefix + ".") and t != prefix + ".schemas"])
    fences = [_json(m.value()) for m in found.pop(fence_topic)]
    return {topic: [Record(topic, m.partition(), m.offset(), _json(m.key()), _json(m.value()), dict(m.headers() or []))
                    for m in messages] for topic, messages in found.items()}, fences


def read_kafka_by_fences(kafka, prefix):
    """The same of a journal that was written without transactions: what counts there, and how many (records, fences) do not."""
    fence_topic = prefix + ".fence"
    found = kafka.read_all([t for t in kafka.topics() if t.startswith(prefix + ".") and t != prefix + ".schemas"])
    listed = found.pop(fence_topic)
    fences = [_json(m.value()) for m in listed if _stamp(m, "__crossfade.at") in (None, m.offset())]
    strays = [0, sum(m.value() is not None for m in listed) - len(fences)]
    owner, topics = _owners(fences), {}
    for topic, messages in found.items():
        topics[topic], numbers = [], {}
        for m in messages:
            writer, number = _stamp(m, "__crossfade.by") or (None, 0)
            fence = owner(topic, m.partition(), m.offset())
            if writer is not None and (fence is None or fence.get("writer") != writer or number <= numbers.get((m.partition(), writer), 0)):
                strays[0] += 1
                continue
            assert fence is None or fence.get("writer") == writer, f"{topic}/{m.partition()}@{m.offset()} is not by the fence's writer"
            numbers[m.partition(), writer] = number
            headers = {name: value for name, value in m.headers() or [] if name != "__crossfade.by"}
            topics[topic].append(Record(topic, m.partition(), m.offset(), _json(m.key()), _json(m.value()), headers))
    return topics, fences, strays


def _stamp(message, name):
    """at: the offset that a record is meant for; by: (writer, number). None: it has no stamp."""
    value = dict(message.headers() or []).get(name)
    if value is None:
        return None
    number = int.from_bytes(value[8:], "big")
    return number if name.endswith(".at") else (value[:8].hex(), number)


def _json(data):
    return None if data is None else json.loads(data)


def read_cat(pipeline):
    """The same through `crossfade journal`, whatever the journal and its format are."""
    prefix = pipeline.settings["journal"]["topic_prefix"]
    listed = pipeline.run("journal", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    topics = {}
    for line in listed.stdout.splitlines():
        name = json.loads(line)["stream"]
        if name in (prefix + ".schemas", prefix + ".fence"):
            continue
        topics[name] = [Record(name, r["partition"], r["offset"], r["key"], r["value"], r.get("headers") or {})
                        for r in _cat(pipeline, name)]
    return topics, [r["value"] for r in _cat(pipeline, prefix + ".fence")]


def _cat(pipeline, stream):
    done = pipeline.run("journal", "cat", stream, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line]  # splitlines() would end lines at U+2028 as well


# -- judging

def events_of(topics, fences):
    """(rows of the last copy, streamed changes in commit order, everything up to the end of the last copy (also one of a single table), changes behind it). No
    tombstones. A row of a copy stands behind the transactions that its range's window came after.

    Every record must lie in exactly one fence's range, and ranges of a partition must not overlap.
    """
    owner = _owners(fences)
    last = max(f["attempt"] for f in fences)
    complete = max((f["id"] + 1 for f in fences if f["attempt"] == last and not f["complete"]), default=1)
    first = min((f["id"] for f in fences if f["attempt"] == last and f["complete"]), default=len(fences) + 1)
    snapshot, stream, beside, behind = [], [], [], []
    for topic, records in topics.items():
        for record in records:
            fence = owner(topic, record.partition, record.offset)
            assert fence is not None, f"{topic}/{record.partition}@{record.offset} lies in no fence"
            event = _event(record)
            if event is None:
                continue
            if event.op == "r":
                if fence["attempt"] == last and fence["id"] <= first:
                    snapshot.append(event)
            else:
                stream.append(event)
            if fence["attempt"] == last and fence["id"] <= complete:
                place = (_lsn(event.lsn), 0, 0) if event.op == "r" else (commit_lsn(event), 1, event.order)
                beside.append((fence["id"], *place, record.partition, record.offset, event))
            elif fence["id"] > complete:
                behind.append(event)
    in_commit_order = operator.itemgetter(0, 1)
    stream, behind = ([e for *_, e in sorted(((commit_lsn(e), e.order, e) for e in events), key=in_commit_order)] for events in (stream, behind))
    return snapshot, stream, [e for *_, e in sorted(beside, key=lambda found: found[:-1])], behind


def _owners(fences):
    import bisect
    ranges = collections.defaultdict(list)
    for fence in fences:
        for r in fence["positions"]:
            if r["first_offset"] < r["next_offset"]:
                ranges[r["stream"], r["partition"]].append((r["first_offset"], r["next_offset"], fence))
    for place, found in ranges.items():
        found.sort(key=lambda r: r[0])
        for left, right in zip(found, found[1:]):
            assert left[1] <= right[0], f"{place}: fences overlap: {left[:2]} and {right[:2]}"
    starts = {place: [r[0] for r in found] for place, found in ranges.items()}

    def owner(topic, partition, offset):
        at = bisect.bisect_right(starts.get((topic, partition), []), offset) - 1
        if at < 0:
            return None
        first, following, fence = ranges[topic, partition][at]
        return fence if first <= offset < following else None
    return owner


def _event(record):
    if record.value is None:
        return None
    value = record.value.get("payload", record.value) if "op" not in record.value else record.value
    transaction = value.get("transaction") or {}
    return Event(record.topic, record.partition, record.offset, record.key, value["op"], value.get("before"), value.get("after"),
                 transaction.get("id"), transaction.get("total_order"), record.headers, value["source"]["lsn"])


def commit_lsn(event):
    return int(event.txid.split(":")[1])


def check_exactly_once(snapshot, stream):
    """Complaints, at most ten: a change that is there twice or not at all, a row of the copy that is there twice."""
    wrong = []
    orders = collections.defaultdict(list)
    for event in stream:
        orders[event.txid].append(event.order)
    for txid, found in orders.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            twice = [n for n, times in collections.Counter(found).items() if times > 1]
            missing = sorted(set(range(1, max(found) + 1)) - set(found))
            wrong.append(f"transaction {txid}: twice {twice[:5]}, missing {missing[:5]}, of {max(found)}")
    lsns = collections.Counter(txid.split(":")[1] for txid in orders)
    wrong += [f"commit LSN {lsn} belongs to {n} transactions" for lsn, n in lsns.items() if n > 1]
    rows = collections.Counter((e.topic, text(e.key)) for e in snapshot if e.key is not None)
    wrong += [f"{topic}: the copy has {key} {n} times" for (topic, key), n in rows.items() if n > 1]
    return wrong[:10]


class Replay:
    """The rows that the journal's changes amount to, in plain Python."""

    def __init__(self, beside, behind):
        self.tables = collections.defaultdict(dict)             # topic → key → row
        self.bags = collections.defaultdict(collections.Counter)  # topic without key → row as text → how often
        self.moved = {}
        self.copying = True  # rows may come again, and changes of rows that are not copied yet
        for event in beside:
            self._take(event)
        self.copying = False
        for event in behind:
            self._take(event)

    def _take(self, event):
        if event.op == "t":
            self.tables[event.topic].clear()
            self.bags[event.topic].clear()
        elif event.key is None:
            self._take_without_key(event)
        else:
            self._take_with_key(event)

    def _take_without_key(self, event):
        bag = self.bags[event.topic]
        if event.before is not None:
            row = text(event.before)
            assert bag[row] > 0, f"{event.topic}@{event.offset}: no such row: {row[:200]}"
            bag[row] -= 1
        if event.after is not None:
            after = {k: event.before[k] if v == UNAVAILABLE and event.before else v for k, v in event.after.items()}
            bag[text(after)] += 1

    def _take_with_key(self, event):
        rows, key = self.tables[event.topic], text(event.key)
        if event.op == "d":
            assert self.copying or key in rows, f"{event.topic}@{event.offset}: a delete of {key}, which is not there"
            gone = rows.pop(key, {})
            if NEW_KEY in event.headers:
                self.moved[event.topic, event.txid] = gone
            return
        if self.copying and key not in rows:
            if COPYING in event.headers:  # not copied yet, or gone
                return
            assert OLD_KEY in event.headers or UNAVAILABLE not in event.after.values(), f"{event.topic}@{event.offset}: half a row of {key}, which is not there"
        elif event.op in ("r", "c"):
            assert self.copying or key not in rows, f"{event.topic}@{event.offset}: {event.op} of {key}, which is there already"
        else:
            assert key in rows, f"{event.topic}@{event.offset}: an update of {key}, which is not there"
        old = self.moved.pop((event.topic, event.txid), {}) if OLD_KEY in event.headers else rows.get(key, {})
        rows[key] = {k: old.get(k, v) if v == UNAVAILABLE else v for k, v in event.after.items()}


_PLAIN = {"smallint", "integer", "bigint", "text", "character varying", "character", "uuid", "boolean", "date"}


def check_replay(replay, url, prefix):
    """Complaints about tables whose rows are not those of the database: key by key, and every column of a plain type."""
    wrong = []
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        tables = connection.execute(
            "SELECT n.nspname, c.relname, c.oid, EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND (i.indisprimary OR i.indisreplident)) "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition "
            "AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'crossfade') ORDER BY 1, 2").fetchall()
        for schema, table, oid, keyed in tables:
            topic = f"{prefix}.{schema}.{table}"
            columns = connection.execute(
                "SELECT attname, CASE WHEN t.typtype = 'e' THEN 'text' ELSE regexp_replace(format_type(atttypid, NULL), '\"', '', 'g') END FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid "
                "WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum", (oid,)).fetchall()
            plain = [(name, kind) for name, kind in columns if kind in _PLAIN]
            expressions = [psycopg.sql.SQL("({} - date '1970-01-01')::int" if kind == "date" else "{}::text" if kind == "uuid" else "{}")
                           .format(psycopg.sql.Identifier(name)) for name, kind in plain]
            names = [name for name, _ in plain]
            query = psycopg.sql.SQL("SELECT {} FROM {}").format(psycopg.sql.SQL(", ").join(expressions), psycopg.sql.Identifier(schema, table))
            rows = collections.Counter(text(dict(zip(names, row))) for row in connection.execute(query))
            if keyed:
                found = collections.Counter(text({name: row[name] for name in names}) for row in replay.tables[topic].values())
            else:
                found = collections.Counter()
                for row, times in replay.bags[topic].items():
                    found[text({name: json.loads(row)[name] for name in names})] += times
            for side, rest in (("only in the journal", found - rows), ("only on the source", rows - found)):
                wrong += [f"{topic} {side}: {row[:300]}" for row in list(rest)[:3]]
    return wrong


def assert_journal(topics, fences, url, prefix):
    """Everything above: exactly once, without a gap, and equal to the database."""
    assert [f["id"] for f in fences] == list(range(1, len(fences) + 1)), "fence ids have gaps"
    lsns = [_lsn(f["lsn"]) for f in fences]
    assert lsns == sorted(lsns), "fences go back"
    snapshot, stream, beside, behind = events_of(topics, fences)
    wrong = check_exactly_once(snapshot, stream)
    assert not wrong, "\n".join(wrong)
    wrong = check_replay(Replay(beside, behind), url, prefix)
    assert not wrong, "\n".join(wrong)


def _lsn(value):
    if isinstance(value, int):
        return value
    high, low = value.split("/")
    return (int(high, 16) << 32) + int(low, 16)
