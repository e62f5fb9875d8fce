import TensorCore

/// 64-bit IEEE floats; read rounded to 32 bits.
struct F64: WeightCodec {
  var format: TensorFormat { .f64 }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    for i in 0..<row.count { bytes.storeBytes(of: Double(row[i]), toByteOffset: i * 8, as: Double.self) }
  }
}
