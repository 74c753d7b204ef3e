/* crossfade apply: journal → target until stopped. */
#include "apply/apply.h"
#include "role.h"

int cmd_apply(struct cli *cli)
{
    return role_main(cli, "apply.listen", apply_run);
}
