internal import ModelFiles
internal import Models
internal import Reporting
internal import TensorCore

extension SparsityReport {
  /// The sparse matrices of an artifact; nil when it has none.
  init?(_ shipped: Checkpoint) throws {
    guard let manifest = shipped.source.manifest else { return nil }
    let packed = Dictionary(
      manifest.tensors.map { ($0.name, $0.part.packedCount) }, uniquingKeysWith: { first, _ in first })
    var (sum, matrices, bytes) = (SparseEntropy(), 0, 0)
    let stored = try ModelFiles.open(shipped.source.path)
    for tensor in stored.tensors {
      guard let entropy = try SparseEntropy(blob: tensor) else { continue }
      sum += entropy
      matrices += 1
      bytes += packed[tensor.name] ?? 0
    }
    guard matrices > 0 else { return nil }
    self.init(
      matrices: matrices, weights: sum.weights, kept: sum.kept, packedBytes: bytes, maskBytes: sum.maskBytes,
      valueBytes: sum.valueBytes)
  }
}
