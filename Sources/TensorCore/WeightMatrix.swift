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
    precondition(format.byteCount(of: columns).map { $0 * rows } == bytes.count, "bytes do not match the shape")
    self.rows = rows
    self.columns = columns
    self.format = format
    self.bytes = bytes
  }

  /// y[t, r] = Σ_c x[t, c] · w[r, c]: multiplies in the stored form, on ``Parallel/threadCount`` threads.
  ///
  /// - Parameters:
  ///   - x: `tokens` × `columns` activations, row-major.
  ///   - y: `tokens` × `rows` results, row-major, overwritten.
  public func multiply(_ x: UnsafePointer<Float>, tokens: Int, into y: UnsafeMutablePointer<Float>) {
    // Filled in by Kernels.
  }

  /// Decodes row `row` into `columns` floats (embedding lookup).
  public func decodeRow(_ row: Int, into target: UnsafeMutablePointer<Float>) {
  }
}
