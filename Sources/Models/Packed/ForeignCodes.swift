import ModelFiles
import TensorCore

/// A matrix of symmetric integer codes as another program stores it: x = scale·(code − 2^(bits − 1)).
struct ForeignCodes: Sendable {
  /// The canonical name of the matrix.
  var name: String
  /// The sizes.
  var rows, columns: Int
  /// 4 or 8.
  var bits: Int
  /// The scales of a row: each for `columns / groups` weights.
  var groups: Int
  /// Whether activations are rounded to 8 bits with one scale a token.
  var roundsTokens = false
  /// All codes, one a byte, row by row.
  var codes: @Sendable () throws -> [UInt8]
  /// All scales as bits of halves, row by row.
  var scales: @Sendable () throws -> [UInt16]

  /// The same numbers in a format of ours.
  ///
  /// Four bits become `int4.g128`, `.g64` or `.g32`, whichever divides the group, scales repeated; one scale a row of any
  /// length becomes `int8.channel`, or `w8a8` where activations are rounded, too; eight bits in groups become `q8_0`.
  /// - Throws: ``ModelError`` when no format holds them.
  func tensor() throws -> StoredTensor {
    guard groups > 0, columns % groups == 0 else {
      throw ModelError(
        .unsupported, "",
        "tensor '\(name)': \(groups) scales for rows of \(columns), which they do not divide")
    }
    let group = columns / groups
    guard !roundsTokens || (bits == 8 && groups == 1) else {
      throw ModelError(
        .unsupported, "",
        "tensor '\(name)': \(bits)-bit codes with \(groups) scales a row for activations in 8 bits are not read here; "
          + "8 bits with one scale a row are")
    }
    if bits == 4, let format = [128, 64, 32].first(where: { group % $0 == 0 }).flatMap(Int4Codes.format) {
      return made(format) { codes, scales, target in
        let length = format.blockSize
        let repeated = (0..<columns / length).map { scales[$0 * length / group] }
        Int4Codes.pack(codes, scales: repeated, columns: columns, group: length, into: target)
      }
    }
    if groups == 1 {
      let center: UInt8 = bits == 4 ? 8 : 128
      return made(roundsTokens ? .w8a8 : .int8_channel) { codes, scales, target in
        (target[0], target[1]) = (UInt8(truncatingIfNeeded: scales[0]), UInt8(scales[0] >> 8))
        for column in 0..<columns { target[2 + column] = codes[column] &- center }
      }
    }
    guard bits == 8, group % 32 == 0 else {
      throw ModelError(
        .unsupported, "",
        "tensor '\(name)': \(bits)-bit codes in groups of \(group) are not read here; "
          + "groups of a multiple of 32, or one scale a row, are")
    }
    return made(.q8_0) { codes, scales, target in
      for block in 0..<columns / 32 {
        let (place, bits) = (target + 34 * block, scales[block * 32 / group])
        (place[0], place[1]) = (UInt8(truncatingIfNeeded: bits), UInt8(bits >> 8))
        for j in 0..<32 { place[2 + j] = codes[32 * block + j] &- 128 }
      }
    }
  }

  private func made(
    _ format: TensorFormat,
    _ fill:
      @escaping @Sendable (
        _ codes: UnsafePointer<UInt8>, _ scales: UnsafePointer<UInt16>, _ row: UnsafeMutablePointer<UInt8>
      ) -> Void
  ) -> StoredTensor {
    let rowBytes = format.byteCount(of: columns) ?? 0
    let (source, count) = (self, rows * rowBytes)
    return StoredTensor(
      name: name, shape: [rows, columns], format: format,
      bytes: TensorBytes(count: count) {
        let (codes, scales) = (try source.codes(), try source.scales())
        return ByteRegion(count: count) { memory in
          guard let base = memory.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
          for row in 0..<source.rows {
            codes.withUnsafeBufferPointer { codes in
              scales.withUnsafeBufferPointer { scales in
                guard let codes = codes.baseAddress, let scales = scales.baseAddress else { return }
                fill(codes + row * source.columns, scales + row * source.groups, base + row * rowBytes)
              }
            }
          }
        }
      })
  }

  /// The codes of a matrix whose words hold them from the lowest bits on: `perWord` a word, `words` words a row.
  static func unpacked(
    _ tensor: StoredTensor, rows: Int, columns: Int, words: Int, bits: Int
  ) throws -> [UInt8] {
    let region = try tensor.bytes.load()
    return region.withBytes { buffer in
      [UInt8](unsafeUninitializedCapacity: rows * columns) { target, count in
        for row in 0..<rows {
          for column in 0..<columns {
            let byte = buffer[row * words * 4 + column * bits / 8]
            target[row * columns + column] = bits == 8 ? byte : column % 2 == 0 ? byte & 15 : byte >> 4
          }
        }
        count = rows * columns
      }
    }
  }
}
