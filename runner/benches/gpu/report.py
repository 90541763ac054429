"""One Markdown report of what run.sh left in OUT_DIR: ours beside the peer beside the floor, and the bars to reach.

    python3 report.py OUT_DIR [--out FILE] [--print check|bench|serve]      (needs nothing but Python)

Reads check.json, bench.json and serve.json, whichever are there, so documents of several runs can be put into
one folder and reported together. It computes ratios and nothing else; what no document holds is `not measured`.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path

NOTHING = "not measured"
BATCHES = (1, 4, 16, 64, 256)
CONTEXTS = (128, 2048)
PROMPTS = (128, 512, 2048)
MODES = ("dynamic", "static", "graph", "compiled")
SHARES = ("0.1", "0.5", "0.85")

Row = dict[str, object]


class Results:
    """The documents of the stages; every look-up may find nothing."""

    def __init__(self, folder: Path) -> None:
        self.documents = {name: self.read(folder / f"{name}.json") for name in ("check", "bench", "serve")}

    @staticmethod
    def read(path: Path) -> dict:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def of(self, stage: str, step: str) -> dict:
        found = self.documents[stage].get("results", {}).get(step)
        return found if isinstance(found, dict) else {}

    def rows(self, stage: str, step: str) -> list[Row]:
        return [row for row in self.of(stage, step).get("rows", []) if isinstance(row, dict)]

    def device(self) -> dict:
        return self.of("bench", "device") or self.of("check", "device")

    def decode(self, batch: int, context: int, step: str = "decode") -> Row:
        return first(self.rows("bench", step), batch=batch, context=context)

    def prefill(self, tokens: int, step: str = "prefill") -> Row:
        return first(self.rows("bench", step), tokens=tokens)

    def peer(self, kind: str, mode: str, batch: int, context: int) -> Row:
        rows = self.rows("bench", "peer") + self.rows("bench", "peer_compiled")
        return first(rows, kind=kind, mode=mode, batch=batch, context=context)

    def without(self, batch: int, context: int) -> str:
        """The peer's modes that gave no figure, in words."""
        lacking = [mode for mode in MODES if number(self.peer("decode", mode, batch, context), "wall_ms") is None]
        return f"; without {', '.join(lacking)}" if lacking else ""

    def best_peer(self, kind: str, batch: int, context: int) -> tuple[float | None, str]:
        """The peer's fastest mode, by the host's clock."""
        times = [(number(self.peer(kind, mode, batch, context), "wall_ms"), mode) for mode in MODES]
        return min(((time, mode) for time, mode in times if time is not None), default=(None, ""))


def first(rows: list[Row], **wanted: object) -> Row:
    return next((row for row in rows if all(row.get(key) == value for key, value in wanted.items())), {})


