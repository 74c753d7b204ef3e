/* The command table: a row here is a subcommand in --help and in the man page. */
#include "cli.h"

const struct command command_table[] = {
    {.name = "check",
     .run = cmd_check,
     .turns = true,
     .turns_mariadb = true,
     .needs_config = true,
     .usage = "[--json]",
     .summary = "test every precondition of source, journal and target",
     .text = "Reads only. Each line is ok, warn or FAIL with a hint. Exit code 0: nothing failed; 1: "
             "something did; 4: could "
             "not run.",
     .flags = check_flags},
    {.name = "schema",
     .run = cmd_schema,
     .needs_config = true,
     .stop = STOP_TWICE,
     .usage =
         "plan [--format markdown|html|json] [--output FILE] | create [--execute] [--indexes] [--json] | "
         "compare [--json]",
     .summary = "make the target's schema from the source's",
     .text = "plan prints what each table and column becomes, what may be lost, and what a person has to "
             "decide. create "
             "tells what it would make, and makes it with --execute: statement by statement; run again, it "
             "goes on where "
             "it was. What is there and equal is left alone; when something else is there, nothing is made. "
             "compare lists what the target has otherwise than the source, as a cutover's gate sees it "
             "(PostgreSQL on both sides). "
             "Exit code 0: "
             "done; 1: a decision is open, or something differs; 4: could not run.",
     .flags = schema_flags},
    {.name = "capture",
     .run = cmd_capture,
     .turns = true,
     .turns_mariadb = true,
     .needs_config = true,
     .logs = true,
     .stop = STOP_BOUNDED,
     .usage = "[run] | {pause | resume | throttle ROWS | reload | drain} [--reason TEXT] [--json] | "
              "add-table TABLE | resnapshot TABLE "
              "[--where SQL] | accept-ddl [--table SCHEMA.TABLE] [--json]",
     .summary = "copy the source's tables and follow its changes into the journal",
     .text = "Runs until stopped: SIGTERM or SIGINT finishes the fence at hand (10 s at most), a second one "
             "exits at once; "
             "nothing is lost either way. Goes on where the journal ends. Exit code 0: stopped; 4: could not "
             "run; 5: halted "
             "and needs a person. add-table publishes a table that came later and has it copied while "
             "everything else "
             "goes on; resnapshot has a captured table, or some of its rows, copied once more. Both only "
             "ask: the capture "
             "that runs, or the next one, does it. accept-ddl agrees to the change of a table's shape at "
             "which capture has halted (capture.on_ddl), and changes nothing else; capture is started again "
             "after it. Commands to the capture that runs (docs/CONTROL.md; they need control.token_file or "
             "a client "
             "certificate): pause and resume: its copies; the stream goes on. throttle: rows per second that "
             "copies "
             "read: a number, none, or configured. reload: reads the configuration again, as SIGHUP does. "
             "drain: goes "
             "to where the source's WAL ends now, and stops.",
     .flags = capture_flags},
    {.name = "apply",
     .run = cmd_apply,
     .turns = true,
     .turns_mariadb = true,
     .needs_config = true,
     .logs = true,
     .stop = STOP_BOUNDED,
     .usage = "[run] | {pause | resume | throttle ROWS | reload | drain} [--reason TEXT] [--json] | dlq list "
              "[--all] [--json] | dlq show ID [--json] | dlq retry {ID… | "
              "--all} | dlq discard "
              "{ID… | --all} --reason TEXT | conflicts list [--all] [--json] | conflicts show ID [--json] | "
              "conflicts resolve ID… --take source|target",
     .summary = "write the journal's changes into the target",
     .text = "Runs until stopped, as capture does. Rows and position are committed together. Exit codes as "
             "capture's. Commands to the apply that runs (docs/CONTROL.md; they need control.token_file or a "
             "client "
             "certificate): pause: it holds at the fence at hand until resume, or until it is started again. "
             "throttle: "
             "changes per second: a number, none, or configured. reload: reads the configuration again, as "
             "SIGHUP does. "
             "drain: applies what is in the journal now, and stops. "
             "dlq: dead letters, records that the target refused (apply.on_row_error), with those behind "
             "them; what belongs together is tried again together, in order. retry and discard only ask: the "
             "apply "
             "that runs, or the next one, does it between two batches. Their exit code: 0 done; 1 some are "
             "still held. conflicts: rows of tables that are written on both sides (apply.conflicts) which "
             "the two have changed in different ways; resolve says which side to take of those that apply "
             "has halted at, and apply does it when it is started again.",
     .flags = apply_flags},
    {.name = "status",
     .run = cmd_status,
     .turns = true,
     .turns_mariadb = true,
     .needs_config = true,
     .usage = "[--watch | --json | --wait caught-up [--timeout S]]",
     .summary = "positions, lag and progress of both roles",
     .text = "Asks both roles at capture.listen and apply.listen. Exit code 1: a role does not answer, or "
             "the wait timed out.",
     .flags = status_flags},
    {.name = "compare",
     .run = cmd_compare,
     .turns = true,
     .needs_config = true,
     .stop = STOP_TWICE,
     .usage =
         "run [--table PATTERN]… [--json | --verbose] [--report-dir FOLDER] | shadow [--live] [--seed N] "
         "[--json | --verbose] [--report-dir FOLDER] | watch [--once] | history [--limit N] [--json] | "
         "repair --through-journal|--sql FILE [--execute] [--delete-extra] [--rounds N] [--table PATTERN]… "
         "[--json] | selftest [--json]",
     .summary = "compare both sides at one fence, while writes go on",
     .text =
         "Row counts and SHA-256 inside each database, narrowed to the rows and columns that differ. Writers "
         "never stop; apply waits at the fence for some milliseconds. Writes report.json and report.html "
         "below "
         "compare.report_dir and the verdict into crossfade.verdict on the target. shadow runs reads of the "
         "real workload (compare.shadow.*: a list, logs, pg_stat_statements) on both sides, and compares "
         "answers, "
         "latency and plans. selftest tries the forms "
         "in "
         "which columns are compared with edge values of every type, on these servers. Exit codes: 0 match, "
         "1 "
         "differ, "
         "2 usage or configuration, 3 inconclusive, 4 could not run. "
         "watch: comparisons by the schedule of compare.watch, for days, through restarts of everything; "
         "results are kept in "
         "crossfade.comparison on the target, and alerts raised when something differs. history: since when "
         "all "
         "has been equal, and the last runs. repair: compares, and makes the target's rows that differ what "
         "the "
         "source has: through the journal, where they come in order with all other changes, or by statements "
         "of "
         "SQL that a file gets; nothing is changed without --execute.",
     .flags = compare_flags},
    {.name = "cutover",
     .run = cmd_cutover,
     .needs_config = true,
     .stop = STOP_PATIENT,
     .usage = "plan | run --execute [--confirm NAME] | resume | abort | list | status [ID] | report [ID] "
              "[--report PLACE] | watch [--execute] [--once] [--json]",
     .summary = "switch from the source to the target when lag is zero",
     .text =
         "plan runs all gates and prints the steps, with what each will take and may take. run --execute "
         "closes the source to writers, drains, sets the sequences, compares what changed, and decides; "
         "a run that was interrupted is resumed, as by resume. abort puts the source back as long as "
         "nothing was decided, also under a run in another process. list tells of all cutovers that are "
         "recorded, status of one with its steps (the newest, or ID). report tells all of one from what is "
         "recorded, on the terminal, as JSON, or as a page "
         "with --report; plan, run, resume and abort write theirs with it, too. watch runs until it is "
         "stopped, before "
         "and after a cutover: it measures what cutover.triggers names, raises alerts, and with --execute "
         "pauses apply, rolls back, or runs the cutover by itself (cutover.auto_cutover_on). Its exit code: "
         "0 stopped, or with --once nothing fires; 1 with --once: something fires; 4 could not run. Exit "
         "codes of the others: 0 done, 10 a gate "
         "refused and nothing changed, 11 aborted "
         "with the source "
         "serving, 12 needs a person.",
     .flags = cutover_flags},
    {.name = "rollback",
     .run = cmd_rollback,
     .turns_mariadb = true,
     .needs_config = true,
     .reversed = true,
     .stop = STOP_PATIENT,
     .usage = "plan | run --execute [--confirm NAME] | resume | abort | list | status [ID] | rehearse "
              "[--execute] [--keep] [--json]",
     .summary = "switch back to the old source, with all that was written since",
     .text =
         "A cutover the other way round, within cutover.rollback_window: what it calls the source is the "
         "database that serves now, its target the old one. It needs the pipeline of the way back, "
         "`crossfade --reverse capture` and `crossfade --reverse apply`, to have been running since before "
         "the cutover. It ends with the old source open to writers and the poolers led back, or with "
         "everything as it was; another cutover may follow. Verbs and exit codes as of cutover. rehearse: "
         "cutover, rollback and writes on both sides, against scratch databases beside the pipeline's own "
         "two "
         "with a bounded sample of rows, and how long each step took; the pipeline is not touched, and all "
         "that was made is removed. Without --execute it says what it would make. Its exit code: 0 passed "
         "(or planned), 1 it found something, 4 could not run.",
     .flags = rollback_flags},
    {.name = "cleanup",
     .run = cmd_cleanup,
     .needs_config = true,
     .turns = true,
     .stop = STOP_TWICE,
     .usage = "[--execute] [--journal] [--confirm NAME] [--discard-dead-letters] [--open-source] "
              "[--without-source] [--json]",
     .summary = "remove what the pipeline has made on the source, the target and, if asked, the journal",
     .text =
         "Lists every artefact of this pipeline with where it is, its size and who is at it, what is done "
         "with it, and what is left and why; --execute does it. Nothing is removed while a role of the "
         "pipeline runs, a cutover is unfinished, a transaction is prepared or dead letters are held. What "
         "is not provably this pipeline's stays, the application's tables and the audit log always. Run "
         "again after an interruption, it goes on. The way back is a pipeline of its own: "
         "`crossfade --reverse cleanup`, before this one. Exit code 0: done (or nothing is in the way); 1: "
         "something is refused; 4: could not run.",
     .flags = cleanup_flags},
    {.name = "decommission",
     .run = cmd_decommission,
     .needs_config = true,
     .stop = STOP_TWICE,
     .usage = "status [--json] | watch [--interval S] [--once] | tombstone [--execute [--confirm NAME]] "
              "[--undo] [--json]",
     .summary = "after a cutover: who still uses the old database, and closing it in steps",
     .text =
         "status: the stage (serving, readonly, tombstone, ready), sessions and their last query, who was "
         "seen, what depends on the old side, until when it is kept, and whether it may be switched off; "
         "changes nothing. watch notes who connects, until stopped. tombstone --execute has connections "
         "of applications to the old database refused with a message that names the new home (how, and "
         "what exactly they read, it says beforehand), and ends their sessions; superusers and "
         "Crossfade's roles pass. --undo takes it down. Exit code of status: 0 may be switched off; 1 "
         "not yet; of tombstone: 0 done or planned; 10 refused; all: 4 could not run.",
     .flags = decommission_flags},
    {.name = "approve",
     .run = cmd_approve,
     .needs_config = true,
     .usage =
         "KIND… --key FILE [--note TEXT] [--valid S] [--plan HASH] [--json] | list [--json] | revoke NONCE",
     .summary = "approve a cutover, signed with a key",
     .text =
         "KIND: ticket, second_person, backup, rehearsal. cutover.approval says which of them a cutover "
         "waits for, "
         "cutover.approvers whose keys count. An approval is for the plan as it is now, for one cutover, and "
         "for a "
         "time; it is a row of the audit log. list tells what is approved and what is missing. Exit code: 0 "
         "approved (list: nothing is missing); 1 list: something is; 2 usage; 4 could not run; 10 refused.",
     .flags = approve_flags},
    {.name = "audit",
     .run = cmd_audit,
     .turns = true,
     .turns_mariadb = true,
     .needs_config = true,
     .usage =
         "list [--limit N] [--event NAME] [--cutover ID] [--json] | export | verify [--expect HASH] [--json]",
     .summary = "what was decided, by whom and when: list, export, verify",
     .text = "Every decision, approval, gate value, step and error is a row of crossfade.audit on the "
             "target, and holds "
             "the SHA-256 of the row before it. list: of this pipeline; export: all rows, as JSON lines. "
             "verify finds "
             "what was changed, deleted, inserted or moved; what is missing at the end it finds by the last "
             "hash that "
             "the source knows, or by --expect. Exit code of verify: 0 whole; 1 not whole; 3 whole as far as "
             "it goes, "
             "but the source could not be asked where it ends; 4 could not be read.",
     .flags = audit_flags},
    {.name = "journal",
     .run = cmd_journal,
     .turns = true,
     .turns_mariadb = true,
     .needs_config = true,
     .usage = "list | cat STREAM | follow STREAM | fences | verify",
     .summary = "look into the journal: streams, records and fences as JSON; verify all of it",
     .text =
         "STREAM may be written without the topic prefix. Records are printed one per line; nothing is "
         "changed, no reader's position moves. list tells how far apply is behind, where the target can be "
         "asked. verify walks the whole journal, also while the pipeline runs: fences in order, records "
         "against "
         "fences, order, gaps, duplicates. Exit code of verify: 0 good; 1 findings, each with its topic, "
         "partition, offset and lsn; 4 could not be read to its end.",
     .flags = journal_flags},
    {.name = "take-over",
     .run = cmd_take_over,
     .hidden = true,
     .stop = STOP_PATIENT,
     .usage = "PIPELINE",
     .summary = "lead a rollback to its end whose process is gone; started by that itself"},
    {.name = "docs",
     .run = cmd_docs,
     .hidden = true,
     .usage = "config | man | types | metrics | events | cutover | alerts | bash | zsh",
     .summary = "print a generated document"},
};

const size_t command_count = sizeof command_table / sizeof command_table[0];
