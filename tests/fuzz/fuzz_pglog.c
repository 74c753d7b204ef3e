/* The reader of PostgreSQL's logs, CSV and JSON: in one piece and byte by byte it must see the same statements. */
#include "compare/shadow/log_statement.h"
#include "fuzz.h"

struct tally {
    uint64_t records, hash;
};

static void count(void *ctx, const struct log_record *record)
{
    struct tally *t = ctx;
    struct log_statement st = {0};
    const char *const fields[] = {record->user,    record->database, record->severity,
                                  record->message, record->detail,   record->application};
    t->records++;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        t->hash = t->hash * 31 + fuzz_touch(fields[i], strlen(fields[i]));
    if (log_statement_read(record, &st) == LOG_STATEMENT)
        t->hash = t->hash * 31 + fuzz_touch(st.sql, strlen(st.sql));
    for (size_t i = 0; i < st.param_count; i++) {
        if (st.params[i] != NULL)
            t->hash = t->hash * 31 + fuzz_touch(st.params[i], strlen(st.params[i]));
    }
    log_statement_release(&st);
}

static struct tally run(const uint8_t *bytes, size_t len, size_t piece, enum log_format format)
{
    struct tally t = {0};
    struct log_records r;
    log_records_init(&r, format);
    for (size_t at = 0; at < len; at += piece)
        log_records_feed(&r, (const char *)bytes + at, piece < len - at ? piece : len - at, count, &t);
    FUZZ_REQUIRE(r.count == t.records + r.long_count + r.broken_count, "%llu records",
                 (unsigned long long)r.count);
    log_records_release(&r);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    for (enum log_format format = LOG_FORMAT_CSV; format <= LOG_FORMAT_JSON; format++) {
        struct tally whole = run(bytes, len, len + 1, format), single = run(bytes, len, 1, format);
        FUZZ_REQUIRE(whole.records == single.records && whole.hash == single.hash, "format %d", (int)format);
    }
    return 0;
}
