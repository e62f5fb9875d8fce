import CKernels
import TensorCore

/// 32 weights in 34 bytes: a half-precision scale and 8-bit codes, x = d·q.
///
/// The encoding is ggml's definition byte for byte; importance changes nothing.
struct Q8_0: WeightCodec {
  var format: TensorFormat { .q8_0 }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      block.target.withMemoryRebound(to: Int8.self, capacity: 34) { ck_fit_q8_0(block.x, $0 + 2, &d) }
      block.store(d, at: 0)
    }
  }
}
