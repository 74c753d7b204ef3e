/* Owns: keeping our memory to ourselves. See no_dump.h. */
#include "core/no_dump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#ifdef CF_DEVELOPER_BUILD
static const bool by_default = false;
#else
static const bool by_default = true;
#endif

bool no_dump_init(struct err *err)
{
    static const struct rlimit none = {0, 0};
    const char *said = getenv("CROSSFADE_DUMPABLE");
    if (said != NULL && strcmp(said, "0") != 0 && strcmp(said, "1") != 0)
        return err_set(err, ERR_CONFIG,
                       "CROSSFADE_DUMPABLE in the environment is 0 (no core dumps) or 1 (they may be made)");
    if (said != NULL ? *said == '1' : !by_default)
        return true;
    /* Both: a dump that goes to a program (core_pattern with '|') knows no limit, and our children are dumpable again by exec. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return err_set_errno(err, errno, "PR_SET_DUMPABLE");
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return err_set_errno(err, errno, "RLIMIT_CORE");
    return true;
}
