/* crossfade capture: source → journal until stopped. */
#include "capture/capture.h"
#include "role.h"

int cmd_capture(struct cli *cli)
{
    return role_main(cli, "capture.listen", capture_run);
}
