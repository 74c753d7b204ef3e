/* Owns: full disks, and damage that the servers or the comparisons tell of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "core/alloc.h"
#include "watching.h"

/* --- disks --- */

/* As df has it: of what users may have. */
static void one_disk(const char *path, struct signal *s)
{
    struct statvfs fs;
    if (statvfs(path, &fs) != 0) {
        if (!s->known)
            signal_unknown(s, "%.200s: %.60s", path, strerror(errno));
        return;
    }
    double used = (double)(fs.f_blocks - fs.f_bfree), most = used + (double)fs.f_bavail;
    double percent = most > 0 ? 100 * used / most : 0;
    if (!s->known || percent > s->value)
        signal_set(s, percent, "%.200s", path);
}

void signal_of_disks(struct watching *w)
{
    struct signal *s = &w->triggers[TRIGGER_DISK].signal;
    const struct config *configs[] = {w->cfg, w->reverse};
    signal_unknown(s, "no path of this machine: cutover.watch.disk_paths");
    for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
        const char *journal = configs[i] != NULL ? config_text(configs[i], "journal.url") : NULL;
        if (journal != NULL && strncmp(journal, "lmdb:", 5) == 0)
            one_disk(journal + 5, s);
    }
    for (const char *const *path = config_list(w->cfg, "cutover.watch.disk_paths", NULL); *path != NULL;
         path++)
        one_disk(*path, s);
}

/* --- corruption --- */

/* Of this database and of what all share. Null: the server has no checksums. */
static const char checksums_sql[] =
    "SELECT coalesce(sum(checksum_failures), 0)::bigint FROM pg_catalog.pg_stat_database"
    " WHERE datname = pg_catalog.current_database() OR datid = 0";

static void add(struct signal *s, int64_t found, const char *where, const char *text)
{
    char before[SIGNAL_TEXT_MAX];
    (void)snprintf(before, sizeof before, "%s", s->known && s->value > 0 ? s->text : "");
    double total = (s->known ? s->value : 0) + (double)found;
    if (found > 0)
        signal_set(s, total, "%.120s%s%s: %.120s", before, before[0] != '\0' ? "; " : "", where, text);
    else
        signal_set(s, total, "%s", before);
}

static void checksums(struct pg_conn *conn, const char *side, struct signal *s)
{
    PG_RESULT_AUTO res = NULL;
    struct err away = ERR_INIT;
    char text[60];
    if (conn == NULL || !watch_ask_pg(conn, checksums_sql, 0, NULL, &res, &away))
        return;
    int64_t failures = pg_cell_int64(res, 0, 0);
    (void)snprintf(text, sizeof text, "%lld checksum failures", (long long)failures);
    add(s, failures, side, text);
}

static void met(struct watching *w, struct signal *s)
{
    ROWSET_AUTO rs = NULL;
    struct err away = ERR_INIT;
    if (watch_there(&w->co) && watch_ask(&w->co, ASK_DAMAGE, 1, &w->pipeline, &rs, &away))
        add(s, rowset_int64(rs, 0, 0), "compare", rowset_cell(rs, 0, 1));
}

/* It keeps no count: a damaged page is met, or not. */
static void tell_uncounted(struct signal *s)
{
    char before[SIGNAL_TEXT_MAX];
    (void)snprintf(before, sizeof before, "%s", s->text);
    (void)snprintf(s->text, sizeof s->text,
                   "%.180s%sMariaDB counts no damaged pages: what apply and comparisons meet counts", before,
                   before[0] != '\0' ? "; " : "");
}

void signal_of_corruption(struct watching *w)
{
    struct signal *s = &w->triggers[TRIGGER_CORRUPTION].signal;
    struct err away = ERR_INIT;
    checksums(watch_source(w, &away), "source", s);
    checksums(w->co.target, "target", s);
    met(w, s);
    if (w->co.maria != NULL && s->known)
        tell_uncounted(s);
    if (!s->known)
        signal_unknown(s, "no side could be asked");
}
