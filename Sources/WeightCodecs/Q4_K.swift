import CKernels
import TensorCore

/// 256 weights in 144 bytes: 8 groups of 32 with 6-bit scales and minimums, x = d·sc·q − dmin·m, 4-bit codes.
struct Q4_K: WeightCodec {
  var format: TensorFormat { .q4_k }

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
          block.x, block.importance, 32, 15, 63, block.codes, scales, scales + 8, &d, &dmin)
        packSixBitPairs(scales: scales, minimums: scales + 8, into: block.target + 4)
      }
      block.store(d, at: 0)
      block.store(dmin, at: 2)
      for pair in 0..<4 {
        let codes = block.codes + 64 * pair
        let target = block.target + 16 + 32 * pair
        for l in 0..<32 { target[l] = (codes[l] & 15) | (codes[l + 32] & 15) << 4 }
      }
    }
  }
}
