/* Owns: the replication connection and the order of events in it. See reader.h. */
#include "maria/binlog/reader.h"

#include <mysql.h>
/* needs mysql.h */
#include <mariadb_rpl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/nonce.h"
#include "core/utf8.h"
#include "maria/binlog/tables.h"
#include "maria/conn.h"
#include "maria/connect.h"

#define HEARTBEAT_MS_DEFAULT 1000
#define SILENCE_S_MIN        30
#define ROW_BLOCK_BYTES      ((size_t)64 << 10)
/* What the library takes: the protocol's most. It calls a larger packet a lost connection, which would be tried for ever; so the limit that is
 * asked for is the decoder's, and says so. */
#define PACKET_BYTES_MAX ((size_t)1 << 30)
#define COLUMNS_MAX      TABLE_MAP_COLUMNS_MAX

struct binlog {
    MYSQL *my;
    MARIADB_RPL *rpl;
    char *url_database;
    struct maria_conn *catalog;
    struct charsets *sets;
    struct tables *tables;
    struct binlog_decoder decoder;
    struct gtid_list position;
    char file[256]; /* the server's, for messages */
    char *topic_prefix;

    /* the transaction */
    bool inside, standalone, end_pending;
    struct gtid gtid;
    bool has_xid;
    struct binlog_xid xid;
    uint64_t ordinal;
    uint32_t time_s; /* of the event at hand */
    uint64_t pos;    /* … where it begins in the file */
    uint32_t row;

    /* the rows event at hand */
    struct known_table *table; /* NULL = none */
    struct rows rows;
    enum change_op op;
    struct arena arena;
    struct strbuf scratch;
    struct row_value raw[2][COLUMNS_MAX];
    struct datum data[2][COLUMNS_MAX];
};

/* --- connecting --- */

static bool fail(struct binlog *bl, const char *what, struct err *err)
{
    return maria_fail(mysql_errno(bl->my), mysql_sqlstate(bl->my), mysql_error(bl->my), what, err);
}

/* 1236 is all that the server has for what is wrong with a dump; the text tells. */
static bool fail_dump(unsigned number, const char *state, const char *text, struct err *err)
{
    static const char *const gone[] = {"could not find", "purged", "not in the", "not been found"};
    bool gap = false;
    for (size_t i = 0; i < ARRAY_LEN(gone); i++)
        gap = gap || strcasestr(text, gone[i]) != NULL;
    if (number != 1236)
        return maria_fail(number, state, text, "reading the binlog", err);
    return err_set(
        err, gap ? ERR_GAP : ERR_SQL, "reading the binlog: %s (error 1236)%s", text,
        gap ? ". Hint: the source no longer has (or never had) what follows the position: copy again, "
              "and keep its binlog for longer (binlog_expire_logs_seconds)"
            : "");
}

static bool fail_stream(struct binlog *bl, struct err *err)
{
    return fail_dump(mysql_errno(bl->my), mysql_sqlstate(bl->my), mysql_error(bl->my), err);
}

/* 0xff, the number in two bytes, '#' and five letters of the state, the text. */
static bool fail_packet(const unsigned char *p, size_t len, struct err *err)
{
    char state[6] = "HY000", text[600];
    size_t at = 3;
    if (len < 3)
        return err_set(err, ERR_PROTOCOL, "reading the binlog: an error without a number");
    if (len >= 9 && p[3] == '#') {
        memcpy(state, p + 4, 5);
        at = 9;
    }
    (void)snprintf(text, sizeof text, "%.*s", (int)MIN_OF(len - at, sizeof text - 1), (const char *)p + at);
    utf8_make_valid(text);
    return fail_dump((unsigned)bytes_le_at(p + 1, 2), state, text, err);
}

static bool run(struct binlog *bl, const char *sql, struct err *err)
{
    return mysql_query(bl->my, sql) == 0 || fail(bl, sql, err);
}

