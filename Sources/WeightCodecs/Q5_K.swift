import CKernels
import TensorCore

/// 256 weights in 176 bytes: as Q4_K, with a fifth bit for each code.
struct Q5_K: WeightCodec {
  var format: TensorFormat { .q5_k }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      var dmin: UInt16 = 0
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { integers in
        guard let scales = integers.baseAddress else { return }
        ck_fit_affine_groups(
          block.x, block.importance, 32, 31, 63, block.codes, scales, scales + 8, &d, &dmin)
        packSixBitPairs(scales: scales, minimums: scales + 8, into: block.target + 4)
      }
      block.store(d, at: 0)
      block.store(dmin, at: 2)
      for l in 0..<32 {
        var bits: UInt8 = 0
        for group in 0..<8 { bits |= (block.codes[32 * group + l] >> 4) << UInt8(group) }
        block.target[16 + l] = bits
      }
      for pair in 0..<4 {
        let codes = block.codes + 64 * pair
        let target = block.target + 48 + 32 * pair
        for l in 0..<32 { target[l] = (codes[l] & 15) | (codes[l + 32] & 15) << 4 }
      }
    }
  }
}
