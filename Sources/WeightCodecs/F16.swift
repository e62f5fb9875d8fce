import CKernels
import TensorCore

/// 16-bit IEEE floats, to nearest even; finite weights beyond the range become ±65504, never infinite.
struct F16: WeightCodec {
  var format: TensorFormat { .f16 }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    guard let x = row.baseAddress, let target = bytes.baseAddress else { return }
    ck_encode_f16(x, target, row.count)
  }
}
