import TensorCore

/// 32-bit IEEE floats.
struct F32: WeightCodec {
  var format: TensorFormat { .f32 }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    bytes.copyMemory(from: UnsafeRawBufferPointer(row))
  }
}
