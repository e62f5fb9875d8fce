"""Squared errors of two quantized files against the floats that both were made of."""
import numpy as np
from gguf import GGUFReader, dequantize


def squared(source, ours, theirs, quick=False, most=2_000_000):
    """Sums over the matrices that both stored in the same type; of each matrix the rows of its middle, `most` weights or so."""
    files = [{tensor.name: tensor for tensor in GGUFReader(path).tensors} for path in [source, ours, theirs]]
    sums, names = [0.0, 0.0], [name for name, tensor in files[0].items() if len(tensor.shape) > 1]
    for name in names[:: 4 if quick else 1]:
        original, first, second = (file[name] for file in files)
        if first.tensor_type != second.tensor_type or first.tensor_type == original.tensor_type:
            continue
        rows = original.data.shape[0]
        count = max(1, min(rows, most // int(original.shape[0])))
        part = slice((rows - count) // 2, (rows - count) // 2 + count)
        truth = original.data[part].astype(np.float32)
        for side, tensor in enumerate([first, second]):
            values = dequantize(tensor.data[part], tensor.tensor_type).reshape(truth.shape)
            sums[side] += float(np.square(values - truth, dtype=np.float64).sum())
    if not sums[1]:
        raise RuntimeError("no tensor that both stored in the same type")
    return sums
