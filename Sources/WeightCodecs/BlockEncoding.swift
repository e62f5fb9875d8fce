import TensorCore

/// One block on its way into its bytes.
struct BlockTask {
  /// The block's weights.
  let x: UnsafePointer<Float>
  /// The importance of its columns, when known.
  let importance: UnsafePointer<Float>?
  /// Room for its codes, one a byte.
  let codes: UnsafeMutablePointer<UInt8>
  /// Where its bytes go.
  let target: UnsafeMutablePointer<UInt8>

  /// Writes 16 bits, little endian.
  func store(_ bits: UInt16, at offset: Int) {
    target[offset] = UInt8(truncatingIfNeeded: bits)
    target[offset + 1] = UInt8(bits >> 8)
  }

  /// Packs 32 codes from `first` on in 16 bytes: code j in the low, code j + 16 in the high half of byte j.
  func storeNibbles(at offset: Int, from first: Int = 0) {
    let codes = codes + first
    for j in 0..<16 { target[offset + j] = (codes[j] & 15) | (codes[j + 16] & 15) << 4 }
  }

  /// Packs the fifth bits of 32 codes in 4 bytes, bit j for code j.
  func storeFifthBits(at offset: Int) {
    for byte in 0..<4 {
      var bits: UInt8 = 0
      for j in 0..<8 { bits |= (codes[byte * 8 + j] >> 4 & 1) << UInt8(j) }
      target[offset + byte] = bits
    }
  }
}

/// Cuts a row into blocks and hands them out in order.
func encodeBlocks(
  _ row: UnsafeBufferPointer<Float>, _ importance: UnsafeBufferPointer<Float>?,
  into bytes: UnsafeMutableRawBufferPointer, as format: TensorFormat, _ body: (BlockTask) -> Void
) {
  precondition(format.byteCount(of: row.count) == bytes.count, "bytes do not match the row's length")
  precondition(importance == nil || importance?.count == row.count, "one importance for each column")
  guard let x = row.baseAddress, let target = bytes.baseAddress else { return }
  let output = target.assumingMemoryBound(to: UInt8.self)
  withUnsafeTemporaryAllocation(of: UInt8.self, capacity: format.blockSize) { codes in
    guard let codes = codes.baseAddress else { return }
    for block in 0..<row.count / format.blockSize {
      let first = block * format.blockSize
      body(
        BlockTask(
          x: x + first, importance: importance?.baseAddress.map { $0 + first }, codes: codes,
          target: output + block * format.bytesPerBlock))
    }
  }
}
