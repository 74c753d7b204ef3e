/* Taking the steps of a plan. Private to this module. */
#ifndef SCHEMA_MAKER_H
#define SCHEMA_MAKER_H

#include "schema.h"
#include "side.h"

/* schema.indexes says that they come after the copy. */
bool maker_later(const struct config *cfg);

#endif
