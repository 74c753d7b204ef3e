/* Owns: the published transactions that a snapshot must see. See visible.h. */
#include "capture/copy/visible.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

struct cap_visible {
    struct cap_snapshot floor;
    uint32_t *noted;
    size_t count, cap;
};

/* --- snapshots --- */

static bool precedes(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static int compare_xids(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static bool take_xid(const char **text, char end, uint32_t *ret)
{
    char *stop = NULL;
    errno = 0;
    unsigned long long id = strtoull(*text, &stop, 10);
    if (stop == *text || errno != 0 || **text < '0' || **text > '9' || (*stop != end && *stop != '\0'))
        return false;
    *ret = (uint32_t)id;
    *text = *stop == '\0' ? stop : stop + 1;
    return true;
}

bool cap_snapshot_parse(const char *text, struct cap_snapshot *ret, struct err *err)
{
    struct cap_snapshot snap = {0};
    const char *p = text;
    bool ok = take_xid(&p, ':', &snap.xmin) && take_xid(&p, ':', &snap.xmax);
    size_t most = 1;
    for (const char *c = p; *c != '\0'; c++)
        most += *c == ',';
    snap.running = xcalloc(most, sizeof *snap.running);
    while (ok && *p != '\0') {
        ok = snap.running_count < most && take_xid(&p, ',', &snap.running[snap.running_count]);
        snap.running_count += ok;
    }
    if (!ok) {
        cap_snapshot_release(&snap);
        return err_set(err, ERR_PROTOCOL, "not a snapshot of the source: %.60s", text);
    }
    qsort(snap.running, snap.running_count, sizeof *snap.running, compare_xids);
    *ret = snap;
    return true;
}

void cap_snapshot_release(struct cap_snapshot *snap)
{
    free(snap->running);
    *snap = (struct cap_snapshot){0};
}

bool cap_snapshot_sees(const struct cap_snapshot *snap, uint32_t xid)
{
    if (precedes(xid, snap->xmin))
        return true;
    return precedes(xid, snap->xmax) &&
           (snap->running_count == 0 ||
            bsearch(&xid, snap->running, snap->running_count, sizeof *snap->running, compare_xids) == NULL);
}

/* --- what was published --- */

struct cap_visible *cap_visible_new(struct cap_snapshot *floor)
{
    struct cap_visible *v = xcalloc(1, sizeof *v);
    v->floor = *floor;
    *floor = (struct cap_snapshot){0};
    return v;
}

void cap_visible_free(struct cap_visible *v)
{
    if (v == NULL)
        return;
    cap_snapshot_release(&v->floor);
    free(v->noted);
    free(v);
}

void cap_visible_note(struct cap_visible *v, uint32_t xid)
{
    if (v->count == v->cap) {
        v->cap = v->cap != 0 ? v->cap * 2 : 256;
        v->noted = xrealloc(v->noted, v->cap * sizeof *v->noted);
    }
    v->noted[v->count++] = xid;
}

bool cap_visible_covers(const struct cap_visible *v, const struct cap_snapshot *snap)
{
    if (precedes(snap->xmax, v->floor.xmax))
        return false;
    for (size_t i = 0; i < snap->running_count; i++) {
        if (cap_snapshot_sees(&v->floor, snap->running[i]))
            return false;
    }
    for (size_t i = 0; i < v->count; i++) {
        if (!cap_snapshot_sees(snap, v->noted[i]))
            return false;
    }
    return true;
}

bool cap_snapshot_is_past(const struct cap_snapshot *snap, uint32_t xid)
{
    return !precedes(snap->xmin, xid);
}

void cap_visible_forget(struct cap_visible *v, const struct cap_snapshot *snap)
{
    size_t kept = 0;
    for (size_t i = 0; i < v->count; i++) {
        if (!cap_snapshot_sees(snap, v->noted[i]))
            v->noted[kept++] = v->noted[i];
    }
    v->count = kept;
}

void cap_visible_begin(struct cap_visible *v, struct cap_snapshot *floor)
{
    cap_snapshot_release(&v->floor);
    v->floor = *floor;
    *floor = (struct cap_snapshot){0};
}

void cap_visible_settle(struct cap_visible *v, struct cap_snapshot *snap)
{
    cap_snapshot_release(&v->floor);
    v->floor = *snap;
    *snap = (struct cap_snapshot){0};
    v->count = 0;
}

size_t cap_visible_noted(const struct cap_visible *v)
{
    return v->count;
}
