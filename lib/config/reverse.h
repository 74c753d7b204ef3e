/* The other direction of a pipeline, for those that only have to know that it may be there. See config_reversed(). @thread any */
#ifndef CONFIG_REVERSE_H
#define CONFIG_REVERSE_H

#include "config/config.h"

/* Name of the pipeline turned round; "" if there cannot be one. */
void config_other_pipeline(const struct config *cfg, char ret[64]);

#endif
