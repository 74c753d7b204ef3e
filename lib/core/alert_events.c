/* The table of alerts. See alert_events.h. */
#include "core/alert_events.h"

#include <string.h>

#include "core/attr.h"

/* clang-format off */
const struct alert_event alert_event_table[] = {
    {"lag", "lag", "warning", "apply", "apply", "The lag has been over `apply.max_lag_ms` for `alerts.raise_after`. What the target has is that old. `crossfade status` says which stage is behind."},
    {"lag_over", "lag", "info", "apply", "apply", "The lag has been below the limit for `alerts.clear_after`."},
    {"slot", "slot", "warning", "capture", "warn", "The slot holds back at least half of the WAL that the source may keep for it (`capture.max_retained_wal`, `max_slot_wal_keep_size`). Is the journal slow or away, or does a transaction run for long?"},
    {"slot_over", "slot", "info", "capture", "warn", "It holds back less than that again."},
    {"slot_danger", "slot", "critical", "capture", "alert", "The slot holds back all that the source may keep, or the server is about to drop it, or has. A slot that is dropped means that the tables are copied once more. Make room on the source, end long transactions, mend the journal."},
    {"slot_danger_over", "slot", "info", "capture", "alert", "The danger has passed."},
    {"dead_letters", "dead_letters", "critical", "apply", "apply", "The target has refused rows, which are held (`apply.on_row_error: dead_letter`). `crossfade apply dlq list` shows them; no comparison passes and no cutover begins until they are settled."},
    {"dead_letters_over", "dead_letters", "info", "apply", "apply", "None is held any more."},
    {"halted", "role", "critical", "capture, apply", "capture or apply", "The role has halted and needs a person: the text says why."},
    {"retrying", "role", "warning", "capture, apply", "capture or apply", "A server has been away for `alerts.raise_after`; the role tries again by itself."},
    {"retrying_over", "role", "info", "capture, apply", "capture or apply", "It answers again."},
    {"mismatch", "verdict", "critical", "compare watch", "the kind of comparison", "Source and target differ. The text says where; the report of that run has the rows."},
    {"recovered", "verdict", "info", "compare watch", "the kind of comparison", "The same comparison has found both sides equal again."},
    {"inconclusive", "verdict", "warning", "compare watch", "the kind of comparison", "Several comparisons in a row came to no verdict."},
    {"clean", "verdict", "info", "compare watch", "all", "All levels have been clean for `cutover.clean_for`: the gate is open."},
    {"gates_refused", "gates", "warning", "cutover run, rollback run", "the gate, or how many", "A gate has refused: nothing was changed. The text names the first one, what was measured and the limit."},
    {"cutover_step", "cutover", "info", "cutover run, rollback run", "the state", "A step of a cutover begins (recorded before it is taken)."},
    {"cutover_decided", "cutover", "warning", "cutover run, rollback run", "switched", "The decision has fallen: the target serves from now on."},
    {"cutover_done", "cutover", "info", "cutover run, rollback run", "done", "It is done, poolers and all."},
    {"cutover_aborted", "cutover", "critical", "cutover run, rollback run", "aborted", "It was aborted; the source serves, as before."},
    {"cutover_failed", "cutover", "critical", "cutover run, rollback run", "the state", "It has ended in the middle: `crossfade cutover resume`, or a person."},
    {"trigger", "triggers", "critical", "cutover watch", "the trigger and its level", "A level of `cutover.triggers` fires."},
    {"trigger_over", "triggers", "info", "cutover watch", "the trigger and its level", "It does not any more."},
    {"trigger_waits", "triggers", "warning", "cutover watch", "the trigger and its level", "What it is to do cannot be done yet: the text says why."},
    {"paused", "triggers", "critical", "cutover watch", "the trigger and its level", "Apply was paused, until `crossfade apply resume`."},
    {"rollback", "triggers", "critical", "cutover watch", "the trigger and its level", "The application is being moved back."},
    {"rolled_back", "triggers", "critical", "cutover watch", "the trigger and its level", "It was moved back."},
    {"rollback_failed", "triggers", "critical", "cutover watch", "the trigger and its level", "It was not: a person is needed now."},
    {"auto_cutover", "cutover", "warning", "cutover watch", "waits, begun, or the outcome", "A cutover that runs by itself."},
    {"target_away", "target", "critical", "cutover watch", "target", "The target does not answer the watch."},
    {"target_back", "target", "info", "cutover watch", "target", "It answers again."},
    {"alerts_lost", "alerts", "warning", "all", "webhook", "The receiver was away for so long, or refused so much, that alerts were given up; the text says how many, and the names of the last ones."},
};
/* clang-format on */

const size_t alert_event_count = sizeof alert_event_table / sizeof alert_event_table[0];

const struct alert_event *alert_event_find(const char *name)
{
    for (size_t i = 0; i < alert_event_count; i++) {
        if (strcmp(alert_event_table[i].name, name) == 0)
            return &alert_event_table[i];
    }
    return NULL;
}

