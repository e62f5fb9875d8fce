internal import ModelFiles
internal import TensorCore
internal import WeightCodecs

/// How far a stage's tensor is from the baseline's.
enum TensorError {
  /// ‖w − w₀‖² / ‖w₀‖², in f64; nil when the shapes differ, the tensors are no weights, or the original is all zeros.
  static func relativeSquaredError(of tensor: StoredTensor, from original: StoredTensor) throws -> Double? {
    guard tensor.shape == original.shape, tensor.format.isWeight, original.format.isWeight else { return nil }
    let sums = try TensorCoding.squaredError(
      of: try tensor.bytes.load(), tensor.format, against: try original.bytes.load(), original.format,
      rows: tensor.rowCount, columns: tensor.rowLength)
    return sums.signal > 0 ? sums.relative : nil
  }
}
