import CKernels
package import TensorCore

/// The half-precision numbers of an encoded matrix that its values are linear in: what can be tuned with codes as they are.
///
/// Each block of a row has one, the scale d of all its weights, or two, d and the scale of its offsets. A format with a scale a row
/// has blocks of whole rows. Uniform codes, whose columns have scales, too, are ``UniformTensor``'s.
package struct ScaleFields: Sendable {
  /// The numbers of each block.
  package let perBlock: Int
  /// The blocks of each row.
  package let blocks: Int
  package let rows: Int
  /// The weights of a block.
  package let length: Int
  private let bytesPerRow, bytesPerBlock: Int
  private let places: [Int]

  /// The fields of a matrix; nil for a format that has none.
  package init?(_ format: TensorFormat, rows: Int, columns: Int) {
    guard let bytesPerRow = format.byteCount(of: columns), columns > 0 else { return nil }
    switch format {
    case .int8_channel, .w8a8: places = [0]
    case .q4_0, .q5_0, .q8_0, .iq4_nl, .iq4_xs, .int4_g32, .int4_g64, .int4_g128: places = [0]
    case .q4_1, .q5_1, .q4_k, .q5_k: places = [0, 2]
    case .q2_k: places = [80, 82]
    case .q3_k: places = [108]
    case .q6_k: places = [208]
    default: return nil
    }
    let isRow = format.rowHeaderBytes > 0
    blocks = isRow ? 1 : columns / format.blockSize
    length = isRow ? columns : format.blockSize
    bytesPerBlock = isRow ? bytesPerRow : format.bytesPerBlock
    perBlock = places.count
    (self.rows, self.bytesPerRow) = (rows, bytesPerRow)
  }

  /// The number of all of them.
  package var count: Int { rows * blocks * perBlock }

  private func place(_ index: Int) -> Int {
    let (block, field) = (index / perBlock, index % perBlock)
    return block / blocks * bytesPerRow + block % blocks * bytesPerBlock + places[field]
  }

  /// The numbers, block by block from the first row on.
  package func read(_ bytes: ByteRegion) -> [Float] {
    (0..<count).map { index in
      UnsafeRawBufferPointer(start: bytes.base, count: bytes.count).half(at: place(index))
    }
  }

  /// Replaces the numbers, which are rounded to half precision.
  package func store(_ values: [Float], into bytes: UnsafeMutableRawBufferPointer) {
    for (index, value) in values.enumerated() {
      bytes.storeBytes(of: ck_float_to_half(value).littleEndian, toByteOffset: place(index), as: UInt16.self)
    }
  }

  /// The nearest number of half precision.
  package static func rounded(_ value: Float) -> Float { ck_half_to_float(ck_float_to_half(value)) }
}

extension UniformTensor {
  /// The codes and scales of a matrix as it is stored: the inverse of ``init(codes:rowScales:columnScales:format:)``.
  ///
  /// - Precondition: `format` is `uniform8` or `uniform16`, and the bytes are a matrix of that shape.
  package static func parts(
    of bytes: ByteRegion, format: TensorFormat, rows: Int, columns: Int
  ) -> (codes: [Int16], rowScales: [Float], columnScales: [Float]) {
    let bytesPerRow = 2 + columns * format.bytesPerBlock
    let all = UnsafeRawBufferPointer(start: bytes.base, count: bytes.count)
    precondition(all.count == rows * bytesPerRow + 2 * columns, "bytes do not match the shape")
    var codes: [Int16] = []
    codes.reserveCapacity(rows * columns)
    var scales: [Float] = []
    for row in 0..<rows {
      let part = UnsafeRawBufferPointer(rebasing: all[row * bytesPerRow..<(row + 1) * bytesPerRow])
      scales.append(part.half(at: 0))
      for column in 0..<columns { codes.append(part.uniformCode(column, as: format)) }
    }
    return (codes, scales, (0..<columns).map { all.half(at: rows * bytesPerRow + 2 * $0) })
  }
}
