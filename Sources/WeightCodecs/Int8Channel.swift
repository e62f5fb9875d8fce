import CKernels
import TensorCore

/// A row's half-precision scale, then its signed 8-bit codes: x = d·q.
///
/// Encoding gives codes from −127 to 127; −128, which other programs write, is read.
struct Int8Channel: GridCodec {
  /// `int8_channel`, or `w8a8`, whose rows are the same.
  let format: TensorFormat

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    precondition(format.byteCount(of: row.count) == bytes.count, "bytes do not match the row's length")
    precondition(importance == nil || importance?.count == row.count, "one importance for each column")
    guard let x = row.baseAddress, let target = bytes.baseAddress else { return }
    let codes = (target + 2).assumingMemoryBound(to: UInt8.self)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * (row.count + 7)) { scratch in
      var d: UInt16 = 0
      ck_fit_line_long(x, importance?.baseAddress, row.count, -127, 127, scratch.baseAddress, codes, &d)
      // The range is symmetric, so a negative scale, which other programs may not expect, gains nothing.
      bytes.storeBytes(of: (d & 0x7fff).littleEndian, as: UInt16.self)
      for place in 0..<row.count { codes[place] = d >> 15 == 0 ? codes[place] &- 127 : 127 &- codes[place] }
    }
  }

  /// A group is a whole row, however long.
  var grid: CodeGrid { CodeGrid(groupLength: 1 << 30, low: -127, high: 127) }

  func readScales(
    _ bytes: UnsafeRawBufferPointer, columns: Int, scales: UnsafeMutablePointer<Float>,
    offsets: UnsafeMutablePointer<Float>
  ) {
    scales[0] = bytes.half(at: 0)
    offsets[0] = 0
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, columns: Int, into bytes: UnsafeMutableRawBufferPointer) {
    for place in 0..<columns { bytes[2 + place] = codes[place] &- 127 }
  }

  func decode(_ bytes: UnsafeRawBufferPointer, into row: UnsafeMutableBufferPointer<Float>) {
    precondition(format.byteCount(of: row.count) == bytes.count, "bytes do not match the row's length")
    let scale = bytes.half(at: 0)
    for place in row.indices { row[place] = scale * Float(Int8(bitPattern: bytes[2 + place])) }
  }
}

extension UnsafeRawBufferPointer {
  /// The half-precision number at `offset`, which need not be aligned.
  func half(at offset: Int) -> Float {
    ck_half_to_float(UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
  }
}
