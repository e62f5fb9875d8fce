import CKernels
import TensorCore

/// 32 weights in 22 bytes: a half-precision scale and 5-bit codes, x = d·(q − 16).
struct Q5_0: WeightCodec {
  var format: TensorFormat { .q5_0 }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      ck_fit_line(block.x, block.importance, -16, 15, block.codes, &d)
      block.store(d, at: 0)
      block.storeFifthBits(at: 2)
      block.storeNibbles(at: 6)
    }
  }
}
