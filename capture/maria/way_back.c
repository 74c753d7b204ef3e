/*
 * Owns: what is otherwise when MariaDB is what a pipeline from PostgreSQL leads to, and its changes go back there. Patterns and topics are
 * those of the way there: the URL's database is called public. And since no slot holds anything on MariaDB, a row of crossfade_marker (kind
 * "begun", under the way back's name) says that it is there: others go by it (a cutover, a repair), and a journal that was lost is not
 * taken for a beginning, behind which changes would be missing.
 */
#include <stdlib.h>
#include <string.h>

#include "capture/maria/maria_internal.h"
#include "core/failpoint.h"
#include "maria/names.h"
#include "maria/quote.h"

const char *maria_called(const struct cap_maria *m, const char *database)
{
    return m->session->settings->way_back ? maria_schema_of(m->database, database) : database;
}

static bool is_noted(struct cap_maria *m, bool *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    char *found = NULL;
    strbuf_adds(&sql, "SELECT 1 FROM crossfade_marker WHERE kind = '" MARIA_MARKER_BEGUN "' AND pipeline = ");
    maria_quote_literal(&sql, m->session->settings->pipeline);
    strbuf_adds(&sql, " LIMIT 1");
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(m->sql, sql.data, 0, &found, err);
    strbuf_release(&sql);
    *ret = found != NULL;
    free(found);
    return ok || err_wrap(err, "source: crossfade_marker");
}

bool maria_way_back_look(struct cap_maria *m, struct err *err)
{
    bool noted = false;
    if (!m->session->settings->way_back || cap_position_streams(&m->session->position))
        return true;
    if (!is_noted(m, &noted, err))
        return false;
    return !noted ||
           err_set(err, ERR_IDENTITY,
                   "pipeline %s has begun before, and its journal does not hold where: what was written on "
                   "MariaDB since then would not come back. Bring the journal back; or, if the target was "
                   "filled anew since, DELETE FROM crossfade_marker WHERE kind = '" MARIA_MARKER_BEGUN
                   "' AND pipeline = '%s', and start capture again",
                   m->session->settings->pipeline, m->session->settings->pipeline);
}

bool maria_way_back_note(struct cap_maria *m, struct err *err)
{
    bool noted = false;
    if (!m->session->settings->way_back)
        return true;
    if (!failpoint("capture.way_back", err) || !is_noted(m, &noted, err))
        return false;
    if (noted)
        return true;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "INSERT INTO crossfade_marker (pipeline, nonce, kind) VALUES (");
    maria_quote_literal(&sql, m->session->settings->pipeline);
    strbuf_adds(&sql, ", '', '" MARIA_MARKER_BEGUN "')");
    bool ok = strbuf_ok(&sql, "statement", err) && maria_exec(m->sql, sql.data, err);
    strbuf_release(&sql);
    return ok || err_wrap(err, "source: crossfade_marker");
}