def number(row: dict, key: str) -> float | None:
    value = row.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def over(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def shown(value: float | None, text: Callable[[float], str] = lambda value: f"{value:.3f}") -> str:
    return NOTHING if value is None else text(value)


def times(value: float) -> str:
    return f"{value:.2f} ×"


def percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def signed(value: float) -> str:
    return f"{value * 100:+.1f} %"


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + "|".join(["---"] * len(head)) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def verdict(value: float | None, is_reached: bool) -> str:
    return NOTHING if value is None else "**reached**" if is_reached else "not reached"


# --- bars ------------------------------------------------------------------------------------------------------


def bars(results: Results) -> list[str]:
    """Every bar, with the figure it rests on."""
    rows = []

    def bar(what: str, wanted: str, value: float | None, is_reached: Callable[[float], bool], text=times) -> None:
        rows.append([what, wanted, shown(value, text), verdict(value, value is not None and is_reached(value))])

    for context in CONTEXTS:
        row = results.decode(1, context)
        ratio = over(number(row, "device_ms"), number(row, "floor_ms"))
        what = f"decode step over floor, batch 1, context {context}"
        bar(what, "≤ 1.25 ×", ratio, lambda value: value <= 1.25)
        bar(f"{what} (first landing)", "≤ 2 ×", ratio, lambda value: value <= 2.0)
    gap = number(results.of("bench", "timeline"), "gap_share")
    bar("host gap between steps, batch 1", "< 3 %", gap, lambda value: value < 0.03, percent)
    for context in CONTEXTS:
        row = results.decode(256, context)
        share = over(number(row, "floor_ms"), number(row, "device_ms"))
        bar(f"share of floor, batch 256, context {context}", "≥ 60 %", share, lambda value: value >= 0.6, percent)
    row = results.prefill(2048)
    rate = over(number(row, "flops"), number(row, "device_ms"))
    gemm = number(results.device(), "gemm_flops")
    share = over(None if rate is None else rate * 1e3, gemm)
    bar("prefill of 2,048 tokens, share of the matrix rate", "≥ 50 %", share, lambda value: value >= 0.5, percent)
    for batch in BATCHES:
        for context in CONTEXTS:
            best, mode = results.best_peer("decode", batch, context)
            ratio = over(number(results.decode(batch, context), "wall_ms"), best)
            peer = f" ({mode}{results.without(batch, context)})" if mode else ""
            what = f"wall time over the peer's best{peer}, batch {batch}, context {context}"
            bar(what, "≤ 1 ×", ratio, lambda value: value <= 1.0)
    return ["## To reach", "", *table(["bar", "wanted", "measured", ""], rows)]


# --- stages ----------------------------------------------------------------------------------------------------


def steps(results: Results, stage: str) -> list[str]:
    """How each step ended; nothing where all is well."""
    document = results.documents[stage]
    if not document:
        return [f"Stage `{stage}`: {NOTHING}.", ""]
    bad = [step for step in document["steps"] if step["status"] != "ok"]
    return [*(f"- step `{step['name']}`: {step['status']}, {step['note']}" for step in bad), ""] if bad else []


def device(results: Results) -> list[str]:
    found = results.device()
    told = found.get("device")
    name = told.get("name", json.dumps(told)) if isinstance(told, dict) else told or NOTHING
    copied = shown(number(found, "copy_bytes_per_s"), lambda value: f"{value / 1e12:.2f} TB/s")
    rate = shown(number(found, "gemm_flops"), lambda value: f"{value / 1e12:.0f} TFLOP/s")
    return [f"Device: {name}. Copy (read + written): {copied}. bf16 product of 8192³: {rate}.", ""]


def check(results: Results) -> list[str]:
    """Correctness figures."""
    lines = ["## Truth", "", *steps(results, "check")]
    truth = results.of("check", "truth")
    layers = truth.get("layers") or []
    tokens = truth.get("tokens") or {}
    errors = [number(layer, "error") for layer in layers]
    worst = None if not errors or None in errors else max(errors)
    lines += table(
        ["against fidelio's CPU reference", ""],
        [
            ["worst ‖out − ref‖ / ‖ref‖ after any number of layers", shown(worst, lambda value: f"{value:.2e}")],
            ["greedy tokens equal", f"{tokens['equal']} of {tokens['compared']}" if "equal" in tokens else NOTHING],
            ["widest gap where they differ", shown(number(tokens, "worst_gap"), lambda value: f"{value:.3g}")],
        ],
    )
    against = results.of("check", "torch_truth")
    rows = []
    for row in against.get("prompts", []):
        logits, answer = row["logits"], row.get("tokens", {})
        diverged = answer.get("first_divergence")
        gap = "none" if diverged is None else f"token {diverged}, top-2 gap {answer['top2_gap_there']:.3g}"
        rows.append(
            [
                str(row["prompt_tokens"]),
                shown(number(logits, "ours_error"), lambda value: f"{value:.2e}"),
                shown(number(logits, "torch_bf16_error"), lambda value: f"{value:.2e}"),
                shown(number(logits, "error_ratio"), times),
                f"{answer.get('equal_to_float32')} of {answer.get('compared')}" if answer else NOTHING,
                gap if answer else NOTHING,
                shown(number(answer, "worst_deficit_multiple"), times),
                "yes" if row["ok"] else "**no**",
            ]
        )
    head = ["prompt", "ours to float32", "torch bf16 to float32", "ratio", "greedy as float32", "first divergence"]
    lines += ["Against transformers, same weights (float32 is the truth, TF32 off; deficits in bf16's own error):", ""]
    lines += table([*head, "worst deficit", "bf16 explains it"], rows or [[NOTHING] * 8])
    if "ok" in against:
        ratio = shown(number(against, "error_ratio"), times)
        lines += [
            f"All prompts together: {ratio} torch's own bf16 error; {'explained' if against['ok'] else '**not**'}.",
            "",
        ]
    return lines


def peer_cell(row: Row) -> str:
    time = number(row, "wall_ms")
    return shown(time) if time is not None or not row.get("error") else f"{NOTHING} ({row['error']})"


def bench(results: Results) -> list[str]:
    """Ours beside the peer beside the floor."""
    lines = ["## Decode: milliseconds a step", "", *steps(results, "bench")]
    rows = []
    for batch in BATCHES:
        for context in CONTEXTS:
            ours = results.decode(batch, context)
            best, mode = results.best_peer("decode", batch, context)
            rows.append(
                [
                    str(batch),
                    str(context),
                    shown(number(ours, "floor_ms")),
                    shown(number(ours, "device_ms")),
                    shown(over(number(ours, "device_ms"), number(ours, "floor_ms")), times),
                    shown(number(ours, "wall_ms")),
                    str(ours.get("path", NOTHING)),
                    shown(number(results.decode(batch, context, "decode_eager"), "wall_ms")),
                    shown(number(results.decode(batch, context, "decode_plain_launch"), "wall_ms")),
                    *(peer_cell(results.peer("decode", mode_, batch, context)) for mode_ in MODES),
                    shown(over(best, number(ours, "wall_ms")), lambda value, mode=mode: f"{value:.2f} × ({mode})"),
                ]
            )
    ours_head = ["floor", "ours, device", "over floor", "ours, wall", "path", "ours eager", "ours, plain launch"]
    lines += table(["batch", "context", *ours_head, *(f"peer {mode}" for mode in MODES), "peer's best over ours"], rows)
    lines += ["Peer columns and ours without a word are wall time, by the host's clock.", "", "## Prefill and TTFT", ""]
    rows = []
    for tokens in PROMPTS:
        ours, peer = results.prefill(tokens), results.peer("prefill", "dynamic", 1, tokens)
        rate = over(number(ours, "flops"), number(ours, "device_ms"))
        share = over(None if rate is None else rate * 1e3, number(results.device(), "gemm_flops"))
        rows.append(
            [
                str(tokens),
                shown(number(ours, "floor_ms")),
                shown(number(ours, "device_ms")),
                shown(share, percent),
                shown(number(ours, "wall_ms")),
                shown(number(results.prefill(tokens, "prefill_eager"), "wall_ms")),
                peer_cell(peer),
                shown(over(number(peer, "wall_ms"), number(ours, "wall_ms")), times),
            ]
        )
    head = ["prompt", "floor, ms", "ours, device", "of the matrix rate", "ours, TTFT", "ours eager", "peer, TTFT"]
    lines += table([*head, "peer over ours"], rows)
    lines += ["## Saturation: most tokens a second of the batches above", ""]
    rows = []
    for context in CONTEXTS:
        ours = [(batch, number(results.decode(batch, context), "wall_ms")) for batch in BATCHES]
        peer = [(batch, results.best_peer("decode", batch, context)[0]) for batch in BATCHES]
        # A peer that was not measured at our best batch has no saturation to compare.
        most = fastest(ours)
        most_peer = fastest(peer) if dict(peer).get(most[0]) else fastest([])
        rows.append([str(context), saturated(most), saturated(most_peer), shown(over(most[1], most_peer[1]), times)])
    return lines + table(["context", "ours", "peer", "ours over peer"], rows)


def fastest(cells: list[tuple[int, float | None]]) -> tuple[int, float | None]:
    """The batch with most tokens a second, and how many."""
    rates = [(batch * 1e3 / time, batch) for batch, time in cells if time]
    rate, batch = max(rates, default=(None, 0))
    return batch, rate


def saturated(best: tuple[int, float | None]) -> str:
    return shown(best[1], lambda rate: f"{rate:,.0f} (batch {best[0]})")


def serve(results: Results) -> list[str]:
    """What the comparison of real and simulated runs says at each load."""
    lines = ["## Real against simulated", "", *steps(results, "serve")]
    capacity = shown(number(results.of("serve", "saturate"), "capacity_rps"), lambda value: f"{value:.2f} requests/s")
    lines += [f"Capacity, the steady middle of a run with all requests at once: {capacity}.", ""]
    model = results.of("serve", "profile").get("results", {})
    if model:
        lines += ["Profile: `" + json.dumps(model, sort_keys=True) + "`", ""]
    loads = results.of("serve", "loads").get("loads", [])
    rows = []
    for share in SHARES:
        load = next((load for load in loads if str(load.get("share")) == share), {})
        label = f"{share} ({load['rate_rps']:.1f}/s, {load['num_requests']})" if load else share
        if not load.get("rows"):
            rows.append([label, *[NOTHING] * 7])
        for row in load.get("rows", []):
            rows.append(
                [
                    label,
                    f"{row['metric']} {row['label'].upper()}",
                    *(shown(over(number(row, side), 1e6)) for side in ("real_ns", "sim_ns")),
                    shown(number(row, "rel_error"), signed),
                    shown(number(row, "noise_rel"), percent),
                    shown(number(row, "noise_multiple"), times),
                    row["verdict"].replace("_", " "),
                ]
            )
        if load.get("verdict"):
            lines.append(f"- {share}: {load['verdict']['sentence']}")
            lines += [f"  - {notice}" for notice in load.get("notices", [])]
    head = ["load (rate, requests)", "metric", "real, ms", "simulated, ms", "error", "noise", "error over noise"]
    return [*lines, "", *table([*head, "verdict"], rows)]


STAGES: dict[str, Callable[[Results], list[str]]] = {"check": check, "bench": bench, "serve": serve}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="OUT_DIR")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the report goes instead of stdout")
    parser.add_argument("--print", choices=STAGES, dest="stage", help="print this stage's part as well")
    arguments = parser.parse_args()
    results = Results(arguments.folder)
    top = ["# The GPU engine, measured", "", *device(results), *bars(results)]
    parts = {name: write(results) for name, write in STAGES.items()}
    text = "\n".join([*top, *(line for part in parts.values() for line in part)]).rstrip() + "\n"
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    if arguments.stage:
        part = parts[arguments.stage]
        print("\n".join([*device(results), *part, *(bars(results) if arguments.stage == "bench" else [])]))


if __name__ == "__main__":
    main()
