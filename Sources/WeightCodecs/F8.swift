import TensorCore

/// 8-bit floats as PyTorch stores them (e4m3fn and e5m2), read only.
struct F8: WeightCodec {
  let format: TensorFormat
  var canEncode: Bool { false }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    preconditionFailure("F8 is only read: ask canEncode first")
  }
}
