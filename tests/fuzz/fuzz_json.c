/* The reader of JSON record values, schema included. See record.h. */
#include "record.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    fuzz_record("json", bytes, len);
    return 0;
}