static bool check_server(struct binlog *bl, struct err *err)
{
    if (strstr(mysql_get_server_info(bl->my), "MariaDB") == NULL || mysql_get_server_version(bl->my) < 100600)
        return err_set(err, ERR_CONFIG, "the server is %s: the binlog of MariaDB 10.6 and later is read",
                       mysql_get_server_info(bl->my));
    return true;
}

static bool has_checksum(struct binlog *bl, bool *ret, struct err *err)
{
    char *text = NULL;
    if (!maria_query_text(bl->catalog, "SELECT @@global.binlog_checksum", 0, &text, err))
        return false;
    *ret = text != NULL && strcasecmp(text, "NONE") != 0;
    free(text);
    return true;
}

/* What a replica tells of itself: that it knows GTIDs (capability 4) and checksums, where it stands, how often it wants to be told that
 * there is nothing; that it acknowledges nothing (semi-sync would hold the source's commits for us). */
static bool introduce(struct binlog *bl, unsigned heartbeat_ms, bool checksum, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(
        &sql,
        "SET @mariadb_slave_capability = 4, @master_binlog_checksum = '%s', @rpl_semi_sync_slave = 0, "
        "@slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0, @master_heartbeat_period = %llu, "
        "@slave_connect_state = '",
        checksum ? "CRC32" : "NONE", (unsigned long long)heartbeat_ms * 1000000);
    gtid_list_add_text(&bl->position, &sql);
    strbuf_adds(&sql, "'");
    bool ok = strbuf_ok(&sql, "position", err) && run(bl, sql.data, err);
    strbuf_release(&sql);
    return ok;
}

static uint32_t server_id_of(const struct binlog_options *options)
{
    char nonce[NONCE_MAX];
    if (options->server_id != 0)
        return options->server_id;
    nonce_make(nonce);
    nonce[8] = '\0';
    return (uint32_t)strtoul(nonce, NULL, 16) | UINT32_C(0x80000000);
}

static bool start_dump(struct binlog *bl, const struct binlog_options *options, struct err *err)
{
    bl->rpl = mariadb_rpl_init(bl->my);
    if (bl->rpl == NULL)
        return fail(bl, "a replication handle", err);
    (void)mariadb_rpl_optionsv(bl->rpl, MARIADB_RPL_SERVER_ID, (unsigned)server_id_of(options));
    (void)mariadb_rpl_optionsv(bl->rpl, MARIADB_RPL_START, 4ul); /* the position decides */
    (void)mariadb_rpl_optionsv(bl->rpl, MARIADB_RPL_FLAGS, 0u);
    return mariadb_rpl_open(bl->rpl) == 0 || fail_stream(bl, err);
}

static bool connect_both(struct binlog *bl, const struct binlog_options *options, size_t max_bytes,
                         unsigned heartbeat_ms, struct err *err)
{
    struct maria_login login = {.url = options->url,
                                .program = options->program != NULL ? options->program : "crossfade",
                                .max_packet_bytes = PACKET_BYTES_MAX,
                                .read_timeout_s = MAX_OF(SILENCE_S_MIN, heartbeat_ms / 1000 * 3 + 1)};
    bool checksum = false;
    if (!maria_connect(&login, &bl->my, &bl->url_database, err) || !check_server(bl, err) ||
        !maria_open_as(options->url, login.program, &bl->catalog, err) || !has_checksum(bl, &checksum, err) ||
        !charsets_open(bl->catalog, &bl->sets, err) || !introduce(bl, heartbeat_ms, checksum, err))
        return false;
    binlog_decoder_init(&bl->decoder, max_bytes, checksum);
    return start_dump(bl, options, err);
}

