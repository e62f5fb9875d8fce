import CKernels
import TensorCore

/// Uniform codes with a scale for each row and each column, x = r·q·c: the format of the shipping profile.
///
/// A row is its half-precision scale r and its codes, one byte (`uniform8`, −127…127) or two (`uniform16`, little
/// endian, −32639…32639) each. Behind the last row lie the half-precision scales c of the columns, which a codec that
/// sees one row at a time knows nothing of: rows are encoded without loss of range for c = 1, and ``StoredRows``
/// multiplies by c after decoding. Codes chosen together for a whole matrix come in by ``UniformTensor``.
struct Uniform: WeightCodec {
  let format: TensorFormat

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    precondition(format.byteCount(of: row.count) == bytes.count, "bytes do not match the row's length")
    let top = Float(format.highestUniformCode)
    let peak = row.reduce(0) { max($0, abs($1)) }
    var d = ck_float_to_half(peak / top)
    // Rounded down, the peak would lie beyond the last code.
    if ck_half_to_float(d) * top < peak, d < 0x7bff { d += 1 }
    let scale = ck_half_to_float(d)
    bytes.storeBytes(of: d.littleEndian, as: UInt16.self)
    for (place, value) in row.enumerated() {
      let code = scale == 0 ? 0 : Int16(min(max((value / scale).rounded(.toNearestOrEven), -top), top))
      bytes.storeUniformCode(code, place, as: format)
    }
  }

  func decode(_ bytes: UnsafeRawBufferPointer, into row: UnsafeMutableBufferPointer<Float>) {
    precondition(format.byteCount(of: row.count) == bytes.count, "bytes do not match the row's length")
    let scale = bytes.half(at: 0)
    for place in row.indices { row[place] = scale * Float(bytes.uniformCode(place, as: format)) }
  }
}

extension TensorFormat {
  /// The largest code that a uniform format stores: 32639 = 127·257 is the largest that two signed bytes l + 256·h reach.
  package var highestUniformCode: Int { self == .uniform8 ? 127 : 32639 }
}

extension UnsafeMutableRawBufferPointer {
  /// Writes the code at column `place` of a row that starts with a scale.
  func storeUniformCode(_ code: Int16, _ place: Int, as format: TensorFormat) {
    if format == .uniform8 {
      self[2 + place] = UInt8(truncatingIfNeeded: code)
    } else {
      storeBytes(of: code.littleEndian, toByteOffset: 2 + 2 * place, as: Int16.self)
    }
  }
}

extension UnsafeRawBufferPointer {
  /// The code at column `place` of a row that starts with a scale.
  func uniformCode(_ place: Int, as format: TensorFormat) -> Int16 {
    format == .uniform8
      ? Int16(Int8(bitPattern: self[2 + place]))
      : Int16(littleEndian: loadUnaligned(fromByteOffset: 2 + 2 * place, as: Int16.self))
  }
}
