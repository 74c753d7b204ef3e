/* Edit distance (optimal string alignment) over three rows. */
#include "config/suggest.h"

#include <string.h>

#include "core/attr.h"

#define TEXT_MAX 63

size_t suggest_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    if (la > TEXT_MAX || lb > TEXT_MAX)
        return TEXT_MAX;
    size_t rows[3][TEXT_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= lb; j++)
        last[j] = j;
    for (size_t i = 1; i <= la; i++) {
        now[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t cost = a[i - 1] != b[j - 1];
            now[j] = MIN_OF(MIN_OF(last[j] + 1, now[j - 1] + 1), last[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = MIN_OF(now[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[lb];
}

void suggest_consider(const char *typed, const char *candidate, const char **best, size_t *best_distance)
{
    size_t d = suggest_distance(typed, candidate);
    if (d < *best_distance) {
        *best_distance = d;
        *best = candidate;
    }
}

bool suggest_is_near(const char *typed, size_t best_distance)
{
    size_t limit = strlen(typed) / 3;
    return best_distance <= MAX_OF(limit, 2) && best_distance < strlen(typed);
}
