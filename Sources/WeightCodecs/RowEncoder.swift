import CKernels
import TensorCore

/// Encodes the rows of one tensor on all threads; everything that can be refused is refused before it starts.
struct RowEncoder: Sendable {
  let codec: any WeightCodec
  let rows: Int
  let columns: Int
  let bytesPerRow: Int
  let byteCount: Int
  let importance: [Float]?
  /// The number of a format whose rows one kernel rounds where nothing is known about the columns.
  private let rounded: Int32?

  init(format: TensorFormat, rows: Int, columns: Int, importance: [Float]?) throws(CodingError) {
    guard let codec = CodecList.codec(for: format) else { throw .notWeights(format) }
    guard codec.canEncode else { throw .notEncodable(format) }
    (bytesPerRow, byteCount) = try byteCounts(format, rows: rows, columns: columns)
    if let importance {
      guard importance.count == columns else {
        throw .importanceCount(expected: columns, actual: importance.count)
      }
      if let column = importance.firstIndex(where: { !($0 >= 0 && $0.isFinite) }) {
        throw .importanceValue(column: column, value: importance[column])
      }
    }
    self.codec = codec
    self.rows = rows
    self.columns = columns
    // Zeros for all columns say nothing.
    self.importance = importance.flatMap { $0.allSatisfy { $0 == 0 } ? nil : $0 }
    let kernel = self.importance == nil ? format.kernelID : nil
    rounded = kernel.flatMap { ck_rounds($0) != 0 ? $0 : nil }
  }

  /// Whether rows can be handed out in pieces: they are all there is.
  var hasPieces: Bool { codec.format.trailerBytesPerColumn == 0 }

  /// Encodes all rows, and hands out pieces of them with their place among all, on several threads and in any order.
  ///
  /// - Precondition: ``hasPieces``.
  func encodePieces(
    from source: @Sendable (Range<Int>, (UnsafeBufferPointer<Float>) throws -> Void) throws -> Void,
    _ body: @Sendable (Int, UnsafeRawBufferPointer) throws -> Void
  ) throws {
    precondition(hasPieces, "what follows the rows is no piece of them")
    let pieces = RowPieces(rows: rows, columns: columns)
    try Parallel.forEachThrowing(pieces.count) { piece in
      let range = pieces.range(piece)
      let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: range.count * bytesPerRow)
      defer { memory.deallocate() }
      try encode(range, from: source, into: memory)
      try body(range.lowerBound * bytesPerRow, UnsafeRawBufferPointer(memory))
    }
  }

  /// Encodes all rows; `source` calls back with the floats of the rows it is asked for.
  func encodeAll(
    from source: @Sendable (Range<Int>, (UnsafeBufferPointer<Float>) throws -> Void) throws -> Void
  ) throws -> ByteRegion {
    let pieces = RowPieces(rows: rows, columns: columns)
    return try ByteRegion(uninitializedCount: byteCount) { bytes in
      let target = SharedTarget(base: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
      try Parallel.forEachThrowing(pieces.count) { piece in
        let range = pieces.range(piece)
        try encode(
          range, from: source, into: target[range.lowerBound * bytesPerRow..<range.upperBound * bytesPerRow])
      }
      // Rows are encoded one by one, for columns that are all alike.
      let one = ck_float_to_half(1).littleEndian
      for place in stride(from: rows * bytesPerRow, to: byteCount, by: 2) {
        bytes.storeBytes(of: one, toByteOffset: place, as: UInt16.self)
      }
    }
  }

  /// Encodes the rows in `range` into their bytes, a few at a time: their floats stay in the nearest cache.
  private func encode(
    _ range: Range<Int>,
    from source: (Range<Int>, (UnsafeBufferPointer<Float>) throws -> Void) throws -> Void,
    into target: UnsafeMutableBufferPointer<UInt8>
  ) throws {
    // Codecs that gather bits start from zeros.
    if rounded == nil { target.initialize(repeating: 0) }
    let step = max(1, 4096 / max(1, columns))
    for first in stride(from: range.lowerBound, to: range.upperBound, by: step) {
      let part = first..<min(range.upperBound, first + step)
      let place = (first - range.lowerBound) * bytesPerRow
      let bytes = UnsafeMutableRawBufferPointer(
        rebasing: UnsafeMutableRawBufferPointer(target)[place..<place + part.count * bytesPerRow])
      try source(part) { values in try encode(values, rows: part, into: bytes) }
    }
  }

  private func encode(
    _ values: UnsafeBufferPointer<Float>, rows range: Range<Int>, into target: UnsafeMutableRawBufferPointer
  ) throws(CodingError) {
    if codec.format.isQuantized, let base = values.baseAddress,
      !Kernels.allFinite(base, count: values.count), let bad = firstNonFinite(in: values)
    {
      throw .nonFinite(
        row: range.lowerBound + bad / columns, column: bad % columns, value: values[bad])
    }
    for index in 0..<range.count {
      let weights = UnsafeBufferPointer(rebasing: values[index * columns..<(index + 1) * columns])
      let bytes = UnsafeMutableRawBufferPointer(
        rebasing: target[index * bytesPerRow..<(index + 1) * bytesPerRow])
      if let rounded {
        if let x = weights.baseAddress, let place = bytes.baseAddress {
          ck_round_row(rounded, x, columns, place)
        }
      } else if let importance {
        importance.withUnsafeBufferPointer { codec.encode(weights, importance: $0, into: bytes) }
      } else {
        codec.encode(weights, importance: nil, into: bytes)
      }
    }
  }
}