bool binlog_open(const struct binlog_options *options, struct binlog **ret, struct err *err)
{
    struct binlog *bl = xcalloc(1, sizeof *bl);
    size_t max_bytes = options->max_event_bytes > 0 ? options->max_event_bytes : BINLOG_EVENT_BYTES_DEFAULT;
    unsigned heartbeat_ms = options->heartbeat_ms > 0 ? options->heartbeat_ms : HEARTBEAT_MS_DEFAULT;
    bl->topic_prefix = xstrdup(options->topic_prefix);
    arena_init(&bl->arena, ROW_BLOCK_BYTES, max_bytes * 4); /* of a row: twice its images, in UTF-8 */
    strbuf_init(&bl->scratch, max_bytes * 2);
    if (!gtid_list_parse(options->position, &bl->position, err) ||
        !connect_both(bl, options, max_bytes, heartbeat_ms, err)) {
        binlog_close(bl);
        return false;
    }
    const struct tables_options tables = {
        .shape = {.topic_prefix = bl->topic_prefix, .zero_date_null = options->zero_date_null},
        .catalog = bl->catalog,
        .sets = bl->sets,
        .wanted = options->wanted,
        .wanted_ctx = options->wanted_ctx};
    bl->tables = tables_new(&tables);
    *ret = bl;
    return true;
}

void binlog_close(struct binlog *bl)
{
    if (bl == NULL)
        return;
    tables_free(bl->tables);
    charsets_close(bl->sets);
    maria_close(bl->catalog);
    if (bl->rpl != NULL)
        mariadb_rpl_close(bl->rpl);
    maria_disconnect(bl->my);
    binlog_decoder_release(&bl->decoder);
    gtid_list_release(&bl->position);
    arena_release(&bl->arena);
    strbuf_release(&bl->scratch);
    free(bl->url_database);
    free(bl->topic_prefix);
    free(bl);
}

void binlog_interrupt(struct binlog *bl)
{
    (void)shutdown((int)mysql_get_socket(bl->my), SHUT_RDWR);
}

void binlog_position(const struct binlog *bl, struct strbuf *out)
{
    gtid_list_add_text(&bl->position, out);
}

const struct gtid_list *binlog_position_list(const struct binlog *bl)
{
    return &bl->position;
}

/* --- rows --- */

static bool read_image(struct binlog *bl, int which, struct err *err)
{
    const struct shape *shape = &bl->table->shape;
    const struct value_context ctx = {.arena = &bl->arena, .scratch = &bl->scratch};
    for (size_t i = 0; i < shape->schema->field_count; i++) {
        if (!value_read(&shape->plans[i], bl->raw[which][i], &ctx, &bl->data[which][i], err))
            return err_wrap(err, "table=%s.%s: column %s", shape->schema->schema, shape->schema->table,
                            shape->schema->fields[i].name);
    }
    return true;
}

static bool next_row(struct binlog *bl, struct binlog_item *ret, struct err *err)
{
    arena_clear(&bl->arena);
    if (!rows_next(&bl->rows, bl->raw[0], bl->raw[1], err))
        return false;
    bool before = bl->rows.has_before, after = bl->rows.has_after;
    if ((before && !read_image(bl, 0, err)) || (after && !read_image(bl, 1, err)))
        return false;
    *ret = (struct binlog_item){.kind = BINLOG_ROW,
                                .gtid = bl->gtid,
                                .time_s = bl->time_s,
                                .op = bl->op,
                                .ordinal = ++bl->ordinal,
                                .file = bl->file,
                                .pos = bl->pos,
                                .row = bl->row++,
                                .schema = bl->table->shape.schema,
                                .before = before ? bl->data[0] : NULL,
                                .after = after ? bl->data[1] : NULL};
    return true;
}

/* --- events --- */

enum step { STEP_MORE = 0, STEP_ITEM, STEP_FAILED };

static enum step step_of(bool ok)
{
    return ok ? STEP_MORE : STEP_FAILED;
}

