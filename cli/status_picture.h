/* What `status --watch` draws. */
#ifndef CLI_STATUS_PICTURE_H
#define CLI_STATUS_PICTURE_H

#include <jansson.h>

#include "terminal.h"

#define PICTURE_LAGS   240
#define PICTURE_EVENTS 12

/* All texts in it are plain (fleet_plain). */
struct status_picture {
    const json_t *all;         /* fleet_status */
    const json_t *facts;       /* of /page/facts; NULL = not known */
    const json_t *gates;       /* of status_gates */
    const char *now;           /* ISO */
    double lags[PICTURE_LAGS]; /* seconds, a ring; negative = not known */
    size_t lag_count;          /* ever added */
    json_t *events;            /* array, newest last, at most PICTURE_EVENTS */
};

/* Lines as wide and as many as the terminal has. */
void status_picture_draw(const struct terminal *term, const struct status_picture *p, struct strbuf *out);
/* The same in one line without colours. */
void status_picture_line(const struct status_picture *p, struct strbuf *out);

#endif
