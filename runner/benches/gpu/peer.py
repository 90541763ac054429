"""The peer of our engine: Hugging Face transformers on the same weights, timed cell by cell within a budget.

    python3 peer.py DIR [--modes dynamic,static,graph,compiled] [--budget-s 200] [--out FILE]

TTFT of single prompts, and milliseconds a decode step by batch and context, as JSON. Modes:

    dynamic   the library as it comes: DynamicCache, every kernel launched by Python
    static    StaticCache, every kernel launched by Python
    graph     StaticCache, the same step captured in one CUDA graph by hand
    compiled  StaticCache and torch.compile(mode="reduce-overhead")

Attention is `sdpa`. A step takes one token a sequence and gives the next by argmax, which stays on the device:
the peer never waits for its tokens, which is in its favour. Caches are filled with random keys and values;
times do not depend on them. Cells come most important first, and after each the file is written anew, so
that a run that is stopped keeps what it has. It knows nothing of our engine.
"""

import argparse
import gc
import itertools
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache, StaticCache

MODES = ("dynamic", "static", "graph", "compiled")
REPEATS = 3
# Of the free memory, the share that keys and values of a cell may take: a step copies a layer or repeats its heads.
KV_SHARE = 0.7


class OutOfTime(Exception):
    """The budget ended in the middle of a cell."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raises OutOfTime in the middle of what runs; a compilation knows no limit of its own."""

    def ring(_signal: int, _frame: object) -> None:
        raise OutOfTime

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)


class Clock:
    """Marks on the device's own timeline; on a processor the host's clock stands in."""

    def __init__(self, device: str) -> None:
        self.is_cuda = device == "cuda"

    def mark(self) -> object:
        if not self.is_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def wait(self) -> None:
        if self.is_cuda:
            torch.cuda.synchronize()

    def milliseconds(self, start: object, end: object) -> float:
        return start.elapsed_time(end) if self.is_cuda else (end - start) * 1e3


class Peer:
    """The model, and what a step is in each mode."""

    def __init__(self, directory: Path, device: str) -> None:
        self.device = device
        self.clock = Clock(device)
        self.model = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.bfloat16, attn_implementation="sdpa", local_files_only=True
        )
        self.model = self.model.to(device).eval()
        self.config = self.model.config
        self.compiled = torch.compile(self.model, mode="reduce-overhead")

    def tokens(self, batch: int, length: int) -> torch.Tensor:
        return torch.randint(0, 151_000, (batch, length), device=self.device)

    def kv_bytes(self, batch: int, length: int) -> int:
        config = self.config
        return 4 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * batch * length

    def cache(self, is_static: bool, batch: int, context: int, room: int) -> DynamicCache | StaticCache:
        """A cache in which `context` tokens of every sequence are already there."""
        config = self.config
        cache = StaticCache(config=config, max_cache_len=context + room) if is_static else DynamicCache(config=config)
        shape = (batch, config.num_key_value_heads, context, config.head_dim)
        for layer in range(config.num_hidden_layers):
            keys, values = (torch.randn(shape, device=self.device, dtype=torch.bfloat16) for _ in range(2))
            cache.update(keys, values, layer)
        return cache

    def forward(self, model: Callable, tokens: torch.Tensor, cache: DynamicCache | StaticCache) -> torch.Tensor:
        """The next token of every sequence."""
        logits = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        return logits[:, -1].argmax(-1, keepdim=True)

    def stepper(self, mode: str, batch: int, cache: DynamicCache | StaticCache) -> Callable[[], None]:
        """One decode step; each call continues where the one before ended."""
        tokens = self.tokens(batch, 1)
        model = self.compiled if mode == "compiled" else self.model

        def step() -> None:
            nonlocal tokens
            if mode == "compiled" and self.clock.is_cuda:
                torch.compiler.cudagraph_mark_step_begin()
            # Argmax is outside of what is compiled: its result outlives the graph's next replay.
            tokens = self.forward(model, tokens, cache)

        return step

    def captured(self, batch: int, cache: StaticCache) -> Callable[[], None]:
        """The step of mode `static` as one CUDA graph: positions advance on the device."""
        tokens = self.tokens(batch, 1)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                tokens.copy_(self.forward(self.model, tokens, cache))
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            tokens.copy_(self.forward(self.model, tokens, cache))
        return graph.replay

    def decode(self, mode: str, batch: int, context: int, steps: int) -> dict[str, object]:
        """Median time of a step, by the device's events and by the host's clock."""
        warmup = 5
        cache = self.cache(mode != "dynamic", batch, context, 3 + warmup + REPEATS * steps)
        step = self.captured(batch, cache) if mode == "graph" else self.stepper(mode, batch, cache)
        for _ in range(warmup):
            step()
        device_ms, wall_ms = [], []
        for _ in range(REPEATS):
            self.clock.wait()
            begun = time.perf_counter()
            marks = [self.clock.mark()]
            for _ in range(steps):
                step()
                marks.append(self.clock.mark())
            self.clock.wait()
            wall_ms.append((time.perf_counter() - begun) * 1e3 / steps)
            device_ms += [self.clock.milliseconds(*pair) for pair in itertools.pairwise(marks)]
        return {
            "device_ms": statistics.median(device_ms),
            "wall_ms": statistics.median(wall_ms),
            "steps": REPEATS * steps,
        }

    def prefill(self, tokens: int) -> dict[str, object]:
        """Median time from a prompt on the host to its first token on the host."""
        prompt = self.tokens(1, tokens).cpu()
        device_ms, wall_ms = [], []
        for repeat in range(3 + 3 * REPEATS):
            self.clock.wait()
            begun = time.perf_counter()
            start = self.clock.mark()
            token = self.forward(self.model, prompt.to(self.device), DynamicCache(config=self.config))
            end = self.clock.mark()
            token.item()
            wall = (time.perf_counter() - begun) * 1e3
            if repeat >= 3:
                wall_ms.append(wall)
                device_ms.append(self.clock.milliseconds(start, end))
        return {
            "device_ms": statistics.median(device_ms),
            "wall_ms": statistics.median(wall_ms),
            "steps": len(wall_ms),
        }


