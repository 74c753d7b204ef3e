/* The implementations that target_open() selects from. */
#ifndef TARGET_TARGET_IMPL_H
#define TARGET_TARGET_IMPL_H

#include "target/target.h"

extern const struct target_ops target_postgres;
extern const struct target_ops target_mariadb;
extern const struct target_ops target_fault;

#endif
