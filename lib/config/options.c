/*
 * The option table: every key of the configuration file, one row each. A row added here exists in the file,
 * as a flag
 * (--key=value), in docs/CONFIG.md and in the man page. Defaults are text, so that they pass through the same
 * reader.
 */
#include "config/option.h"
#include "config/table_filter.h"
#include "config/table_rules.h"
#include "config/topic_routing.h"

#define KIB      INT64_C(1024)
#define MIB      (KIB * 1024)
#define GIB      (MIB * 1024)
#define MINUTE_S INT64_C(60)
#define DAY_S    INT64_C(86400)
#define DAY_MS   (DAY_S * 1000)
#define PG_URL   "postgresql://|postgres://"
#define MARIA_URL "mariadb://|mysql://"

/* clang-format off */
const struct option option_table[] = {
    {.key = "pipeline", .type = OPT_TEXT, .pattern = "^[a-z][a-z0-9_]{0,30}$", .example = "shop", .used_by = "!capture !apply !status !journal !check !compare !cutover !schema",
     .help = "Name of the pipeline: a lower-case letter, then up to 30 letters, digits or '_'. Names the slot, the publication and the journal's transactional id."},

    {.key = "source.url", .type = OPT_URL, .choices = PG_URL, .example = "postgresql://crossfade@db1:5432/shop", .used_by = "!capture !check !compare !cutover !schema status",
     .help = "The database to move away from. Passwords are better left to libpq's own means (PGPASSFILE, service file) or ${VAR}."},
    {.key = "source.standby_url", .type = OPT_URL, .choices = PG_URL, .example = "postgresql://crossfade@db1-standby:5432/shop", .used_by = "capture",
     .help = "A hot standby of source.url, PostgreSQL 16 or later: capture copies and decodes there, and writes to source.url only markers, heartbeats and what setting up takes. Tables need a key to be copied there."},
    {.key = "source.tables", .type = OPT_LIST, .item_fits = table_pattern_fits, .items = "patterns schema.table, such as public.*, !public.audit_* or \"My Schema\".\"T\"", .example = "[\"public.*\", \"!public.audit_*\"]", .used_by = "capture check compare cutover schema",
     .help = "Patterns of the tables to move: schema.table with '*' as wildcard; '!' in front excludes; the last pattern that fits decides; double quotes take a name literally. Default: all but PostgreSQL's own and crossfade's."},
    {.key = "source.filters", .type = OPT_RULES, .item_check = table_rule_check, .items = "rules, each with table: (a pattern) and any of columns:, where:, key:, mask:, rename:, topic:", .example = "[{table: public.users, columns: [\"!password\"], mask: {email: hash, phone: \"partial:0:2\"}}]", .used_by = "capture journal check compare cutover schema",
     .help = "What of a table is moved. columns: names with '*', '!' in front leaves out. where: a condition on rows (PostgreSQL 15 and later; tables with columns that may be stored out of line, such as text, need REPLICA IDENTITY FULL). key: columns that make the record's key in place of the primary key. mask: for each column hash, \"null\", \"fixed:VALUE\" or \"partial:FIRST:LAST\" (characters that stay). rename: new names of columns. topic: what follows the prefix. Where several rules fit a table, the last one decides. As a flag: one rule, repeated. docs/OPERATIONS.md says what each needs."},
    {.key = "source.filters_changed", .type = OPT_ENUM, .def = "refuse", .choices = "refuse|accept", .used_by = "capture",
     .help = "When source.filters is not what the copy was made with. refuse: capture halts and names the table. accept: the publication is altered, and what is captured from now on follows the new rules; rows and records that are there already stay as they are."},
    {.key = "source.mask_salt", .type = OPT_TEXT, .secret = true, .example = "${MASK_SALT}", .used_by = "capture check",
     .help = "Salt of masks by hash: SHA-256 over salt and value. Whoever knows it can try values out; another salt gives other hashes."},
    {.key = "source.mask_salt_file", .type = OPT_PATH, .example = "/run/secrets/mask-salt", .used_by = "capture check",
     .help = "File that holds the salt, in place of mask_salt; a newline at its end does not count."},

    {.key = "target.url", .type = OPT_URL, .choices = PG_URL "|" MARIA_URL "|fault:", .example = "postgresql://crossfade@db2:5432/shop", .used_by = "!apply !check !compare !cutover !schema",
     .help = "The database to move to. Its tables must exist; crossfade schema create makes them."},

    {.key = "journal.url", .type = OPT_URL, .choices = "kafka://|lmdb:|fault:", .example = "lmdb:/var/lib/crossfade/shop", .used_by = "!capture !apply !journal !check !cutover",
     .help = "Where changes are kept on their way: kafka://host:port,host:port or lmdb:FOLDER (one machine, no server)."},
    {.key = "journal.format", .type = OPT_ENUM, .def = "avro", .choices = "avro|json", .used_by = "capture apply journal check",
     .help = "How records are written: Avro in Confluent's framing, or plain JSON."},
    {.key = "journal.json_schemas", .type = OPT_BOOL, .def = "false", .used_by = "capture",
     .help = "Format json: true writes {\"schema\":…,\"payload\":…}, as JsonConverter does with schemas.enable=true, so that Kafka Connect's sinks can read the topics; false the bare payload."},
    {.key = "journal.transaction_topic", .type = OPT_BOOL, .def = "false", .used_by = "capture",
     .help = "Also writes <prefix>.transaction: BEGIN and END of each transaction, with the number of its changes (Debezium's provide.transaction.metadata)."},
    {.key = "journal.heartbeat_topic", .type = OPT_BOOL, .def = "false", .used_by = "capture",
     .help = "Also writes __debezium-heartbeat.<prefix> every capture.heartbeat_interval_ms."},
    {.key = "journal.message_topic", .type = OPT_BOOL, .def = "false", .used_by = "capture",
     .help = "Also writes <prefix>.message: logical messages (pg_logical_emit_message) of other programs."},
    {.key = "journal.type_profile", .type = OPT_ENUM, .def = "exact", .choices = "exact|debezium", .used_by = "capture check",
     .help = "How values are carried: exact gives back each value of each type; debezium is what Debezium's PostgreSQL connector writes, by the five modes below."},
    {.key = "journal.lossy", .type = OPT_ENUM, .def = "halt", .choices = "halt|debezium", .used_by = "capture apply check",
     .help = "For values that the debezium profile cannot hold (NaN as a Decimal, months in a MicroDuration): halt, or write what Debezium writes instead. Apply takes columns whose values may come back changed only with debezium."},
    {.key = "journal.decimal_mode", .type = OPT_ENUM, .def = "precise", .choices = "precise|double|string", .used_by = "capture check",
     .help = "Debezium profile, numeric and money: Decimal and VariableScaleDecimal, floating point, or text (decimal.handling.mode)."},
    {.key = "journal.time_mode", .type = OPT_ENUM, .def = "adaptive", .choices = "adaptive|adaptive_time_microseconds|connect", .used_by = "capture check",
     .help = "Debezium profile, dates and times: by the column's precision, time always in microseconds, or Kafka Connect's types in milliseconds (time.precision.mode)."},
    {.key = "journal.interval_mode", .type = OPT_ENUM, .def = "numeric", .choices = "numeric|string", .used_by = "capture check",
     .help = "Debezium profile, interval: microseconds, or ISO 8601 text, which keeps months and days apart (interval.handling.mode)."},
    {.key = "journal.binary_mode", .type = OPT_ENUM, .def = "bytes", .choices = "bytes|base64|hex", .used_by = "capture check",
     .help = "Debezium profile, bytea and types that Debezium does not know (binary.handling.mode)."},
    {.key = "journal.hstore_mode", .type = OPT_ENUM, .def = "json", .choices = "json|map", .used_by = "capture check",
     .help = "Debezium profile, hstore: JSON text or a map (hstore.handling.mode)."},
    {.key = "journal.topic_prefix", .type = OPT_TEXT, .def_key = "pipeline", .pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$", .used_by = "capture apply journal check",
     .help = "Topics are named <prefix>.<schema>.<table>. Default: the pipeline's name."},
    {.key = "journal.topic_routing", .type = OPT_LIST, .item_fits = topic_route_fits, .items = "rules pattern -> topic, such as \"tenant_*.* -> {table}\"", .example = "[\"tenant_*.orders -> orders\", \"log_*.* -> logs\"]", .used_by = "capture journal check cutover",
     .help = "Many tables into few topics: tables that a pattern fits share topic <prefix>.<topic>; the first rule that fits decides; {schema} and {table} stand for the table's. Keys of a shared topic carry __dbz__physicalTableIdentifier, as Debezium's ByLogicalTableRouter writes it. Apply needs no such setting. Not to be changed while a journal is in use."},
    {.key = "journal.partitions", .type = OPT_INT, .def = "1", .min = 1, .max = 1000, .used_by = "capture",
     .help = "Kafka: partitions of a new data topic. Rows are spread by key."},
    {.key = "journal.replication_factor", .type = OPT_INT, .def = "1", .min = 1, .max = 32767, .used_by = "capture",
     .help = "Kafka: replication factor of new topics. Use 3 wherever there are three brokers."},
    {.key = "journal.create_topics", .type = OPT_BOOL, .def = "true", .used_by = "capture",
     .help = "Kafka: false = topics are made by the cluster's operators; capture halts at a missing one, with its name and the command that makes it."},
    {.key = "journal.keep", .type = OPT_DURATION, .unit = UNIT_MS, .def = "24h", .min = 0, .max = 3650 * DAY_MS, .forever = true, .used_by = "capture",
     .help = "How long entries stay after every reader has passed them (Kafka: the data topics' retention), so that a target restored to an earlier state can catch up."},
    {.key = "journal.kafka", .type = OPT_MAP, .example = "{ security.protocol: SASL_SSL, sasl.username: crossfade }", .used_by = "capture apply journal check",
     .help = "Properties handed to librdkafka unchanged (TLS, SASL, tuning)."},
    {.key = "journal.registry", .type = OPT_URL, .choices = "https://|http://", .example = "https://registry:8081", .used_by = "capture apply journal check",
     .help = "A Confluent-compatible schema registry for format avro, with its path if it has one (Apicurio: /apis/ccompat/v7). User and password may stand in front of the host, percent-encoded. Not set: schemas are kept in the journal itself. A journal keeps to the one that it began with."},
    {.key = "journal.registry_user", .type = OPT_TEXT, .example = "crossfade", .used_by = "capture apply journal check",
     .help = "User for the registry's basic authentication."},
    {.key = "journal.registry_password", .type = OPT_TEXT, .secret = true, .example = "${REGISTRY_PASSWORD}", .used_by = "capture apply journal check",
     .help = "Password for the registry's basic authentication."},
    {.key = "journal.registry_ca", .type = OPT_PATH, .example = "/etc/ssl/registry-ca.pem", .used_by = "capture apply journal check",
     .help = "Certificates (PEM) that the registry's may be signed by, in place of the system's."},

    {.key = "capture.listen", .type = OPT_LISTEN, .def = "127.0.0.1:7301", .used_by = "capture status cutover",
     .help = "Where capture serves /status, /metrics and /health. Port 0 takes any free one."},
    {.key = "capture.snapshot", .type = OPT_ENUM, .def = "initial", .choices = "initial|never|only", .used_by = "capture",
     .help = "initial: copy all rows, then stream. never: only what is changed from now on (the target has the rows already). only: stop when the copy is complete."},
    {.key = "capture.on_ddl", .type = OPT_ENUM, .def = "propagate", .choices = "propagate|stop", .used_by = "capture",
     .help = "When a table's columns, types, key or name have changed. propagate: the journal goes on with the new shape from the first row that has it (apply halts there until the target fits). stop: capture halts before that row, and goes on after `crossfade capture accept-ddl`; the source keeps its WAL meanwhile."},
    {.key = "capture.max_rows_per_second", .type = OPT_INT, .def = "0", .min = 0, .max = 1000000000, .used_by = "capture",
     .help = "Rows that a copy reads from the source in a second, on average; 0 = as fast as it goes."},
    {.key = "capture.max_source_latency_ms", .type = OPT_DURATION, .unit = UNIT_MS, .def = "0", .min = 0, .max = 3600000, .used_by = "capture",
     .help = "A copy pauses while the source takes longer than this for a trivial query; 0 = never."},
    {.key = "capture.failover_slot", .type = OPT_BOOL, .def = "true", .used_by = "capture",
     .help = "PostgreSQL 17 and later: the slot is one that standbys keep a copy of (sync_replication_slots there, synchronized_standby_slots on the primary), so that capture goes on after one of them was promoted."},
    {.key = "capture.max_retained_wal", .type = OPT_SIZE, .def = "0", .min = 0, .max = 1024 * 1024 * GIB, .used_by = "capture",
     .help = "WAL that the source may keep for the slot: from half of it on capture warns, from three quarters on a copy pauses, at the whole it raises an alarm (log, status, metric). 0 = only what the server itself allows (max_slot_wal_keep_size)."},
    {.key = "capture.snapshot_workers", .type = OPT_INT, .def = "2", .min = 1, .max = 64, .used_by = "capture check",
     .help = "Connections that copy tables at the same time."},
    {.key = "capture.snapshot_chunk_rows", .type = OPT_INT, .def = "200000", .min = 100, .max = 100000000, .used_by = "capture",
     .help = "Rows of one range of a table's copy. Changes made on the source meanwhile wait until the range is copied."},
    {.key = "capture.fence_interval_ms", .type = OPT_DURATION, .unit = UNIT_MS, .def = "0", .min = 0, .max = 60000, .used_by = "capture",
     .help = "Shortest time between two fences; 0 = as fast as the journal takes them."},
    {.key = "capture.fence_max_changes", .type = OPT_INT, .def = "50000", .min = 1, .max = 10000000, .used_by = "capture",
     .help = "A fence is written after this many changes at the latest (at the next transaction's end)."},
    {.key = "capture.max_memory", .type = OPT_SIZE, .def = "64MiB", .min = 4 * MIB, .max = 64 * GIB, .used_by = "capture",
     .help = "Memory for transactions in progress; what goes beyond is kept in spill_dir until the commit."},
    {.key = "capture.spill_dir", .type = OPT_PATH, .def = "/tmp", .used_by = "capture",
     .help = "Folder for transactions that do not fit into max_memory. Files there vanish with the process."},
    {.key = "capture.spill_encryption", .type = OPT_BOOL, .def = "true", .used_by = "capture",
     .help = "What goes to spill_dir is encrypted (AES-256-GCM) with a random key that is in memory only. false: it lies there readable."},
    {.key = "capture.streaming", .type = OPT_ENUM, .def = "on", .choices = "on|off", .used_by = "capture",
     .help = "on: large transactions are taken while they run (PostgreSQL 14 and later; the server decides by its logical_decoding_work_mem) and published at their commit. off: they come as a whole behind their commit."},
    {.key = "capture.heartbeat_interval_ms", .type = OPT_DURATION, .unit = UNIT_MS, .def = "10s", .min = 100, .max = 3600000, .used_by = "capture",
     .help = "An idle source gets a heartbeat this often, so that the slot moves on and lets go of WAL."},

    {.key = "apply.listen", .type = OPT_LISTEN, .def = "127.0.0.1:7302", .used_by = "apply status cutover",
     .help = "Where apply serves /status, /metrics and /health. Port 0 takes any free one."},
    {.key = "apply.batch_max_changes", .type = OPT_INT, .def = "100000", .min = 1, .max = 10000000, .used_by = "apply",
     .help = "Several fences are committed as one batch up to this many changes."},
    {.key = "apply.batch_max_bytes", .type = OPT_SIZE, .def = "64MiB", .min = 64 * KIB, .max = 4 * GIB, .used_by = "apply",
     .help = "Memory for one batch; a larger fence is spread over several staging rounds of one target transaction."},
    {.key = "apply.on_nonempty", .type = OPT_ENUM, .def = "refuse", .choices = "refuse|truncate", .used_by = "apply check",
     .help = "What to do when a target table holds rows before the first copy: halt and name it, or empty it."},

    {.key = "compare.report_dir", .type = OPT_PATH, .def = "./reports", .used_by = "compare cutover",
     .help = "Reports go to <report_dir>/<fence id>/report.{json,html}; <report_dir>/latest points to the newest."},
    {.key = "compare.workers", .type = OPT_INT, .def = "2", .min = 1, .max = 64, .used_by = "compare cutover",
     .help = "Tables (or chunks) compared at the same time; each takes one connection on either side."},
    {.key = "compare.chunk_rows", .type = OPT_INT, .def = "50000", .min = 100, .max = 100000000, .used_by = "compare cutover",
     .help = "Rows of a chunk whose SHA-256 is computed inside the databases; a chunk that differs is bisected."},
    {.key = "compare.deadline_ms", .type = OPT_DURATION, .unit = UNIT_MS, .def = "30s", .min = 1000, .max = DAY_MS, .used_by = "compare cutover",
     .help = "How long capture may hold its fences, and apply may wait, until both sides stand at one fence; then the run is INCONCLUSIVE."},

    {.key = "types", .type = OPT_MAP, .example = "{ public.prices.amount: \"decimal(30,6)\", public.orders.total: \"-\" }", .used_by = "schema",
     .help = "MariaDB as the target: the type of a column, schema.table.column as on the source (parts with a dot or quote stand in double quotes), as it shall stand in CREATE TABLE; \"-\" leaves the column out. What has no exact rule needs an entry."},
    {.key = "schema.indexes", .type = OPT_ENUM, .def = "before_snapshot", .choices = "before_snapshot|after_snapshot", .used_by = "schema",
     .help = "after_snapshot: crossfade schema create makes tables, keys and unique indexes; other indexes and foreign keys are made by crossfade schema create --indexes once the copy is complete, which makes the copy faster."},
    {.key = "schema.workers", .type = OPT_INT, .def = "2", .min = 1, .max = 64, .used_by = "schema",
     .help = "Connections that make indexes, and prove foreign keys, at the same time."},
    {.key = "schema.exclude", .type = OPT_LIST, .items = "patterns \"kind name\", such as \"extension pg_stat_statements\" or \"event trigger *\"", .example = "[\"extension pg_stat_statements\", \"view reports.*\"]", .used_by = "schema",
     .help = "PostgreSQL as the target: what is left out, with all that needs it; kinds and names as crossfade schema plan lists them, '*' stands for any characters."},
    {.key = "schema.pg_dump", .type = OPT_PATH, .def = "pg_dump", .example = "/usr/lib/postgresql/17/bin/pg_dump", .used_by = "schema",
     .help = "PostgreSQL's own program that reads the source's definitions: of the source's major version or later."},

    {.key = "cutover.max_lag_ms", .type = OPT_DURATION, .unit = UNIT_MS, .def = "2s", .min = 0, .max = DAY_MS, .used_by = "cutover",
     .help = "Gate: end-to-end lag must stay below this."},
    {.key = "cutover.verdict_max_age_s", .type = OPT_DURATION, .unit = UNIT_S, .def = "1h", .min = 1, .max = 30 * DAY_S, .used_by = "cutover",
     .help = "Gate: the last full comparison must be a PASS no older than this."},
    {.key = "cutover.drain_timeout_s", .type = OPT_DURATION, .unit = UNIT_S, .def = "60s", .min = 1, .max = 60 * MINUTE_S, .used_by = "cutover",
     .help = "After the freeze: how long the last changes may take to reach the target before the source is put back."},

    {.key = "cutover.lag_stable_ms", .type = OPT_DURATION, .unit = UNIT_MS, .def = "2s", .min = 0, .max = DAY_MS, .used_by = "cutover",
     .help = "How long the lag has to stay within max_lag_ms before a cutover may begin."},
    {.key = "cutover.straggler_grace_ms", .type = OPT_DURATION, .unit = UNIT_MS, .def = "2s", .min = 0, .max = 60 * MINUTE_S * 1000, .used_by = "cutover",
     .help = "Sessions that still hold locks of a writer this long after the freeze began are ended."},
    {.key = "cutover.freeze_timeout_ms", .type = OPT_DURATION, .unit = UNIT_MS, .def = "15s", .min = 100, .max = 60 * MINUTE_S * 1000, .used_by = "cutover",
     .help = "One try to close the source gives up after this time, and lets writers go on."},
    {.key = "cutover.abort_timeout_ms", .type = OPT_DURATION, .unit = UNIT_MS, .def = "5m", .min = 1000, .max = DAY_MS, .used_by = "cutover",
     .help = "How long an abort waits for a source that is away before it asks for a person."},

    {.key = "log.format", .type = OPT_ENUM, .def = "text", .choices = "text|json", .used_by = "capture apply compare cutover",
     .help = "One event is one line on stderr, as text or as JSON."},
    {.key = "log.level", .type = OPT_ENUM, .def = "info", .choices = "debug|info|warn|error", .used_by = "capture apply compare cutover",
     .help = "The least level that is written."},
};
/* clang-format on */

const size_t option_count = sizeof option_table / sizeof option_table[0];
