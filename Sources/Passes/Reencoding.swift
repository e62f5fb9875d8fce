internal import ModelFiles
public import Models
internal import TensorCore
internal import WeightCodecs

extension PassPlan {
  /// `checkpoint` with every tensor in its planned format; encoded when read, so memory holds one tensor at a time.
  public func reencode(_ checkpoint: Checkpoint) -> Checkpoint {
    var result = checkpoint
    result.tensors = zip(checkpoint.tensors, entries).map { tensor, entry in
      var result = entry.to == tensor.format ? tensor : PassPlan.reencode(tensor, to: entry.to)
      if entry.isPruned, result.keptLimit == nil { result.keptLimit = result.elementCount }
      return result
    }
    result.notes += notes
    return result
  }

  /// One tensor in another format.
  private static func reencode(_ tensor: StoredTensor, to format: TensorFormat) -> StoredTensor {
    let (rows, columns, source, bytes) = (tensor.rowCount, tensor.rowLength, tensor.format, tensor.bytes)
    let count = format.byteCount(rows: rows, columns: columns) ?? 0
    var result = tensor
    result.format = format
    result.bytes = TensorBytes(
      count: count,
      make: {
        let region = try bytes.load()
        defer { region.letGo() }
        return try TensorCoding.reencode(region, from: source, to: format, rows: rows, columns: columns)
      },
      pieces: {
        let region = try bytes.load()
        defer { region.letGo() }
        try TensorCoding.reencode(region, from: source, to: format, rows: rows, columns: columns, pieces: $0)
      })
    return result
  }
}
