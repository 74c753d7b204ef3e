/* Owns: ranges of the schema stream whose shapes no fence covers. See shape_voids.h. */
#include "capture/publish/shape_voids.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

static bool is_state(const json_t *root, const char *state)
{
    const char *found = json_string_value(json_object_get(root, "state"));
    return found != NULL && strcmp(found, state) == 0;
}

void shape_voids_release(struct shape_voids *voids)
{
    free(voids->ranges);
    *voids = (struct shape_voids){0};
}

bool shape_voids_is(const json_t *root)
{
    return is_state(root, "void");
}

void shape_voids_take(struct shape_voids *voids, const json_t *root, const struct journal_record *rec)
{
    if (!shape_voids_is(root))
        return;
    json_int_t from = json_integer_value(json_object_get(root, "from"));
    voids->ranges = xrealloc(voids->ranges, (voids->count + 1) * sizeof *voids->ranges);
    voids->ranges[voids->count++] =
        (struct shape_void_range){.from = from > 0 ? (uint64_t)from : 0, .to = rec->offset};
}

/* What a person or a halt has said needs no fence; what was written with transactions is there with its fence or not at all. */
bool shape_voids_has(struct shape_voids *voids, const json_t *root, const struct journal_record *rec)
{
    if (rec->writer == 0 || (!is_state(root, "current") && !is_state(root, "forgotten")))
        return false;
    for (size_t i = 0; i < voids->count; i++) {
        if (rec->offset >= voids->ranges[i].from && rec->offset < voids->ranges[i].to)
            return true;
    }
    bool unfenced = rec->offset >= voids->fenced_next;
    voids->unfenced = voids->unfenced || unfenced;
    return unfenced;
}

char *shape_voids_text(uint64_t from)
{
    return xasprintf("{\"table_shape\":null,\"state\":\"void\",\"from\":%llu}", (unsigned long long)from);
}
