public import TensorCore

/// Whole tensors from one stored form to another, rows in parallel.
///
/// A piece of rows is decoded, used and dropped before the next: no call but
/// ``decode(_:format:rows:columns:)`` holds a tensor's weights as floats. Results do not depend on the number
/// of threads.
public enum TensorCoding {
  /// The weights of a tensor as floats.
  ///
  /// - Throws: ``CodingError`` when the format holds no weights or the bytes do not match the shape.
  public static func decode(
    _ bytes: ByteRegion, format: TensorFormat, rows: Int, columns: Int
  ) throws -> Matrix {
    let stored = try StoredRows(bytes, format: format, rows: rows, columns: columns)
    let pieces = RowPieces(rows: rows, columns: columns)
    let elements = [Float](unsafeUninitializedCapacity: rows * columns) { buffer, count in
      let target = SharedTarget(base: buffer.baseAddress)
      Parallel.forEach(pieces.count) { piece in
        let range = pieces.range(piece)
        stored.decode(range, into: target[range.lowerBound * columns..<range.upperBound * columns])
      }
      count = rows * columns
    }
    return Matrix(rows: rows, columns: columns, elements: elements)
  }

  /// Stores a matrix as `format`.
  ///
  /// - Parameter importance: one non-negative number a column (E[x²] of the layer's inputs), or nil.
  /// - Throws: ``CodingError``: rows that do not divide by the block, NaN or infinite weights for a quantized
  ///   format, a format that is only read, unusable importance.
  public static func encode(
    _ matrix: Matrix, format: TensorFormat, importance: [Float]? = nil
  ) throws -> ByteRegion {
    let (rows, columns) = (matrix.rows, matrix.columns)
    let encoder = try RowEncoder(format: format, rows: rows, columns: columns, importance: importance)
    return try matrix.elements.withUnsafeBufferPointer { elements in
      nonisolated(unsafe) let elements = elements
      return try encoder.encodeAll { range, body in
        try body(
          UnsafeBufferPointer(rebasing: elements[range.lowerBound * columns..<range.upperBound * columns]))
      }
    }
  }

  /// Turns stored weights into another format, through floats, a piece of rows at a time.
  ///
  /// - Parameters:
  ///   - bytes: `rows` × `columns` weights in `source`; returned as they are when the formats are the same.
  ///   - importance: one non-negative number a column (E[x²] of the layer's inputs), or nil.
  /// - Throws: ``CodingError`` as ``decode(_:format:rows:columns:)`` and ``encode(_:format:importance:)``.
  public static func reencode(
    _ bytes: ByteRegion, from source: TensorFormat, to target: TensorFormat, rows: Int, columns: Int,
    importance: [Float]? = nil
  ) throws -> ByteRegion {
    let stored = try StoredRows(bytes, format: source, rows: rows, columns: columns)
    guard source != target else { return bytes }
    let encoder = try RowEncoder(format: target, rows: rows, columns: columns, importance: importance)
    return try encoder.encodeAll { range, body in
      try stored.withDecoded(range) { try body(UnsafeBufferPointer($0)) }
    }
  }

  /// As ``reencode(_:from:to:rows:columns:importance:)`` without importance, but stored rows are handed out in pieces with
  /// their first byte's place, on several threads at once and in any order, and are gone afterwards.
  ///
  /// Formats that keep something behind their rows come as one piece.
  ///
  /// - Throws: also what `body` throws.
  public static func reencode(
    _ bytes: ByteRegion, from source: TensorFormat, to target: TensorFormat, rows: Int, columns: Int,
    pieces body: @Sendable (_ place: Int, _ bytes: UnsafeRawBufferPointer) throws -> Void
  ) throws {
    let stored = try StoredRows(bytes, format: source, rows: rows, columns: columns)
    let encoder = try RowEncoder(format: target, rows: rows, columns: columns, importance: nil)
    guard source != target, encoder.hasPieces else {
      let whole = try reencode(bytes, from: source, to: target, rows: rows, columns: columns)
      return try whole.withBytes { try body(0, $0) }
    }
    try encoder.encodePieces(
      from: { range, body in try stored.withDecoded(range) { try body(UnsafeBufferPointer($0)) } }, body)
  }

  /// The first weight, row by row, that is NaN or infinite; nil when all are finite.
  ///
  /// - Throws: ``CodingError`` when the format holds no weights or the bytes do not match the shape.
  public static func firstNonFinite(
    _ bytes: ByteRegion, format: TensorFormat, rows: Int, columns: Int
  ) throws -> (row: Int, column: Int)? {
    let stored = try StoredRows(bytes, format: format, rows: rows, columns: columns)
    if stored.hasFiniteBits() { return nil }
    let pieces = RowPieces(rows: rows, columns: columns)
    let lowest = Locked<Int?>(nil)
    Parallel.forEach(pieces.count) { piece in
      let range = pieces.range(piece)
      let first = range.lowerBound * columns
      if let found = lowest.withLock({ $0 }), found < first { return }
      let index = stored.withDecoded(range) { WeightCodecs.firstNonFinite(in: UnsafeBufferPointer($0)) }
      guard let index else { return }
      lowest.withLock { $0 = min($0 ?? .max, first + index) }
    }
    return lowest.withLock { $0 }.map { (row: $0 / columns, column: $0 % columns) }
  }

  /// How far two stored forms of the same tensor are apart; `reference` gives the signal.
  ///
  /// - Throws: ``CodingError`` when a format holds no weights or bytes do not match the shape.
  public static func squaredError(
    of bytes: ByteRegion, _ format: TensorFormat, against reference: ByteRegion,
    _ referenceFormat: TensorFormat, rows: Int, columns: Int
  ) throws -> SquaredError {
    let stored = try StoredRows(bytes, format: format, rows: rows, columns: columns)
    let original = try StoredRows(reference, format: referenceFormat, rows: rows, columns: columns)
    let pieces = RowPieces(rows: rows, columns: columns)
    let sums = Locked([SquaredError](repeating: .zero, count: pieces.count))
    Parallel.forEach(pieces.count) { piece in
      let range = pieces.range(piece)
      let sum = stored.withDecoded(range) { a in
        original.withDecoded(range) { b in SquaredError(of: UnsafeBufferPointer(a), UnsafeBufferPointer(b)) }
      }
      sums.withLock { $0[piece] = sum }
    }
    return sums.withLock { $0 }.reduce(.zero, +)
  }
}
