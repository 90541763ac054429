"""A random Qwen3 in Hugging Face layout (config.json, model.safetensors), in bf16, without a network.

    python3 make_model.py DIR [--shape 0.6b|tiny] [--seed N]      (needs torch and safetensors)

Drawn on the GPU where there is one, in seconds. The same seed gives the same values on the same kind of
device only: torch draws other numbers on a GPU than on a processor. It knows no engine and measures nothing.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

# Rows of the vocabulary above the tokenizer's are padding: zero, so no engine can ever choose them.
NUM_TOKENS = 151_669
# How much rows of the embedding differ in length: a little widens the gap between the two best logits.
ROW_SPREAD = 0.3
# Weights of the norms of queries and keys; logits of attention vary by its square. At 1.5 a model of 28 layers is
# chaotic: bf16 alone moves its logits by a quarter after 300 tokens, and by 4 % at 1.
ATTENTION_SHARPNESS = 1.0

COMMON = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": 151_936,
    "head_dim": 128,
    "hidden_act": "silu",
    "max_position_embeddings": 40_960,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "tie_word_embeddings": True,
    "bos_token_id": 151_643,
    "eos_token_id": 151_645,
    "torch_dtype": "bfloat16",
    "use_cache": True,
}
SHAPES = {
    "0.6b": {
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
    },
    "tiny": {
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}


def tensors(config: dict, device: str, seed: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor by its name in Hugging Face's files; the tied head is the embedding and not listed."""
    random = torch.Generator(device=device).manual_seed(seed)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    query = config["num_attention_heads"] * config["head_dim"]
    key_value = config["num_key_value_heads"] * config["head_dim"]

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, device=device)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        # Outputs as large as inputs: layers, not the last token's own embedding, decide the next token.
        return normal(rows, columns) * columns**-0.5

    def norm(width: int, scale: float = 1.0) -> torch.Tensor:
        return scale * (1.0 + 0.1 * normal(width))

    embedding = matrix(config["vocab_size"], hidden) * torch.exp(ROW_SPREAD * normal(config["vocab_size"], 1))
    embedding[NUM_TOKENS:] = 0.0
    yield "model.embed_tokens.weight", embedding
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        yield f"{layer}.input_layernorm.weight", norm(hidden)
        yield f"{layer}.self_attn.q_proj.weight", matrix(query, hidden)
        yield f"{layer}.self_attn.k_proj.weight", matrix(key_value, hidden)
        yield f"{layer}.self_attn.v_proj.weight", matrix(key_value, hidden)
        yield f"{layer}.self_attn.o_proj.weight", matrix(hidden, query)
        yield f"{layer}.self_attn.q_norm.weight", norm(config["head_dim"], ATTENTION_SHARPNESS)
        yield f"{layer}.self_attn.k_norm.weight", norm(config["head_dim"], ATTENTION_SHARPNESS)
        yield f"{layer}.post_attention_layernorm.weight", norm(hidden)
        yield f"{layer}.mlp.gate_proj.weight", matrix(inner, hidden)
        yield f"{layer}.mlp.up_proj.weight", matrix(inner, hidden)
        yield f"{layer}.mlp.down_proj.weight", matrix(hidden, inner)
    yield "model.norm.weight", norm(hidden, 3.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="0.6b")
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()

    started = time.perf_counter()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = COMMON | SHAPES[arguments.shape]
    drawn = {
        name: tensor.to(torch.bfloat16).cpu().contiguous() for name, tensor in tensors(config, device, arguments.seed)
    }
    arguments.directory.mkdir(parents=True, exist_ok=True)
    # The configuration is written last: a directory that has one is whole.
    partial = arguments.directory / "model.safetensors.partial"
    save_file(drawn, partial, metadata={"format": "pt"})
    os.replace(partial, arguments.directory / "model.safetensors")
    (arguments.directory / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    count = sum(tensor.numel() for tensor in drawn.values())
    report = {
        "directory": str(arguments.directory),
        "shape": arguments.shape,
        "seed": arguments.seed,
        "drawn_on": device,
        "parameters": count,
        "bytes": 2 * count,
        "seconds": round(time.perf_counter() - started, 2),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
