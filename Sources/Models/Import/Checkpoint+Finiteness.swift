import ModelFiles
import TensorCore
import WeightCodecs

extension Checkpoint {
  /// The first weight that is NaN or infinite, in canonical order; nil when all are finite. Rows are checked in
  /// parallel; tensors that hold no weights are passed over.
  ///
  /// - Throws: what loading a tensor throws.
  public func firstNonFinite() throws -> (tensor: String, row: Int, column: Int)? {
    for tensor in tensors where tensor.format.isWeight && tensor.elementCount > 0 {
      let found = try TensorCoding.firstNonFinite(
        tensor.bytes.load(), format: tensor.format, rows: tensor.rowCount, columns: tensor.rowLength)
      if let found { return (tensor.name, found.row, found.column) }
    }
    return nil
  }
}
