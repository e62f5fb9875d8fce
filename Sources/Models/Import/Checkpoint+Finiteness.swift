import ModelFiles
import TensorCore
import WeightCodecs

extension Checkpoint {
  /// The first weight that is NaN or infinite, in canonical order; nil when all are finite. Rows are checked in
  /// parallel; tensors that hold no weights are passed over.
  ///
  /// - Parameter progress: is told the fraction that is done, before each tensor.
  /// - Throws: what loading a tensor throws.
  public func firstNonFinite(
    progress: (Double) -> Void = { _ in }
  ) throws -> (tensor: String, row: Int, column: Int)? {
    for (index, tensor) in tensors.enumerated() where tensor.format.isWeight && tensor.elementCount > 0 {
      progress(Double(index) / Double(tensors.count))
      let found = try TensorCoding.firstNonFinite(
        tensor.bytes.load(), format: tensor.format, rows: tensor.rowCount, columns: tensor.rowLength)
      if let found { return (tensor.name, found.row, found.column) }
    }
    return nil
  }
}
