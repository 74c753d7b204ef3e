#include "core/temp_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

const char *temp_file_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder != NULL && folder[0] != '\0' ? folder : "/var/tmp";
}

bool temp_file_open(int *ret, struct err *err)
{
    *ret = open(temp_file_folder(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return *ret >= 0 || err_set_errno(err, errno, "temporary file in %s", temp_file_folder());
}
