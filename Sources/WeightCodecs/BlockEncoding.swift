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
