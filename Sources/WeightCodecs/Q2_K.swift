import CKernels
import TensorCore

/// 256 weights in 84 bytes: 16 groups of 16 with 4-bit scales and minimums, x = d·sc·q − dmin·m, 2-bit codes.
struct Q2_K: WeightCodec {
  var format: TensorFormat { .q2_k }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      var dmin: UInt16 = 0
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { integers in
        guard let scales = integers.baseAddress else { return }
        ck_fit_affine_groups(
          block.x, block.importance, 16, 3, 15, block.codes, scales, scales + 16, &d, &dmin)
        for g in 0..<16 { block.target[g] = scales[g] | scales[g + 16] << 4 }
      }
      block.store(d, at: 80)
      block.store(dmin, at: 82)
      storeQuarters(block, at: 16)
    }
  }
}