def cells(modes: list[str], batches: list[int], contexts: list[int], prompts: list[int]) -> Iterator[dict[str, object]]:
    """What is measured, most important first: cheap modes at all batches before the first compilation."""
    if "dynamic" in modes:
        for tokens in prompts:
            yield {"kind": "prefill", "mode": "dynamic", "batch": 1, "context": tokens}
    cheap = [mode for mode in modes if mode != "compiled"]
    for group in (cheap, [mode for mode in modes if mode == "compiled"]):
        for batch in batches:
            for context in contexts:
                for mode in group:
                    yield {"kind": "decode", "mode": mode, "batch": batch, "context": context}


def measure(peer: Peer, cell: dict[str, object], steps: int) -> dict[str, object]:
    """The cell's figures, or why there are none."""
    if cell["kind"] == "prefill":
        return peer.prefill(cell["context"])
    if peer.clock.is_cuda:
        needed = peer.kv_bytes(cell["batch"], cell["context"] + 3 * steps)
        free, _ = torch.cuda.mem_get_info()
        if needed > KV_SHARE * free:
            return {"error": f"keys and values take {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"}
    elif cell["mode"] == "graph":
        return {"error": "no CUDA device"}
    return peer.decode(cell["mode"], cell["batch"], cell["context"], steps)


def release(device: str) -> None:
    """Forgets a cell's graphs, compiled code and memory."""
    torch.compiler.reset()
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()


def process_age_s() -> float:
    """Seconds since this process began: importing torch can take a good part of a budget."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    # A kernel that counts from elsewhere is not believed.
    return age if 0.0 <= age <= 300.0 else 0.0


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--modes", default=",".join(MODES), help="of " + ", ".join(MODES))
    parser.add_argument("--batches", type=numbers, default=[1, 4, 16, 64, 256])
    parser.add_argument("--contexts", type=numbers, default=[128, 2048])
    parser.add_argument("--prompts", type=numbers, default=[128, 512, 2048])
    parser.add_argument("--steps", type=int, default=20, help="steps a repeat")
    parser.add_argument("--budget-s", type=float, default=200.0, help="seconds for everything, imports included")
    parser.add_argument("--out", type=Path, help="where the JSON goes instead of stdout")
    arguments = parser.parse_args()
    modes = arguments.modes.split(",")
    if unknown := set(modes) - set(MODES):
        parser.error(f"no such mode: {', '.join(sorted(unknown))}")

    begun = time.monotonic() - process_age_s()
    os.environ["HF_HUB_OFFLINE"] = "1"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    peer = Peer(arguments.directory, device)
    rows: list[dict[str, object]] = []
    document = {
        "engine": "transformers",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "cuda": torch.version.cuda},
        "device": torch.cuda.get_device_name() if device == "cuda" else "processor",
        "attention": "sdpa",
        "rows": rows,
    }

    def save() -> None:
        text = json.dumps(document, indent=1)
        if arguments.out is None:
            return
        partial = arguments.out.with_name(arguments.out.name + ".partial")
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, arguments.out)

    for cell in cells(modes, arguments.batches, arguments.contexts, arguments.prompts):
        left = arguments.budget_s - (time.monotonic() - begun)
        started = time.monotonic()
        try:
            if left <= 0:
                raise OutOfTime
            with alarm(left):
                figures = measure(peer, cell, arguments.steps)
        except OutOfTime:
            figures = {"error": "out of time"}
        except Exception as error:
            # A cell that fails is a result, and the others go on. A compiler may wrap the alarm in an error of its own.
            is_late = time.monotonic() - begun >= arguments.budget_s
            words = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            figures = {"error": "out of time" if is_late else words}
        row = {"engine": "transformers", **cell, **figures, "cell_s": round(time.monotonic() - started, 2)}
        rows.append(row)
        save()
        if left > 0:
            shown = row.get("error") or f"{row['device_ms']:.3f} ms device, {row['wall_ms']:.3f} ms wall"
            print(f"{cell['kind']} {cell['mode']} {cell['batch']} × {cell['context']}: {shown}", file=sys.stderr)
        release(device)
    if arguments.out is None:
        print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
