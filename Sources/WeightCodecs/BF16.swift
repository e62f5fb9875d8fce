import CKernels
import TensorCore

/// The upper half of a 32-bit float, to nearest even.
struct BF16: WeightCodec {
  var format: TensorFormat { .bf16 }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    guard let x = row.baseAddress, let target = bytes.baseAddress else { return }
    ck_encode_bf16(x, target, row.count)
  }
}