static enum step begin(struct binlog *bl, const struct binlog_event *ev, struct binlog_item *ret,
                       struct err *err)
{
    if (bl->inside)
        return step_of(
            err_set(err, ERR_PROTOCOL, "a transaction begins in the binlog inside of another one"));
    bl->inside = true;
    bl->gtid = ev->gtid.id;
    bl->standalone = (ev->gtid.flags & BINLOG_GTID_STANDALONE) != 0;
    bl->has_xid = ev->gtid.has_xid;
    bl->xid = ev->gtid.xid;
    bl->ordinal = 0;
    *ret = (struct binlog_item){
        .kind = BINLOG_BEGIN, .gtid = bl->gtid, .time_s = ev->time_s, .has_xid = bl->has_xid, .xid = bl->xid};
    return STEP_ITEM;
}

static enum step end(struct binlog *bl, enum binlog_outcome outcome, bool counts, struct binlog_item *ret,
                     struct err *err)
{
    if (!bl->inside)
        return step_of(err_set(err, ERR_PROTOCOL, "a transaction ends in the binlog that has not begun"));
    if (counts && !gtid_list_set(&bl->position, bl->gtid, err))
        return STEP_FAILED;
    bl->inside = bl->end_pending = false;
    tables_end_statement(bl->tables);
    *ret = (struct binlog_item){.kind = BINLOG_END,
                                .gtid = bl->gtid,
                                .time_s = bl->time_s,
                                .outcome = outcome,
                                .has_xid = bl->has_xid,
                                .xid = bl->xid};
    return STEP_ITEM;
}

/* What stands behind blanks and comments; one that the server executes is its text. */
static struct binlog_span without_comments(struct binlog_span text)
{
    struct bytes b = bytes_of(text.p, text.len);
    while (bytes_left(&b) > 0) {
        const char *p = (const char *)b.p, *end = NULL;
        size_t left = bytes_left(&b);
        if (strchr(" \t\r\n", p[0]) != NULL && p[0] != '\0') {
            b.p++;
            continue;
        }
        if (left >= 3 && memcmp(p, "/*", 2) == 0 && p[2] != '!' && p[2] != 'M')
            end = memmem(p + 2, left - 2, "*/", 2);
        else if (left >= 3 && memcmp(p, "--", 2) == 0)
            end = memchr(p, '\n', left);
        if (end == NULL)
            break;
        b.p = (const uint8_t *)end + (p[0] == '/' ? 2 : 1);
    }
    return (struct binlog_span){.p = (const char *)b.p, .len = bytes_left(&b)};
}

