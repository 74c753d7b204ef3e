"""The judgement of a soak, as a Markdown page with one drawing, and as JSON."""

import json
import os
import statistics

GROWTH_SHARE, GROWTH_KIB, GROWTH_DESCRIPTORS = 0.1, 16 * 1024, 3  # what a role may hold more at the end than at the beginning: noise of its caches
JUDGED_HOURS = 0.5  # before, a role still fills its caches: nothing is claimed of its memory
COLOURS = {"capture": "#2563eb", "apply": "#d97706", "lag": "#6b7280"}


def drift(calm, role, what):
    """(at the beginning, at the end) of the part in which no role was restarted: medians of the first and the last third of the calm moments."""
    values = [point[role][what] for point in calm if point[role][what] is not None]
    third = max(1, len(values) // 3)
    return (statistics.median(values[:third]), statistics.median(values[-third:])) if values else (0, 0)


def judge(result):
    """Adds result["claims"]: [(what, held, found)]."""
    claims = []
    slow = max((f["back_s"] for f in result["faults"] if f["back_s"] is not None), default=0)
    lost = [f for f in result["faults"] if f["failure"]]
    claims.append(("after each fault the lag comes back to zero", not lost, f"{len(result['faults'])} faults, the slowest {slow:.1f} s" if not lost else
                   "; ".join(f"{f['name']}: {f['failure']}" for f in lost)))
    for role in ("capture", "apply"):
        before, after = drift(result["calm"], role, "memory_kib")
        held = after - before <= max(GROWTH_SHARE * before, GROWTH_KIB)
        if result["hours"] >= JUDGED_HOURS:
            claims.append((f"memory of {role} is flat", held, f"{before / 1024:.1f} MiB, then {after / 1024:.1f} MiB"))
        before, after = drift(result["calm"], role, "descriptors")
        claims.append((f"file descriptors of {role} are flat", after - before <= GROWTH_DESCRIPTORS, f"{before:.0f}, then {after:.0f}"))
    verdicts = [c["verdict"] for c in result["comparisons"]]
    claims.append(("every comparison is a PASS", bool(verdicts) and set(verdicts) == {"PASS"}, ", ".join(f"{verdicts.count(v)} {v}" for v in sorted(set(verdicts))) or "none"))
    claims.append(("the target is equal, by plain SQL", not result["differences"], "; ".join(f"{t}: {d}" for t, d in result["differences"].items()) or "all tables"))
    claims.append(("every acknowledged transaction is there", not result["missing"], f"{result['acknowledged']:,} acknowledged, {result['missing']} missing"))
    claims.append(("no process ended by itself", not result["ended"], ", ".join(result["ended"]) or "none did"))
    result["claims"] = [{"claim": what, "held": held, "found": found} for what, held, found in claims]
    result["passed"] = all(c["held"] for c in result["claims"])


def polyline(points, colour, width, height, top, most):
    """points: (x from 0 to 1, value or None); a gap where nothing answered."""
    parts, line = [], []
    for x, value in [*points, (1, None)]:
        if value is not None:
            line.append(f"{60 + x * (width - 80):.1f},{top + height - min(value / most, 1) * height:.1f}")
        elif line:
            parts.append(f'<polyline points="{" ".join(line)}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            line = []
    return "".join(parts)


def drawing(result):
    """Memory above, lag below, the faults as lines through both."""
    samples, width, height = result["samples"], 1000, 150
    end = max(samples[-1]["at_s"], 1)
    memory = [s[role]["memory_kib"] or 0 for s in samples for role in ("capture", "apply")]
    lags = [s["lag_bytes"] or 0 for s in samples]
    most_memory, most_lag = max([*memory, 1]) * 1.1, max([*lags, 1]) * 1.1
    faults = "".join(f'<line x1="{60 + f["at_s"] / end * (width - 80):.1f}" x2="{60 + f["at_s"] / end * (width - 80):.1f}" y1="20" y2="370" stroke="#dc2626" stroke-width="0.5">'
                     f'<title>{f["name"]}</title></line>' for f in result["faults"])
    lines = "".join(polyline([(s["at_s"] / end, s[role]["memory_kib"]) for s in samples], COLOURS[role], width, height, 20, most_memory) for role in ("capture", "apply"))
    lines += polyline([(s["at_s"] / end, s["lag_bytes"]) for s in samples], COLOURS["lag"], width, height, 220, most_lag)
    text = (f'<text x="60" y="14">memory, up to {most_memory / 1024:.0f} MiB: <tspan fill="{COLOURS["capture"]}">capture</tspan>, <tspan fill="{COLOURS["apply"]}">apply</tspan></text>'
            f'<text x="60" y="212">lag, up to {most_lag / 1048576:.1f} MiB; red: a fault</text><text x="60" y="392">0</text><text x="{width - 90}" y="392">{end / 3600:.1f} h</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 400" font-family="sans-serif" font-size="12" role="img" aria-label="memory and lag over the soak">'
            f'<rect width="{width}" height="400" fill="#ffffff"/>{faults}{lines}{text}</svg>\n')


def kinds(faults):
    """By kind of fault: how often, and how long until the lag was zero again."""
    found = {}
    for fault in faults:
        found.setdefault(fault["name"], []).append(fault)
    return found


def markdown(result, picture):
    lines = ["# The soak", "", "Made by `bench/soak`: SimShop's customers for hours, a fault every few minutes, everything with real servers and `fsync`.", "",
             f"- commit {result['commit']}, {result['when']}, {result['hours']:.2f} hours, {result['rate']} transactions a second wanted, {result['acknowledged']:,} acknowledged; seed {result['seed']}",
             f"- {len(result['faults'])} faults; Kafka as the journal, one broker; target on a file system of {result['disk_mb']} MB", f"- **{'PASS' if result['passed'] else 'FAIL'}**", "",
             "| what has to hold | | found |", "|---|---|---|"]
    lines += [f"| {c['claim']} | {'yes' if c['held'] else '**no**'} | {c['found']} |" for c in result["claims"]]
    lines += ["", f"![memory and lag over time]({picture})", "", "| fault | times | lag zero again after (median, worst) s |", "|---|---|---|"]
    for name, faults in kinds(result["faults"]).items():
        times = [f["back_s"] for f in faults if f["back_s"] is not None] or [float("nan")]
        lines.append(f"| {name} | {len(faults)} | {statistics.median(times):.1f}, {max(times):.1f} |")
    lines += ["", "The time counts from the end of the fault to the moment when all that was committed by then is on the target, while customers go on. Memory and descriptors are "
              "compared between the first and the last third of the part in which no role was restarted, at calm moments (lag zero, before the next fault)."]
    return "\n".join(lines) + "\n"


def write(result, path):
    """The page at path, its drawing and its data beside it."""
    base = os.path.splitext(path)[0]
    with open(base + ".svg", "w", encoding="utf-8") as f:
        f.write(drawing(result))
    with open(path, "w", encoding="utf-8") as f:
        f.write(markdown(result, os.path.basename(base) + ".svg"))
    with open(base + ".json", "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
