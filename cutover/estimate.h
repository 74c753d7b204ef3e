/* What a cutover will take, told beforehand (estimate.c). Private to this module. */
#ifndef CUTOVER_ESTIMATE_H
#define CUTOVER_ESTIMATE_H

#include "cutover_internal.h"

/* Fills the estimates of co->report, from both databases; changes nothing there. Behind verify_prepare() it knows what changed since the
 * last PASS, else it takes all tables for changed. @thread owner */
bool estimate_make(struct cutover *co, struct err *err) MUST_CHECK;

#endif
