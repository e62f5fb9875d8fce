import CKernels
import TensorCore

/// 256 weights in 110 bytes: 16 groups of 16 with 6-bit scales, x = d·(sc − 32)·(q − 4), 3-bit codes whose
/// upper bits are kept apart.
struct Q3_K: BlockGridCodec {
  var format: TensorFormat { .q3_k }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      withUnsafeTemporaryAllocation(of: Int8.self, capacity: 16) { integers in
        guard let scales = integers.baseAddress else { return }
        ck_fit_line_groups(block.x, block.importance, 16, -4, 3, 31, block.codes, scales, &d)
        packSixBitScales(scales, into: block.target + 96)
      }
      block.store(d, at: 108)
      storeCodes(block.codes, intoBlock: block.target)
    }
  }

  var grid: CodeGrid { CodeGrid(groupLength: 16, low: -4, high: 3) }

  func readScales(
    ofBlock block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
    _ offsets: UnsafeMutablePointer<Float>
  ) {
    let (d, packed) = (half(at: block + 108), block + 96)
    for g in 0..<16 {
      let low = packed[g % 8] >> (g < 8 ? 0 : 4) & 15
      let high = packed[8 + g % 4] >> UInt8(2 * (g / 4)) & 3
      scales[g] = d * Float(Int(low | high << 4) - 32)
      offsets[g] = 0
    }
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, intoBlock block: UnsafeMutablePointer<UInt8>) {
    storeBit(2, of: codes, block)
    storeQuarters(codes, block + 32)
  }
}
