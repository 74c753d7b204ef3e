/* A secret that was given on the command line stands in `ps` for everybody: it is taken out there as soon as it was read. @thread before others begin */
#ifndef CLI_HIDE_ARGS_H
#define CLI_HIDE_ARGS_H

/* What the words are, as a copy that lives as long as the process does (NULL-terminated); in argv itself secrets become "***". */
char **hide_args(int argc, char **argv);
void hide_args_free(char **copy); /* NULL allowed */

#endif