/* The text begins with these words, whatever the case; ends there, or goes on with something else than a letter. */
static bool begins(struct binlog_span text, const char *words)
{
    size_t len = strlen(words);
    if (text.len < len || strncasecmp(text.p, words, len) != 0)
        return false;
    char next = text.len > len ? text.p[len] : ' ';
    return !((next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') || next == '_');
}

static bool changes_rows(struct binlog_span text)
{
    static const char *const words[] = {"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH", "CALL"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (begins(text, words[i]))
            return true;
    }
    return false;
}

/* A transaction that is rolled back is in the binlog only when it wrote to tables that cannot roll back as well. */
static enum step roll_back(struct binlog *bl, struct binlog_item *ret, struct err *err)
{
    char at[GTID_TEXT_MAX];
    if (bl->ordinal == 0)
        return end(bl, BINLOG_ROLLED_BACK, true, ret, err);
    return step_of(
        err_set(err, ERR_UNSUPPORTED,
                "gtid=%s: a transaction that was rolled back, wholly or in part, but wrote to tables without "
                "transactions (MyISAM, Aria): which of its rows are still there, the binlog does not tell. "
                "Hint: make those tables InnoDB; the tables of this transaction have to be copied again",
                gtid_text(bl->gtid, at)));
}

static enum step statement(struct binlog *bl, const struct binlog_event *ev, struct binlog_item *ret,
                           struct err *err)
{
    char at[GTID_TEXT_MAX];
    if (changes_rows(without_comments(ev->query.text)))
        return step_of(
            err_set(err, ERR_UNSUPPORTED,
                    "gtid=%s: a statement that changes rows is in the binlog as a statement. Hint: set "
                    "binlog_format=ROW, for all sessions; its tables have to be copied again",
                    gtid_text(bl->gtid, at)));
    if (!tables_altered(bl->tables, bl->gtid, ev->query.text, err))
        return STEP_FAILED;
    bl->end_pending = bl->standalone;
    *ret = (struct binlog_item){.kind = BINLOG_STATEMENT,
                                .gtid = bl->gtid,
                                .time_s = bl->time_s,
                                .database = ev->query.database,
                                .text = ev->query.text};
    return STEP_ITEM;
}

static enum step query(struct binlog *bl, const struct binlog_event *ev, struct binlog_item *ret,
                       struct err *err)
{
    struct binlog_span text = without_comments(ev->query.text);
    if (begins(text, "BEGIN") || begins(text, "SAVEPOINT") || begins(text, "RELEASE SAVEPOINT") ||
        begins(text, "XA START") || begins(text, "XA END"))
        return STEP_MORE;
    if (!bl->inside) /* "# Dummy event", and what else is not logged for what it does */
        return text.len > 0 && text.p[0] == '#'
                   ? STEP_MORE
                   : step_of(err_set(err, ERR_PROTOCOL,
                                     "a statement in the binlog outside of transactions. Hint: what "
                                     "was written before GTIDs were on cannot be read"));
    if (begins(text, "ROLLBACK TO"))
        return roll_back(bl, ret, err);
    if (begins(text, "COMMIT"))
        return end(bl, BINLOG_COMMITTED, true, ret, err);
    if (begins(text, "ROLLBACK"))
        return roll_back(bl, ret, err);
    if (begins(text, "XA COMMIT"))
        return end(bl, BINLOG_XA_COMMITTED, true, ret, err);
    if (begins(text, "XA ROLLBACK"))
        return end(bl, BINLOG_XA_ROLLED_BACK, true, ret, err);
    if (text.len > 0 && text.p[0] == '#')
        return STEP_MORE;
    return statement(bl, ev, ret, err);
}

static enum step rows_event(struct binlog *bl, const struct binlog_event *ev, struct err *err)
{
    struct known_table *table = NULL;
    if (!bl->inside)
        return step_of(err_set(err, ERR_PROTOCOL, "rows in the binlog outside of transactions"));
    if (ev->rows.columns == 0 && ev->rows.rows.len == 0) { /* the end of a statement alone */
        tables_end_statement(bl->tables);
        return STEP_MORE;
    }
    if (!tables_find(bl->tables, ev->rows.table_id, &table, err))
        return STEP_FAILED;
    if (table->wanted && !rows_open(&table->map, ev, &bl->rows, err))
        return STEP_FAILED;
    bl->table = table->wanted ? table : NULL;
    bl->op = ev->type == BINLOG_WRITE_ROWS    ? CHANGE_INSERT
             : ev->type == BINLOG_UPDATE_ROWS ? CHANGE_UPDATE
                                              : CHANGE_DELETE;
    if ((ev->rows.flags & BINLOG_STATEMENT_END) != 0)
        tables_end_statement(bl->tables);
    return STEP_MORE;
}

/* A file that begins inside of a transaction: the server ended in the middle of writing it, and it never was. */
static enum step new_file(struct binlog *bl, const struct binlog_event *ev, struct binlog_item *ret,
                          struct err *err)
{
    bool by_server = ev->next_pos != 0 && (ev->flags & 0x20) == 0;
    return bl->inside && by_server ? end(bl, BINLOG_ROLLED_BACK, false, ret, err) : STEP_MORE;
}

static enum step take(struct binlog *bl, const struct binlog_event *ev, struct binlog_item *ret,
                      struct err *err)
{
    switch (ev->type) {
    case BINLOG_GTID:
        return begin(bl, ev, ret, err);
    case BINLOG_QUERY:
        return query(bl, ev, ret, err);
    case BINLOG_XID:
        return end(bl, BINLOG_COMMITTED, true, ret, err);
    case BINLOG_XA_PREPARE:
        return end(bl, ev->prepare.one_phase ? BINLOG_COMMITTED : BINLOG_PREPARED, true, ret, err);
    case BINLOG_TABLE_MAP:
        return step_of(tables_map(bl->tables, ev->table_map.table_id, ev->table_map.body, err));
    case BINLOG_WRITE_ROWS:
    case BINLOG_UPDATE_ROWS:
    case BINLOG_DELETE_ROWS:
        return rows_event(bl, ev, err);
    case BINLOG_FORMAT:
        return new_file(bl, ev, ret, err);
    case BINLOG_ROTATE:
        (void)snprintf(bl->file, sizeof bl->file, "%.*s", (int)MIN_OF(ev->rotate.file.len, 200),
                       ev->rotate.file.p);
        return STEP_MORE;
    case BINLOG_INCIDENT:
        return step_of(
            err_set(err, ERR_GAP,
                    "the source says that changes are missing in its binlog (incident %u: %.*s). Hint: copy "
                    "again all tables",
                    ev->incident.number, (int)MIN_OF(ev->incident.text.len, 200), ev->incident.text.p));
    case BINLOG_HEARTBEAT:
        *ret = (struct binlog_item){.kind = BINLOG_IDLE};
        return STEP_ITEM;
    case BINLOG_STOP:
    case BINLOG_ANNOTATE:
    case BINLOG_CHECKPOINT:
    case BINLOG_GTID_LIST:
    case BINLOG_START_ENCRYPTION:
    case BINLOG_UNKNOWN_EVENT:
        break;
    }
    return STEP_MORE;
}

/* A packet is a zero and an event; one of fewer than nine bytes that begins with 0xfe is the end. */
static bool read_event(struct binlog *bl, struct binlog_event *ret, struct err *err)
{
    unsigned long len = mysql_net_read_packet(bl->my);
    if (len == 0 || len >= packet_error) /* an unsigned int of the library's */
        return fail_stream(bl, err);
    const unsigned char *p = bl->my->net.read_pos;
    if (p[0] == 0xfe && len < 9)
        return err_set(err, ERR_CONNECT, "reading the binlog: the server has ended the stream");
    if (p[0] == 0xff)
        return fail_packet(p, len, err);
    if (p[0] != 0)
        return err_set(err, ERR_PROTOCOL,
                       "reading the binlog: a packet of kind %u, which is none of a binlog", p[0]);
    if (!binlog_decode(&bl->decoder, p + 1, len - 1, ret, err))
        return false;
    bl->pos = ret->next_pos >= len - 1 ? ret->next_pos - (len - 1) : 0;
    bl->row = 0;
    return true;
}

static bool say_where(struct binlog *bl, struct err *err)
{
    char at[GTID_TEXT_MAX];
    return err_wrap(err, "binlog=%s gtid=%s%s", bl->file, bl->inside ? "" : "behind ",
                    gtid_text(bl->gtid, at));
}

bool binlog_next(struct binlog *bl, struct binlog_item *ret, struct err *err)
{
    for (;;) {
        struct binlog_event ev;
        if (bl->table != NULL && rows_more(&bl->rows))
            return next_row(bl, ret, err) || say_where(bl, err);
        bl->table = NULL;
        if (bl->end_pending)
            return end(bl, BINLOG_COMMITTED, true, ret, err) == STEP_ITEM || say_where(bl, err);
        if (!read_event(bl, &ev, err))
            return say_where(bl, err);
        bl->time_s = ev.time_s;
        enum step step = take(bl, &ev, ret, err);
        if (step != STEP_MORE)
            return step == STEP_ITEM || say_where(bl, err);
    }
}
