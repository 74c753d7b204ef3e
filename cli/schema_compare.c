/* crossfade schema compare: what the target has otherwise than the source, as the gate `schema` of a cutover sees it. */
#include "schema_compare.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "print_json.h"
#include "schema/parity.h"

static void print_text(const struct schema_parity *parity)
{
    const struct parity_difference *d;
    for (size_t i = 0; (d = schema_parity_difference(parity, i)) != NULL; i++)
        printf("differs: %s %s: %s\n", d->kind, d->name, d->why);
    printf("%zu of %zu objects differ, %zu are allowed to\n", schema_parity_differences(parity),
           schema_parity_objects(parity), schema_parity_ignored(parity));
}

static void print_json(const struct schema_parity *parity)
{
    const struct parity_difference *d;
    json_t *list = json_array();
    for (size_t i = 0; (d = schema_parity_difference(parity, i)) != NULL; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s}", "kind", d->kind, "name", d->name, "why", d->why));
    json_t *j = json_pack("{s:I, s:I, s:I, s:o}", "objects", (json_int_t)schema_parity_objects(parity),
                          "differ", (json_int_t)schema_parity_differences(parity), "allowed",
                          (json_int_t)schema_parity_ignored(parity), "differences", list);
    cli_print_json(j);
}

static bool read_parity(struct cli *cli, struct schema_parity **ret, struct err *err)
{
    const struct pg_options options = {.application_name = "crossfade schema"};
    struct pg_conn *source = NULL, *target = NULL;
    if (!config_require(cli->cfg, err, "pipeline", "source.url", "target.url", (char *)NULL))
        return false;
    bool ok = pg_open(config_text(cli->cfg, "source.url"), &options, &source, err) &&
              pg_open(config_text(cli->cfg, "target.url"), &options, &target, err) &&
              schema_parity_read(cli->cfg, source, target, ret, err);
    pg_close(source);
    pg_close(target);
    return ok;
}

int schema_compare(struct cli *cli)
{
    struct schema_parity *parity = NULL;
    struct err err = ERR_INIT;
    if (!read_parity(cli, &parity, &err))
        return cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
    if (cli_flag(cli, "json") != NULL)
        print_json(parity);
    else
        print_text(parity);
    bool same = schema_parity_differences(parity) == 0;
    schema_parity_free(parity);
    return same ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
