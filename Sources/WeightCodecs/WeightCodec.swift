public import TensorCore

/// How one row of weights is stored; a value, one file a format.
///
/// Encoding is deterministic and sees one row at a time, so rows can be encoded on any number of threads with the same result.
public protocol WeightCodec: Sendable {
  /// The format this codec reads and writes.
  var format: TensorFormat { get }

  /// Encodes one row.
  ///
  /// - Parameters:
  ///   - row: the weights; the length is a multiple of `format.blockSize`, every value finite.
  ///   - importance: one non-negative weight a column (E[x²] of the layer's inputs), or nil when nothing is known.
  ///   - bytes: exactly `format.byteCount(of: row.count)` bytes, all written.
  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer)

  /// Decodes one row; the inverse of ``encode(_:importance:into:)`` up to rounding.
  func decode(_ bytes: UnsafeRawBufferPointer, into row: UnsafeMutableBufferPointer<Float>)
}
