"""Holds our engine's logits and greedy tokens against transformers, in bf16 and in 32-bit floats.

    python3 torch_truth.py --write-prompts PROMPTS.json                (needs nothing)
    python3 torch_truth.py DIR --prompts PROMPTS.json --ours OURS.json (needs torch and transformers)

OURS is what `gpu-bench logits` printed for the same prompts: logits after each prompt's last token, and greedy
tokens. The truth is the same bf16 weights computed in 32-bit floats, TF32 off. Logits: ‖out − truth‖ / ‖truth‖
for ours and for torch's own bf16, which is what a careful bf16 engine may err. Tokens: our continuation is fed
to torch as it is, so every position is judged on the same prefix, after a first divergence too; where torch
prefers another token, our token's deficit is held against how far bf16 itself moves logits there.
Exit code 1: further from the truth than bf16 explains.
"""

import argparse
import json
import random
import sys
from pathlib import Path

PROMPT_LENGTHS = (1, 7, 64, 200, 1000)
# Ids below the special ones.
PROMPT_IDS = 151_000
# Rows above the tokenizer's vocabulary are padding, which our engine never samples.
NUM_TOKENS = 151_669
# Two bf16 computations of one thing err differently: torch's own decode and prefill by 15 % of their error on one
# prompt. So one prompt may be further from the truth than torch is, but all of them together hardly.
ERROR_RATIO_ONE = 1.5
ERROR_RATIO_ALL = 1.15
# A token may differ where the truth prefers another by less than this many times bf16's error of one logit.
DEFICIT_MULTIPLE = 6.0


def write_prompts(path: Path, seed: int) -> None:
    """Random prompts, the same for a seed everywhere."""
    source = random.Random(seed)
    prompts = [[source.randrange(PROMPT_IDS) for _ in range(length)] for length in PROMPT_LENGTHS]
    path.write_text(json.dumps(prompts), encoding="utf-8")


def references(directory: Path, prompts: list[list[int]], ours: list[dict], precision: str) -> list:
    """For each prompt, logits after it and after each of our tokens but the last: (tokens, vocabulary), on the host."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Fused attention may round 32-bit floats on the matrix units; the plain one does not.
    attention = "eager" if precision == "float32" else "sdpa"
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=getattr(torch, precision), attn_implementation=attention, local_files_only=True
    )
    model = model.to(device).eval()
    logits = []
    with torch.no_grad():
        for prompt, answer in zip(prompts, ours, strict=True):
            tokens = torch.tensor([prompt + answer["tokens"][:-1]], device=device)
            keep = max(len(answer["tokens"]), 1)
            out = model(input_ids=tokens, use_cache=False, logits_to_keep=keep).logits[0]
            logits.append(out.float().cpu())
    return logits


def judge_logits(ours, bf16, truth) -> dict[str, object]:
    """Relative distance from the truth, of ours and of torch's bf16, and between the two."""
    size = truth.norm()
    mine, theirs = float((ours - truth).norm() / size), float((bf16 - truth).norm() / size)
    return {
        "ours_error": mine,
        "torch_bf16_error": theirs,
        "ours_to_torch_bf16": float((ours - bf16).norm() / size),
        "error_ratio": mine / theirs if theirs > 0 else None,
        # `not >` would let NaN pass.
        "ok": mine <= ERROR_RATIO_ONE * theirs,
    }


def judge_tokens(tokens: list[int], bf16, truth) -> dict[str, object]:
    """Where our greedy tokens leave the truth's, and whether bf16 explains it."""
    noise = (bf16 - truth).pow(2).mean(dim=-1).sqrt()
    top = truth.topk(2, dim=-1).values
    chosen = truth.gather(-1, truth.new_tensor(tokens).long()[:, None])[:, 0]
    deficit = top[:, 0] - chosen
    differs = [index for index, value in enumerate(deficit.tolist()) if value > 0]
    differs_bf16 = [index for index, best in enumerate(bf16.argmax(-1).tolist()) if best != tokens[index]]
    multiples = (deficit / noise.clamp_min(1e-12)).tolist()
    first = differs[0] if differs else None
    report: dict[str, object] = {
        "compared": len(tokens),
        "equal_to_float32": len(tokens) - len(differs),
        "equal_to_torch_bf16": len(tokens) - len(differs_bf16),
        "first_divergence": first,
        "first_divergence_from_torch_bf16": differs_bf16[0] if differs_bf16 else None,
        "torch_bf16_differs_from_float32": int((bf16.argmax(-1) != truth.argmax(-1)).sum()),
        "worst_deficit_multiple": max(multiples),
        "median_gap_multiple": float(((top[:, 0] - top[:, 1]) / noise.clamp_min(1e-12)).median()),
        "ok": max(multiples) <= DEFICIT_MULTIPLE,
    }
    if first is not None:
        report |= {
            "top2_gap_there": float(top[first, 0] - top[first, 1]),
            "deficit_there": float(deficit[first]),
            "bf16_noise_there": float(noise[first]),
        }
    return report


def judge(directory: Path, prompts: list[list[int]], ours: list[dict]) -> dict[str, object]:
    """Every prompt, and whether all is explained."""
    import torch

    if len(ours) != len(prompts):
        raise SystemExit(f"error: {len(prompts)} prompts, {len(ours)} answers")
    truths = references(directory, prompts, ours, "float32")
    bf16s = references(directory, prompts, ours, "bfloat16")
    rows = []
    for prompt, answer, truth, bf16 in zip(prompts, ours, truths, bf16s, strict=True):
        logits = torch.tensor(answer["logits"], dtype=torch.float32)
        width = min(NUM_TOKENS, logits.numel(), truth.shape[-1])
        row: dict[str, object] = {"prompt_tokens": len(prompt), "logits_compared": width}
        row["logits"] = judge_logits(logits[:width], bf16[0, :width], truth[0, :width])
        if answer["tokens"]:
            row["tokens"] = judge_tokens(answer["tokens"], bf16[:, :width], truth[:, :width])
        row["ok"] = row["logits"]["ok"] and row.get("tokens", {"ok": True})["ok"]
        rows.append(row)
    mine, theirs = (sum(row["logits"][side] ** 2 for row in rows) ** 0.5 for side in ("ours_error", "torch_bf16_error"))
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "processor",
        "error_ratio": mine / theirs if theirs > 0 else None,
        "error_ratio_allowed": ERROR_RATIO_ALL,
        "deficit_multiple_allowed": DEFICIT_MULTIPLE,
        "prompts": rows,
        "ok": mine <= ERROR_RATIO_ALL * theirs and all(row["ok"] for row in rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, nargs="?", metavar="DIR", help="the model")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="the prompts ours answered")
    parser.add_argument("--ours", type=Path, metavar="FILE", help="what `gpu-bench logits` printed")
    parser.add_argument("--write-prompts", type=Path, metavar="FILE", help="write prompts and end")
    parser.add_argument("--seed", type=int, default=7, help="of the prompts")
    arguments = parser.parse_args()
    if arguments.write_prompts:
        write_prompts(arguments.write_prompts, arguments.seed)
        return
    if not (arguments.directory and arguments.prompts and arguments.ours):
        parser.error("DIR, --prompts and --ours go together")
    prompts = json.loads(arguments.prompts.read_text(encoding="utf-8"))
    ours = json.loads(arguments.ours.read_text(encoding="utf-8"))["prompts"]
    report = judge(arguments.directory, prompts, ours)
    print(json.dumps(report, indent=1))
    if not report["ok"]:
        sys.exit("error: further from the truth than bf16 explains")


if __name__ == "__main__":
    main()
