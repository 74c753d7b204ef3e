/* What a role's status page shows: this role's own figures, the other role's (asked over HTTP), and what the target knows of comparisons. */
#ifndef CLI_STATUS_FEED_H
#define CLI_STATUS_FEED_H

#include "config/config.h"
#include "control/http.h"

struct status_feed;

/* Serves the page on that server and begins to feed it, in threads of its own. role, cfg, board and server live longer. False: no thread. */
bool status_feed_start(const char *role, const struct config *cfg, struct status_board *board,
                       struct http_server *server, struct status_feed **ret, struct err *err) MUST_CHECK;
/* Before the server is stopped. Waits for a question under way (some seconds at most). */
void status_feed_stop(struct status_feed *feed);
void status_feed_free(struct status_feed *feed); /* after the server; NULL allowed */

#endif
