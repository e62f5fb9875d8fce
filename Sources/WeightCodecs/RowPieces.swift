import TensorCore

/// A tensor's rows cut into pieces for threads; the cut depends on the shape only.
struct RowPieces {
  let rows: Int
  let columns: Int
  private let rowsPerPiece: Int

  init(rows: Int, columns: Int) {
    self.rows = rows
    self.columns = columns
    rowsPerPiece = max(1, 65_536 / max(1, columns))
  }

  /// None when there are no weights, however many rows are claimed.
  var count: Int { rows == 0 || columns == 0 ? 0 : (rows - 1) / rowsPerPiece + 1 }

  func range(_ piece: Int) -> Range<Int> {
    piece * rowsPerPiece..<min(rows, (piece + 1) * rowsPerPiece)
  }
}

/// The stored rows of one tensor, checked against their shape.
struct StoredRows: Sendable {
  let bytes: ByteRegion
  let codec: any WeightCodec
  let rows: Int
  let columns: Int
  let bytesPerRow: Int
  /// The columns' scales, in formats that have them.
  private let columnScales: [Float]?

  init(_ bytes: ByteRegion, format: TensorFormat, rows: Int, columns: Int) throws(CodingError) {
    guard let codec = CodecList.codec(for: format) else { throw .notWeights(format) }
    let (bytesPerRow, total) = try byteCounts(format, rows: rows, columns: columns)
    guard total == bytes.count else {
      throw .byteCount(format: format, rows: rows, columns: columns, expected: total, actual: bytes.count)
    }
    self.bytes = bytes
    self.codec = codec
    self.rows = rows
    self.columns = columns
    self.bytesPerRow = bytesPerRow
    guard format.trailerBytesPerColumn > 0 else {
      columnScales = nil
      return
    }
    columnScales = bytes.withBytes { buffer in
      (0..<columns).map { buffer.half(at: rows * bytesPerRow + 2 * $0) }
    }
  }

  /// Decodes the rows in `range` one after another into `target`.
  func decode(_ range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
    for (index, row) in range.enumerated() {
      let source = UnsafeRawBufferPointer(start: bytes.base + row * bytesPerRow, count: bytesPerRow)
      let decoded = UnsafeMutableBufferPointer(rebasing: target[index * columns..<(index + 1) * columns])
      codec.decode(source, into: decoded)
      if let columnScales {
        for (column, scale) in columnScales.enumerated() { decoded[column] *= scale }
      }
    }
  }

  /// Calls `body` with the decoded rows in `range`, held in memory that is freed afterwards.
  func withDecoded<Result>(
    _ range: Range<Int>, _ body: (UnsafeMutableBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: range.count * columns)
    defer { values.deallocate() }
    decode(range, into: values)
    return try body(values)
  }
}

/// The bytes of one row and of all rows.
func byteCounts(
  _ format: TensorFormat, rows: Int, columns: Int
) throws(CodingError) -> (perRow: Int, total: Int) {
  guard rows >= 0, let perRow = format.byteCount(of: columns) else {
    throw .rowLength(format: format, rows: rows, columns: columns)
  }
  guard let total = format.byteCount(rows: rows, columns: columns) else {
    throw .rowLength(format: format, rows: rows, columns: columns)
  }
  return (perRow, total)
}

/// The first element of `values` that is NaN or infinite.
func firstNonFinite(in values: UnsafeBufferPointer<Float>) -> Int? {
  let exponent: UInt32 = 0x7f80_0000
  var highest: UInt32 = 0
  for value in values { highest = max(highest, value.bitPattern & exponent) }
  guard highest == exponent else { return nil }
  return values.firstIndex { !$0.isFinite }
}

/// Memory whose parts different threads write; the parts must not overlap.
struct SharedTarget<Element>: @unchecked Sendable {
  let base: UnsafeMutablePointer<Element>?

  subscript(range: Range<Int>) -> UnsafeMutableBufferPointer<Element> {
    UnsafeMutableBufferPointer(start: base.map { $0 + range.lowerBound }, count: range.count)
  }
}
