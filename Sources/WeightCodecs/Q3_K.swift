import CKernels
import TensorCore

/// 256 weights in 110 bytes: 16 groups of 16 with 6-bit scales, x = d·(sc − 32)·(q − 4), 3-bit codes whose
/// upper bits are kept apart.
struct Q3_K: WeightCodec {
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
      for l in 0..<32 {
        var bits: UInt8 = 0
        for group in 0..<8 { bits |= (block.codes[32 * group + l] >> 2) << UInt8(group) }
        block.target[l] = bits
      }
      storeQuarters(block, at: 32)
    }
  }
}
