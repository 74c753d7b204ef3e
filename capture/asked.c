/* See asked.h. */
#include "capture/asked.h"

void cap_asked_open(struct cap_asked *asked, struct status_board *board, struct cap_settings *settings,
                    bool stream)
{
    *asked = (struct cap_asked){.desk = status_board_desk(board),
                                .settings = settings,
                                .rows_configured = settings->max_rows_per_second};
    unsigned can = DESK_CAN(DESK_THROTTLE);
    if (stream)
        can |= DESK_CAN(DESK_PAUSE) | DESK_CAN(DESK_RESUME) | DESK_CAN(DESK_DRAIN);
    desk_can(asked->desk, can);
}

static void take(void *ctx, const struct config *cfg)
{
    struct cap_asked *asked = ctx;
    asked->rows_configured = config_int(cfg, "capture.max_rows_per_second");
    asked->settings->max_source_latency_us = config_int(cfg, "capture.max_source_latency_ms") * 1000;
    asked->settings->max_retained_wal_bytes = config_int(cfg, "capture.max_retained_wal");
}

void cap_asked_look(struct cap_asked *asked)
{
    (void)desk_new_config(asked->desk, &asked->config_seen, take, asked);
    int64_t rate = desk_rate(asked->desk, asked->rows_configured);
    if (rate != asked->settings->max_rows_per_second)
        asked->settings->max_rows_per_second = rate;
}

bool cap_asked_paused(const struct cap_asked *asked)
{
    return desk_is_paused(asked->desk);
}
