/*
 * The rest for what earlier comparisons read on a busy source: taken before the next one opens its snapshots. A rest between chunks costs
 * a busy source more than the reading does, as open snapshots keep old versions of its rows. Private to this module.
 */
#ifndef COMPARE_REST_H
#define COMPARE_REST_H

#include "compare/compare.h"
#include "pace.h"

/* Waits while the source is busy and rest is owed (crossfade.verdict says how much); tells req->progress. False: a server could not be asked, or
 * req->stop_fd became readable (ERR_INTERRUPTED). @thread owner */
bool rest_before_run(const struct config *cfg, const struct compare_request *req, const char *pipeline,
                     struct pace *pace, struct err *err) MUST_CHECK;

#endif
