/* Owns: where the poolers lead: the entries in their files, and that they have taken them. See poolers.h. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "cutover/poolers/ini_file.h"
#include "cutover/poolers/poolers.h"
#include "cutover/poolers/poolers_internal.h"

enum whither { WHITHER_UNKNOWN = 0, TO_TARGET, BACK };

static bool point_to_target(struct cutover *co, const struct pooler *p, struct ini_entry *entry,
                            struct err *err)
{
    struct strbuf value = STRBUF_INIT(STRBUF_SQL_MAX), text = STRBUF_INIT(STRBUF_SQL_MAX);
    const struct ini_item *item = &entry->item;
    if (connstr_leads_to(&entry->now, p->rule->database, &p->target))
        return true;
    bool ok = connstr_redirect(entry->text + item->value.start, item->value.len, &p->target, &value, err);
    if (ok) {
        ini_put(entry->text, entry->len, item, co->id, value.data, &text);
        ok = ini_entry_replace(entry, &text, err);
    }
    strbuf_release(&value);
    strbuf_release(&text);
    return ok;
}

static bool point_back(const struct pooler *p, struct ini_entry *entry, struct err *err)
{
    struct strbuf text = STRBUF_INIT(STRBUF_SQL_MAX);
    if (entry->item.mark.len == 0) {
        return !connstr_leads_to(&entry->now, p->rule->database, &p->target) ||
               err_set(err, ERR_REFUSED, "%s: no comment says where the entry led before", entry->path);
    }
    ini_put_back(entry->text, entry->len, &entry->item, &text);
    bool ok = ini_entry_replace(entry, &text, err);
    strbuf_release(&text);
    return ok;
}

/* Twice, should somebody change the file at the same time. */
static bool write_entry(struct cutover *co, const struct pooler *p, enum whither whither, struct err *err)
{
    for (int attempt = 0;; attempt++) {
        struct ini_entry entry;
        struct err now = ERR_INIT;
        if (!ini_entry_find(p->rule->ini, p->rule->database, &entry, err))
            return err_wrap(err, "%s", p->place);
        bool ok = whither == TO_TARGET ? point_to_target(co, p, &entry, &now) : point_back(p, &entry, &now);
        ini_entry_release(&entry);
        if (ok)
            return true;
        if (now.code != ERR_BUSY || attempt > 0) {
            *err = now;
            return err_wrap(err, "%s", p->place);
        }
    }
}

static bool shows(const struct console_database *db, const struct pooler *p, const struct connstr *wanted)
{
    const struct connstr now = {
        .host = (char *)db->host, .port = (char *)db->port, .dbname = (char *)db->database};
    const struct connstr want = {.host = wanted->host,
                                 .port = wanted->port != NULL ? wanted->port : (char *)"5432",
                                 .dbname = wanted->dbname != NULL ? wanted->dbname : p->rule->database};
    return connstr_leads_to(&now, p->rule->database, &want);
}

/* RELOAD answers well whatever it has read. */
static bool reload(struct poolers *ps, struct pooler *p, const struct connstr *wanted, struct err *err)
{
    struct console_database db;
    PG_RESULT_AUTO res = NULL;
    if (!console_query(p->conn, "RELOAD", clock_mono_us() + ps->timeout_ms * 1000, &res, err))
        return err_wrap(err, "%s", p->place);
    if (!pooler_state(ps, p, &db, err))
        return false;
    return shows(&db, p, wanted) || err_set(err, ERR_CONFIG,
                                            "%s: after RELOAD it still leads to host=%s port=%s dbname=%s: "
                                            "is %s what it reads? Its log tells why",
                                            p->place, db.host, db.port, db.database, p->rule->ini);
}

static bool take_up(struct cutover *co, struct poolers *ps, struct pooler *p, struct err *err)
{
    struct ini_entry entry;
    struct console_database db;
    if (!pooler_connect(ps, p, NULL, err))
        return false;
    if (!ini_entry_find(p->rule->ini, p->rule->database, &entry, err))
        return err_wrap(err, "%s", p->place);
    bool ok = reload(ps, p, &entry.now, err) && failpoint("cutover.pooler_reloaded", err) &&
              pooler_state(ps, p, &db, err);
    ini_entry_release(&entry);
    return ok && (!db.paused || pooler_let_go(co, ps, p, err));
}

/* One that is being restarted comes back. */
static bool take_up_in_time(struct cutover *co, struct poolers *ps, struct pooler *p, struct err *err)
{
    int64_t deadline_us = clock_mono_us() + ps->timeout_ms * 1000;
    for (unsigned attempt = 0;; attempt++) {
        struct err now = ERR_INIT;
        if (take_up(co, ps, p, &now))
            return true;
        if (now.code != ERR_CONNECT || clock_mono_us() >= deadline_us) {
            *err = now;
            return false;
        }
        (void)poll(NULL, 0, (int)(clock_backoff_us(attempt, 50, 500) / 1000));
    }
}

static bool lead_all(struct cutover *co, enum whither whither, struct err *err)
{
    struct poolers *ps;
    struct err first = ERR_INIT;
    if (!poolers_of(co, &ps, err))
        return false;
    bool *written CLEANUP(free_ptr) = xcalloc(ps->count + 1, sizeof *written);
    for (size_t i = 0; i < ps->count; i++) {
        struct err now = ERR_INIT;
        written[i] = write_entry(co, &ps->items[i], whither, &now);
        if (!written[i] && !err_is_set(&first))
            first = now;
    }
    for (size_t i = 0; i < ps->count; i++) {
        struct err now = ERR_INIT;
        /* One whose file could not be written stays paused: its clients would be led to the wrong side. */
        if (written[i] && !take_up_in_time(co, ps, &ps->items[i], &now) && !err_is_set(&first))
            first = now;
    }
    struct err unsettled = ERR_INIT;
    if (!retry_settle(ps, &unsettled))
        cutover_say(co, "%s", unsettled.text);
    if (!err_is_set(&first))
        return true;
    *err = first;
    return err_wrap(err, "not all poolers are switched (put it right, then take this step again)");
}

bool poolers_switch(struct cutover *co, struct err *err)
{
    return lead_all(co, TO_TARGET, err);
}

bool poolers_switch_back(struct cutover *co, struct err *err)
{
    return lead_all(co, BACK, err);
}