static const char head[] =
    "# Alerts\n\n"
    "<!-- Made by `crossfade docs alerts` from lib/core/alert_events.c: change that, not this. -->\n\n"
    "Capture, apply, `compare watch`, `cutover watch` and a cutover that runs tell of events, all in the "
    "same way: a line in "
    "the log\n"
    "(`alert`), a post to a webhook, and commands. Nothing is configured by default but the log.\n\n"
    "```yaml\n"
    "alerts:\n"
    "  webhook: https://alerts.example.com/crossfade\n"
    "  webhook_secret: ${WEBHOOK_SECRET}\n"
    "  on_event: [/opt/app/page-somebody]\n"
    "  events: [lag, slot, dead_letters, role, verdict, gates, cutover, triggers]   # groups or names; not "
    "set: all\n"
    "```\n\n"
    "`compare.watch.webhook` and `cutover.watch.webhook` (with their secrets) stand in for `alerts.webhook` "
    "there, where they "
    "are set.\n\n"
    "## What is sent\n"
    "One JSON object for each event, as the body of the POST and on the standard input of the commands:\n\n"
    "```json\n"
    "{\"id\": \"4be0…\", \"event\": \"lag\", \"group\": \"lag\", \"severity\": \"warning\", \"pipeline\": "
    "\"shop\",\n"
    " \"level\": \"apply\", \"text\": \"…\", \"at\": \"2026-01-31T12:34:56.123456Z\", \"version\": \"…\"}\n"
    "```\n\n"
    "`id` is the event's own, the same at every attempt to deliver it: a receiver that has seen it has this "
    "one already (an "
    "attempt whose\n"
    "answer was lost is made again). `at` is when it was raised. Texts hold no values of rows and no "
    "secrets.\n\n"
    "## Signature\n"
    "With a secret, each attempt has two headers:\n\n"
    "```\n"
    "X-Crossfade-Timestamp: 1769862896\n"
    "X-Crossfade-Signature-256: sha256=<hex>\n"
    "```\n\n"
    "The signature is HMAC-SHA256, keyed with the secret, of the timestamp's digits, a full stop, and the "
    "body as it was sent. A "
    "receiver\n"
    "computes it over what it got, compares in constant time, refuses a timestamp (seconds since 1970) more "
    "than some minutes "
    "from its own\n"
    "clock, and an `id` that it has seen: so nobody can send an old alert again.\n\n"
    "```python\n"
    "expected = hmac.new(secret, timestamp.encode() + b\".\" + body, hashlib.sha256).hexdigest()\n"
    "good = hmac.compare_digest(signature, \"sha256=\" + expected) and abs(time.time() - int(timestamp)) < "
    "300\n"
    "```\n\n"
    "## Delivery\n"
    "A status of 2xx is \"taken\". No answer within 5 s, 408, 429 and 5xx are tried again, after 1 s at "
    "first and then twice as "
    "long each time, up to\n"
    "a minute, for as long as it takes; any other status, redirects among them, gives that alert up "
    "(`alert_failed` in the log). "
    "Order is kept. 100\n"
    "alerts wait at most: beyond that the oldest is given up, and so is what has not been taken a few "
    "seconds after the process "
    "was told to end.\n"
    "`alert_lost` in the log says so, and `alerts_lost` tells the receiver when it is back. "
    "They wait in memory: what a process had not delivered when it was killed is not told by the next one, "
    "but for a condition that still holds, which is told "
    "again. TLS certificates "
    "are verified.\n\n"
    "`alerts.on_event` are commands for `/bin/sh -c`, run one after the other. Nothing of the event is put "
    "into the command: it "
    "is on the standard input,\n"
    "and in `CROSSFADE_EVENT`, `_LEVEL`, `_TEXT` and `_PIPELINE`. A command that takes longer than "
    "`alerts.on_event_timeout` is "
    "ended, with its children;\n"
    "one that fails is logged and not tried again.\n\n"
    "## Flapping\n"
    "Conditions of capture and apply (lag, slot, retrying, dead letters) are told once when they have held "
    "for "
    "`alerts.raise_after`, and once when they\n"
    "have not for `alerts.clear_after`; a value that goes to and fro meanwhile is neither. So each condition "
    "makes at most one "
    "pair of alerts in that time.\n"
    "The text of the second says how often it came back meanwhile. `halted` and `slot_danger` are told at "
    "once. "
    "`cutover.triggers` have levels, times and readings of their own.\n\n"
    "## Events\n"
    "| event | group | severity | raised by | `level` | what it means |\n"
    "|---|---|---|---|---|---|\n";

void alert_events_markdown(struct strbuf *out)
{
    strbuf_adds(out, head);
    for (size_t i = 0; i < alert_event_count; i++) {
        const struct alert_event *e = &alert_event_table[i];
        strbuf_addf(out, "| `%s` | %s | %s | %s | %s | %s |\n", e->name, e->group, e->severity, e->by,
                    e->level, e->help);
    }
}
