"""Writes tiny llama2.c models of each version from the description of the format, and expected.json with the tensors in Hugging
Face's names and layout.

Run: python make_llama2c.py (needs numpy). Layouts: karpathy/llama2.c, export.py and run.c / runq.c.
"""
import json
import os
import struct

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
DIM, HIDDEN, LAYERS, HEADS, KV, VOCAB, SEQ = 8, 12, 2, 2, 1, 10, 6
SIZE = DIM // HEADS
random = np.random.default_rng(7)
expected = {}

LAYER = [  # name here, Hugging Face's, shape
    ("wq", "self_attn.q_proj", (DIM, DIM)), ("wk", "self_attn.k_proj", (KV * SIZE, DIM)),
    ("wv", "self_attn.v_proj", (KV * SIZE, DIM)), ("wo", "self_attn.o_proj", (DIM, DIM)),
    ("w1", "mlp.gate_proj", (HIDDEN, DIM)), ("w2", "mlp.down_proj", (DIM, HIDDEN)), ("w3", "mlp.up_proj", (HIDDEN, DIM)),
    ("att", "input_layernorm", (DIM,)), ("ffn", "post_attention_layernorm", (DIM,)),
]
weights = {name: [random.standard_normal(shape).astype("<f4") for _ in range(LAYERS)] for name, _, shape in LAYER}
embedding = random.standard_normal((VOCAB, DIM)).astype("<f4")
norm = random.standard_normal(DIM).astype("<f4")
output = random.standard_normal((VOCAB, DIM)).astype("<f4")
angles = np.outer(np.arange(SEQ), 1.0 / 10000 ** (np.arange(0, SIZE, 2) / SIZE))
frequencies = np.cos(angles).astype("<f4").tobytes() + np.sin(angles).astype("<f4").tobytes()


def halves(matrix, heads):
    """Rows of interleaved pairs, as llama2.c rotates them, into the two halves that Hugging Face rotates."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, rows // heads // 2, 2, columns).transpose(0, 2, 1, 3).reshape(rows, columns)


def record(file, shared, change=lambda w: w):
    tensors = {"model.embed_tokens.weight": change(embedding)}
    for layer in range(LAYERS):
        for name, theirs, shape in LAYER:
            value = weights[name][layer]
            value = change(value) if value.ndim == 2 else value
            if name in ("wq", "wk"):
                value = halves(value, HEADS if name == "wq" else KV)
            tensors[f"model.layers.{layer}.{theirs}.weight"] = value
    tensors["model.norm.weight"] = norm
    if not shared:
        tensors["lm_head.weight"] = change(output)
    expected[file] = {
        "tensors": [
            {"name": n, "shape": list(t.shape), "format": "f32", "bytes": np.ascontiguousarray(t).tobytes().hex()}
            for n, t in tensors.items()
        ],
        "configuration": {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": DIM, "intermediate_size": HIDDEN,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV, "head_dim": SIZE,
            "vocab_size": VOCAB, "max_position_embeddings": SEQ, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "hidden_act": "silu", "tie_word_embeddings": shared, "bos_token_id": 1, "eos_token_id": 2,
        },
    }


def everything(*names):
    return b"".join(w.tobytes() for name in names for w in weights[name])


def version0(file, shared):
    data = struct.pack("<7i", DIM, HIDDEN, LAYERS, HEADS, KV, VOCAB if shared else -VOCAB, SEQ)
    data += embedding.tobytes() + everything("att", "wq", "wk", "wv", "wo", "ffn", "w1", "w2", "w3")
    data += norm.tobytes() + frequencies + (b"" if shared else output.tobytes())
    write(file, data)
    record(file, shared)


def header(version, shared, *more):
    data = struct.pack("<IiiiiiiiiB", 0x616B3432, version, DIM, HIDDEN, LAYERS, HEADS, KV, VOCAB, SEQ, shared)
    return (data + b"".join(struct.pack("<i", value) for value in more)).ljust(256, b"\0")


def version1(file, shared):
    data = header(1, shared) + everything("att", "ffn") + norm.tobytes() + embedding.tobytes()
    data += everything("wq", "wk", "wv", "wo", "w1", "w2", "w3") + (b"" if shared else output.tobytes())
    write(file, data)
    record(file, shared)


def quantize(matrix, group):
    rows = matrix.reshape(-1, group)
    scale = (np.abs(rows).max(axis=1) / np.float32(127)).astype("<f4")
    return np.round(rows / scale[:, None]).astype(np.int8), scale


def version2(file, shared, group):
    data = header(2, shared, group) + everything("att", "ffn") + norm.tobytes()
    matrices = [embedding] + [w for name in ("wq", "wk", "wv", "wo", "w1", "w2", "w3") for w in weights[name]]
    for matrix in matrices + ([] if shared else [output]):
        codes, scale = quantize(matrix, group)
        data += codes.tobytes() + scale.tobytes()
    write(file, data)

    def decoded(matrix):
        codes, scale = quantize(matrix, group)
        return (codes.astype("<f4") * scale[:, None]).reshape(matrix.shape)

    record(file, shared, decoded)


def write(file, data):
    with open(os.path.join(HERE, file), "wb") as target:
        target.write(data)


version0("v0.bin", True)
version0("v0-unshared.bin", False)
version1("v1.bin", True)
version1("v1-unshared.bin", False)
version2("v2.bin", True, 8)  # 12 columns: groups run over the ends of rows
version2("v2-unshared.bin", False, 4)
with open(os.path.join(HERE, "expected.json"), "w") as target:
    json.dump(expected, target, indent=0)
