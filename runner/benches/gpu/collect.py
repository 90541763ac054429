"""What run.sh cannot do in a shell: one document a stage, and the loads of the serve stage.

    python3 collect.py libraries                    folders of CUDA's libraries, separated by colons
    python3 collect.py stage NAME WORK_DIR OUT.json one document of all that the stage's steps printed
    python3 collect.py capacity RUN_DIR             requests a second in the steady middle of a saturated run
    python3 collect.py load RATE MAX_SECONDS        how many requests a load takes
    python3 collect.py comparisons DIR…             the rows worth a table, of each DIR/load.json and its comparison

Needs nothing but Python; knows the layout of what run.sh and fidelio write, and no figure's meaning.
"""

import csv
import glob
import gzip
import json
import os
import shutil
import sys
from pathlib import Path

# Too large for a stage's document, and only of use to the step that follows.
LEFT_OUT = {"prompts", "logits"}
METRICS = {"ttft": "TTFT", "itl": "ITL", "e2e": "E2E"}
PERCENTILES = ("p50", "p90", "p99")
# P99 may be judged from 662 requests on; more than 2,000 make bundles large and errors no clearer.
LEAST_REQUESTS, MOST_REQUESTS, USUAL_SECONDS = 700, 2000, 20.0


def libraries() -> str:
    """Where this Python's packages keep CUDA's libraries, then the toolkit's own folders."""
    folders = []
    for entry in sys.path:
        folders += sorted(glob.glob(os.path.join(entry, "nvidia", "*", "lib")))
        folders += glob.glob(os.path.join(entry, "torch", "lib"))
    roots = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    nvcc = shutil.which("nvcc")
    if nvcc:
        roots.append(str(Path(nvcc).resolve().parent.parent))
    roots += sorted(glob.glob("/usr/local/cuda-*"), reverse=True)
    folders += [os.path.join(root, "lib64") for root in roots if root]
    return ":".join(dict.fromkeys(folder for folder in folders if os.path.isdir(folder)))


def read_json(path: Path) -> object:
    """The document in a file, or None: a step that failed may have left half of one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def stage(name: str, work: Path, out: Path) -> None:
    """Steps in the order they ran, the last try of each, and what each printed."""
    steps: dict[str, dict[str, object]] = {}
    folder = work / name
    for line in (folder / "steps.tsv").read_text(encoding="utf-8", errors="replace").split("\n"):
        if not line:
            continue
        step, status, seconds, note = line.split("\t", 3)
        steps[step] = {"name": step, "status": status, "seconds": int(seconds), "note": note}
    results = {step: read_json(folder / f"{step}.json") for step in steps if step not in LEFT_OUT}
    document = {
        "stage": name,
        "steps": list(steps.values()),
        "results": {step: result for step, result in results.items() if result is not None},
    }
    partial = out.with_name(out.name + ".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, out)


def capacity(run: Path) -> float:
    """Requests completed a second between a quarter and three quarters of all completions."""
    path = run / "request_metrics.csv"
    with path.open(newline="", encoding="utf-8") if path.exists() else gzip.open(f"{path}.gz", "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    times = sorted(int(row["completion_time_ns"]) for row in rows)
    first, last = len(times) // 4, len(times) * 3 // 4
    if last <= first or times[last] == times[first]:
        raise SystemExit(f"error: {len(times)} completed requests in `{run}` have no steady middle")
    return (last - first) * 1e9 / (times[last] - times[first])


def load(rate: float, most_seconds: float) -> int:
    """Requests of one run: enough for a P99 where time allows."""
    wanted = min(max(round(rate * USUAL_SECONDS), LEAST_REQUESTS), MOST_REQUESTS)
    return max(min(wanted, round(rate * most_seconds)), 5)


def comparisons(folders: list[Path]) -> dict[str, object]:
    """Errors and noise of the headline metrics at each load."""
    loads = []
    for folder in folders:
        asked = read_json(folder / "load.json")
        if not isinstance(asked, dict):
            continue
        found = sorted(folder.glob("comparisons/*/comparison.json")) + sorted(folder.glob("comparison/comparison.json"))
        document = read_json(found[0]) if found else None
        if isinstance(document, dict):
            asked["verdict"] = document["verdict"]
            asked["notices"] = [notice["text"] for notice in document["notices"]]
            asked["num_requests_compared"] = document["counts"]["num_compared"]
            asked["throughput_rps"] = document["real"][0]["throughput_rps"]
            asked["throughput_tokens_per_s"] = document["real"][0]["throughput_tokens_per_s"]
            asked["repeats"] = len(document["real"])
            asked["rows"] = [
                {"metric": METRICS[entry["metric"]], **row}
                for entry in document["metrics"]
                if entry["metric"] in METRICS
                for row in entry["percentiles"]
                if row["label"] in PERCENTILES
            ]
        loads.append(asked)
    return {"loads": loads}


def main() -> None:
    match sys.argv[1:]:
        case ["libraries"]:
            print(libraries())
        case ["stage", name, work, out]:
            stage(name, Path(work), Path(out))
        case ["capacity", run]:
            print(f"{capacity(Path(run)):.3f}")
        case ["load", rate, seconds]:
            print(load(float(rate), float(seconds)))
        case ["comparisons", *folders]:
            print(json.dumps(comparisons([Path(folder) for folder in folders]), indent=1))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
