"""The peer of our tokenising: the same tokenizer through the tokenizers package for Python.

    python3 tokenise_python.py TOKENIZER.json.gz PROMPTS.jsonl      (needs tokenizers)

Prints tokens per second over ten passes, one prompt after another, as our benchmark does.
"""

import gzip
import json
import sys
import time

from tokenizers import Tokenizer


def main():
    with gzip.open(sys.argv[1], "rt", encoding="utf-8") as file:
        tokenizer = Tokenizer.from_str(file.read())
    with open(sys.argv[2], encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    best = 0.0
    for _ in range(10):
        start = time.perf_counter()
        tokens = sum(len(tokenizer.encode(text).ids) for text in texts)
        best = max(best, tokens / (time.perf_counter() - start))
    print(f"{tokens} tokens, {best:,.0f} tokens/s at best of ten passes")


if __name__ == "__main__":
    main()
