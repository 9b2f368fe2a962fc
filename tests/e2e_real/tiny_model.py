"""Writes a llama-architecture GGUF of about 1 MB with random weights: `python tiny_model.py FILE`. Its text is noise; the protocol
around it is llama.cpp's own. Needs `gguf` and `numpy`, which live in the environment of `make e2e-real`."""

from __future__ import annotations

import string
import sys

import gguf  # type: ignore[import-not-found]
import numpy as np  # type: ignore[import-not-found]

WIDTH, HEADS, LAYERS, INNER, CONTEXT = 64, 4, 2, 128, 2048
WORDS = ["one", "two", "three", "red", "green", "blue", "cat", "dog", "sun", "moon", "and", "or", "not", "is", "was", "the", "of", "to"]


def vocabulary() -> tuple[list[str], list[int]]:
    """Pieces and their kinds: 2 unknown, 3 control, 6 byte, 1 normal."""
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    kinds = [2, 3, 3] + [6] * 256
    for piece in dict.fromkeys(["\u2581" + word for word in WORDS] + list("\u2581" + string.printable)):
        pieces.append(piece)
        kinds.append(1)
    return pieces, kinds


def write(path: str) -> None:
    pieces, kinds = vocabulary()
    random = np.random.default_rng(11)
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(INNER)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_vocab_size(len(pieces))
    out.add_file_type(0)
    out.add_tokenizer_model("llama")
    out.add_token_list(pieces)
    out.add_token_types(kinds)
    out.add_token_scores([0.0 if kind != 1 else -float(at) for at, kind in enumerate(kinds)])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)

    def weights(name: str, *shape: int) -> None:
        norm = name.endswith("norm.weight")
        values = np.ones(shape, np.float32) if norm else random.normal(0, 0.4, shape).astype(np.float32)
        if name == "output.weight":
            values[:259] = 0  # printable pieces rather than control and byte tokens
        out.add_tensor(name, values)

    weights("token_embd.weight", len(pieces), WIDTH)
    for layer in range(LAYERS):
        weights(f"blk.{layer}.attn_norm.weight", WIDTH)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights(f"blk.{layer}.{part}.weight", WIDTH, WIDTH)
        weights(f"blk.{layer}.ffn_norm.weight", WIDTH)
        weights(f"blk.{layer}.ffn_gate.weight", INNER, WIDTH)
        weights(f"blk.{layer}.ffn_up.weight", INNER, WIDTH)
        weights(f"blk.{layer}.ffn_down.weight", WIDTH, INNER)
    weights("output_norm.weight", WIDTH)
    weights("output.weight", len(pieces), WIDTH)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    write(sys.argv[1])
