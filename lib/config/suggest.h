/* "did you mean …?": the nearest of some names. */
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>

/* Edit distance with transpositions; texts longer than 63 bytes count as far away. */
size_t suggest_distance(const char *a, const char *b);
/* Keeps the nearer candidate: call for each name with the same *best (NULL at first) and *best_distance
 * (SIZE_MAX). */
void suggest_consider(const char *typed, const char *candidate, const char **best, size_t *best_distance);
/* True if the best one is near enough to be worth showing. */
bool suggest_is_near(const char *typed, size_t best_distance);

#endif
