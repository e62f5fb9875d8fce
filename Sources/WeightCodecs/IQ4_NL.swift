import CKernels
import TensorCore

/// 32 weights in 18 bytes: a half-precision scale and 4-bit indices into a fixed non-uniform table.
struct IQ4_NL: WeightCodec {
  var format: TensorFormat { .iq4_nl }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      ck_fit_table(block.x, block.importance, block.codes, &d)
      block.store(d, at: 0)
      block.storeNibbles(at: 2)
    }
  }
}
