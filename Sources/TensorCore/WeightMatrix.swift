/// A weight matrix in its stored format, ready to be multiplied.
///
/// Formats that no kernel knows (`int4.g64`, `int8.channel`, `uniform8` …) are rewritten when the matrix is made, into
/// blocks of 32 that stand for exactly the same numbers.
public struct WeightMatrix: Sendable {
  /// The number of outputs.
  public let rows: Int
  /// The number of inputs: the length of one row.
  public let columns: Int
  /// How the rows are stored.
  public let format: TensorFormat
  /// The rows as they are multiplied: one part of a product.
  let parts: [MatrixProduct.Part]

  var form: RunningForm { parts[0].form }

  /// The bytes that a product reads.
  public var byteCount: Int { form.bytes.count }

  /// A matrix over stored rows.
  ///
  /// - Parameter roundsActivations: whether products of four or more tokens with `bf16` rows may round activations to
  ///   bfloat16, too; they do where the processor multiplies such pairs, which is twice as fast. Fewer tokens meet `bf16` and `f16`
  ///   rows in half precision then, times a power of two: they stay in the first-level cache.
  /// - Precondition: `bytes` holds `rows` rows of `columns` weights in `format`, and the trailer if it has one.
  public init(
    rows: Int, columns: Int, format: TensorFormat, bytes: ByteRegion, roundsActivations: Bool = false
  ) {
    precondition(
      format.byteCount(rows: rows, columns: columns) == bytes.count, "bytes do not match the shape")
    self.rows = rows
    self.columns = columns
    self.format = format
    parts = [
      MatrixProduct.Part(
        RunningForm(rows: rows, columns: columns, format: format, bytes: bytes), rows: rows,
        roundsActivations: roundsActivations)
    ]
  }

  private init(_ other: WeightMatrix, part: MatrixProduct.Part) {
    (rows, columns, format, parts) = (other.rows, other.columns, other.format, [part])
  }

  /// Whether rows are kept without their zeros: q8_0 blocks (or what is rewritten into them) of which at most two of four neighbours
  /// are not zero, where kernels of such rows are faster.
  public var leavesZerosOut: Bool { form.isHalved }

  /// The same matrix with its zeros stored, as a dense one is: what ``leavesZerosOut`` is compared with.
  public var withWholeRows: WeightMatrix {
    guard let whole = form.withWholeRows(rows) else { return self }
    return WeightMatrix(
      self, part: MatrixProduct.Part(whole, rows: rows, roundsActivations: parts[0].roundsActivations))
  }

  /// Whether batches of activations are rounded to bfloat16 here, as the rows are.
  package var roundsActivations: Bool { parts[0].roundsActivations && StridedProduct.canRound }

  /// y[t, r] = Σ_c x[t, c] · w[r, c]: multiplies in the stored form, on ``Parallel/threadCount`` threads.
  ///
  /// Block formats meet activations quantized to 8 bits (one scale for each 32, `max / 127`), in exact integer
  /// sums; those of `w8a8` have one scale for the whole token; float formats multiply in single precision. Scales of
  /// columns are multiplied into the activations before they are quantized, scales of rows into the results. The result
  /// does not depend on the number of threads. A NaN or an infinity in `x` makes its token's results NaN or infinite.
  ///
  /// - Parameters:
  ///   - x: `tokens` × `columns` activations, row-major.
  ///   - y: `tokens` × `rows` results, row-major, overwritten.
  ///   - scratch: memory to reuse between calls of one caller.
  public func multiply(
    _ x: UnsafePointer<Float>, tokens: Int, into y: UnsafeMutablePointer<Float>,
    scratch: ActivationScratch? = nil
  ) {
    guard tokens > 0, rows > 0 else { return }
    guard columns > 0 else { return y.update(repeating: 0, count: tokens * rows) }
    guard format.isQuantized else {
      return MatrixProduct(parts: parts, columns: columns, x: x, tokens: tokens, results: .init(y))
        .multiplyFloats(scratch: scratch ?? ActivationScratch())
    }
    guard takesSharedScale else {
      return MatrixProduct(parts: parts, columns: form.columns, x: x, tokens: tokens, results: .init(y))
        .multiplyPrepared(count: columns, scratch: scratch ?? ActivationScratch())
    }
    withPrepared(x, tokens: tokens) { prepared in
      MatrixProduct(parts: parts, columns: form.columns, x: prepared, tokens: tokens, results: .init(y))
        .multiplyBlocks(scratch: scratch ?? ActivationScratch())
    }
    guard let scales = form.rowScales else { return }
    nonisolated(unsafe) let results = y
    Parallel.forEach(tokens, work: tokens * rows) { token in
      scales.withUnsafeBufferPointer { scales in
        guard let base = scales.baseAddress else { return }
        Kernels.multiply(base, into: results + token * rows, count: rows)
      }
    }
  }

  /// Whether all is done before and after the product of blocks that there is to do: activations as they are, or one scale a token.
  private var takesSharedScale: Bool { takesPlainActivations || form.scalesTokens }

  /// Whether products take activations as they are.
  var takesPlainActivations: Bool {
    form.takesPlainActivations && form.columns == columns && !form.scalesTokens
  }

  /// Calls `body` with the activations in the form that the rows want.
  private func withPrepared(
    _ x: UnsafePointer<Float>, tokens: Int, _ body: (UnsafePointer<Float>) -> Void
  ) {
    if form.takesPlainActivations, form.columns == columns { return body(x) }
    let memory = UnsafeMutablePointer<Float>.allocate(capacity: tokens * form.columns)
    defer { memory.deallocate() }
    nonisolated(unsafe) let (source, prepared) = (x, memory)
    Parallel.forEach(tokens, work: tokens * form.columns) { token in
      form.prepare(source + token * columns, count: columns, into: prepared + token * form.columns)
    }
    body(memory)
  }

  /// Decodes row `row` into `columns` floats (embedding lookup).
  ///
  /// - Precondition: `row` is one of the rows, and the format holds weights.
  public func decodeRow(_ row: Int, into target: UnsafeMutablePointer<Float>) {
    precondition(row >= 0 && row < rows, "no such row")
    form.decode(row, count: columns, into: target)
  }
}
