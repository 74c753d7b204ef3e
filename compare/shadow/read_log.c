/* Owns: the workload of a PostgreSQL log. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "log_statement.h"
#include "workload.h"

#define READ_BYTES 262144

struct reader {
    struct workload *w;
    const char *database;
};

static void take_record(void *ctx, const struct log_record *record)
{
    struct reader *r = ctx;
    struct log_statement st = {0};
    enum log_found found = log_statement_read(record, &st);
    if (found == LOG_NO_STATEMENT)
        return;
    if (strcmp(record->database, r->database) != 0) {
        workload_leave_out(r->w, 1, "of another database");
    } else if (strncmp(record->application, "crossfade ", 10) == 0) {
        workload_leave_out(r->w, 1, "of Crossfade itself");
    } else if (found == LOG_CUT_PARAMETERS) {
        workload_leave_out(r->w, 1, "parameters are cut: log_parameter_max_length");
        workload_lose(r->w, st.sql, 1);
    } else if (found == LOG_BAD_PARAMETERS) {
        workload_leave_out(r->w, 1, "parameters do not read");
        workload_lose(r->w, st.sql, 1);
    } else if (found == LOG_SQL_EXECUTE) {
        workload_leave_out(r->w, 1, "EXECUTE of an SQL PREPARE");
    } else {
        const struct offer offer = {
            .origin = "log", .sql = st.sql, .params = st.params, .param_count = st.param_count, .weight = 1};
        workload_offer(r->w, &offer);
    }
    log_statement_release(&st);
}

static void count_bad(struct workload *w, const struct log_records *r)
{
    workload_leave_out(w, r->long_count, "records of the log longer than 8 MiB");
    workload_leave_out(w, r->broken_count, "records of the log that do not read");
}

bool workload_read_log(struct workload *w, const char *path, const char *database, struct err *err)
{
    struct reader reader = {.w = w, .database = database};
    struct log_records records;
    char *buf CLEANUP(free_ptr) = xmalloc(READ_BYTES);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool began = false, stopped = false;
    ssize_t n = 0;
    if (fd < 0)
        return err_set_errno(err, errno, "compare.shadow.log: %s", path);
    log_records_init(&records, LOG_FORMAT_CSV);
    while (!(stopped = workload_is_stopped(w, err)) &&
           ((n = read(fd, buf, READ_BYTES)) > 0 || (n < 0 && errno == EINTR))) {
        if (n < 0)
            continue;
        if (!began)
            records.format = log_format_of(buf, (size_t)n);
        began = true;
        log_records_feed(&records, buf, (size_t)n, take_record, &reader);
    }
    int saved = errno;
    (void)close(fd);
    count_bad(w, &records);
    bool none = began && records.count > 0 && records.broken_count == records.count;
    log_records_release(&records);
    if (stopped)
        return false;
    if (n < 0)
        return err_set_errno(err, saved, "compare.shadow.log: %s", path);
    if (none)
        return err_set(err, ERR_CONFIG,
                       "compare.shadow.log: %s: is neither a CSV nor a JSON log of PostgreSQL "
                       "(log_destination = csvlog or jsonlog)",
                       path);
    return true;
}
