public import TensorCore

/// How one row of weights is stored; a value, one file a format.
///
/// Encoding is deterministic and sees one row at a time, so rows can be encoded on any number of threads with the same result.
public protocol WeightCodec: Sendable {
  /// The format this codec reads and writes.
  var format: TensorFormat { get }

  /// Whether ``encode(_:importance:into:)`` is available; formats that are only read say false.
  var canEncode: Bool { get }

  /// Encodes one row.
  ///
  /// - Parameters:
  ///   - row: the weights; the length is a multiple of `format.blockSize`, every value finite.
  ///   - importance: one non-negative weight a column (E[x²] of the layer's inputs), or nil when nothing is known.
  ///   - bytes: exactly `format.byteCount(of: row.count)` bytes, all written.
  /// - Precondition: ``canEncode``.
  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer)

  /// Decodes one row; the inverse of ``encode(_:importance:into:)`` up to rounding.
  ///
  /// Bit-identical to the `gguf` Python package's `dequantize` for the GGUF types, to PyTorch for F8.
  func decode(_ bytes: UnsafeRawBufferPointer, into row: UnsafeMutableBufferPointer<Float>)
}

extension WeightCodec {
  /// True: most formats are written as well as read.
  public var canEncode: Bool { true }
}
