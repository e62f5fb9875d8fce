/// A weight matrix in its stored format, ready to be multiplied.
public struct WeightMatrix: Sendable {
  /// The number of outputs.
  public let rows: Int
  /// The number of inputs: the length of one row.
  public let columns: Int
  /// How the rows are stored.
  public let format: TensorFormat
  /// The stored rows.
  public let bytes: ByteRegion

  /// A matrix over stored rows.
  ///
  /// - Precondition: `bytes` holds `rows` rows of `columns` weights in `format`.
  public init(rows: Int, columns: Int, format: TensorFormat, bytes: ByteRegion) {
    precondition(
      format.byteCount(of: columns).map { $0 * rows } == bytes.count, "bytes do not match the shape")
    self.rows = rows
    self.columns = columns
    self.format = format
    self.bytes = bytes
  }

  /// y[t, r] = Σ_c x[t, c] · w[r, c]: multiplies in the stored form, on ``Parallel/threadCount`` threads.
  ///
  /// Block formats meet activations quantized to 8 bits (one scale for each 32, `max / 127`), in exact integer
  /// sums; float formats multiply in single precision. The result does not depend on the number of threads. A
  /// NaN or an infinity in `x` makes its token's results NaN or infinite.
  ///
  /// - Parameters:
  ///   - x: `tokens` × `columns` activations, row-major.
  ///   - y: `tokens` × `rows` results, row-major, overwritten.
  /// - Precondition: the format holds weights (``TensorFormat/isWeight``).
  public func multiply(_ x: UnsafePointer<Float>, tokens: Int, into y: UnsafeMutablePointer<Float>) {
    guard tokens > 0, rows > 0 else { return }
    guard columns > 0 else { return y.update(repeating: 0, count: tokens * rows) }
    let product = MatrixProduct(weights: self, x: x, tokens: tokens, y: y)
    if format.isQuantized { product.multiplyBlocks() } else { product.multiplyFloats() }
  }

  /// Decodes row `row` into `columns` floats (embedding lookup).
  ///
  /// - Precondition: `row` is one of the rows, and the format holds weights.
  public func decodeRow(_ row: Int, into target: UnsafeMutablePointer<Float>) {
    precondition(row >= 0 && row < rows, "no such row")
    Kernels.decode(bytes.base + row * rowBytes, as: format, into: target, count: columns)
  }

  /// The bytes that one row takes.
  public var rowBytes: Int { columns / format.blockSize * format.bytesPerBlock }
}
