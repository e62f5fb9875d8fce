import ModelFiles
import TensorCore

/// The 4-bit codes of `int4.g…` rows in other orders; a code c stands for c − 8.
///
/// Our order: groups of a scale and, for each 32 weights, 16 bytes with code j in the low and j + 16 in the high half of
/// byte j. Everybody else's: code 2k in the low and 2k + 1 in the high half of byte k.
enum Int4Codes {
  /// The group length of an `int4.g…` format.
  static func group(_ format: TensorFormat) -> Int? {
    [.int4_g32, .int4_g64, .int4_g128].contains(format) ? format.blockSize : nil
  }

  /// The format with groups of `length`.
  static func format(group length: Int) -> TensorFormat? {
    switch length {
    case 32: .int4_g32
    case 64: .int4_g64
    case 128: .int4_g128
    default: nil
    }
  }

  /// One row's codes, one a byte.
  static func unpack(
    row: UnsafePointer<UInt8>, columns: Int, group: Int, into codes: UnsafeMutablePointer<UInt8>
  ) {
    for block in 0..<columns / 32 {
      let (first, groupIndex) = (block * 32, block * 32 / group)
      let place = row + 2 * (groupIndex + 1) + 16 * block
      for j in 0..<16 {
        codes[first + j] = place[j] & 15
        codes[first + j + 16] = place[j] >> 4
      }
    }
  }

  /// The inverse of ``unpack(row:columns:group:into:)``, with the groups' scales.
  static func pack(
    _ codes: UnsafePointer<UInt8>, scales: UnsafePointer<UInt16>, columns: Int, group: Int,
    into row: UnsafeMutablePointer<UInt8>
  ) {
    for index in 0..<columns / group {
      let place = row + index * (2 + group / 2)
      (place[0], place[1]) = (UInt8(truncatingIfNeeded: scales[index]), UInt8(scales[index] >> 8))
      for part in 0..<group / 32 {
        let source = codes + index * group + part * 32
        for j in 0..<16 { place[2 + 16 * part + j] = (source[j] & 15) | (source[j + 16] & 15) << 4 }
      }
    }
  }
}

/// The scales of formats with half-precision scales, by row.
enum StoredScales {
  /// Scale `index` of `row`: bits of a half.
  static func bits(_ source: ByteRegion, format: TensorFormat, columns: Int, row: Int, index: Int) -> UInt16 {
    let rowBytes = format.byteCount(of: columns) ?? 0
    let place = row * rowBytes + index * (format.rowHeaderBytes > 0 ? 0 : format.bytesPerBlock)
    return UInt16(littleEndian: source.base.loadUnaligned(fromByteOffset: place, as: UInt16.self))
  }

  /// The scales of a row.
  static func count(_ format: TensorFormat, columns: Int) -> Int {
    format.rowHeaderBytes > 0 ? 1 : columns / format.blockSize
  }
}
