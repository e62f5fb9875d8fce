import CKernels
import TensorCore

extension WeightCodec {
  /// Formats that kernels know are decoded by them.
  func decode(_ bytes: UnsafeRawBufferPointer, into row: UnsafeMutableBufferPointer<Float>) {
    precondition(format.byteCount(of: row.count) == bytes.count, "bytes do not match the row's length")
    guard let target = row.baseAddress, let source = bytes.baseAddress else { return }
    ck_decode_row(Int32(kernelFormat(format)), source, target, row.count)
  }
}

/// The number under which the kernels know a format; zeros come out for those that hold no weights.
private func kernelFormat(_ format: TensorFormat) -> Int {
  switch format {
  case .f64: CK_F64
  case .f32: CK_F32
  case .f16: CK_F16
  case .bf16: CK_BF16
  case .f8_e4m3: CK_F8_E4M3
  case .f8_e5m2: CK_F8_E5M2
  case .q4_0: CK_Q4_0
  case .q4_1: CK_Q4_1
  case .q5_0: CK_Q5_0
  case .q5_1: CK_Q5_1
  case .q8_0: CK_Q8_0
  case .q2_k: CK_Q2_K
  case .q3_k: CK_Q3_K
  case .q4_k: CK_Q4_K
  case .q5_k: CK_Q5_K
  case .q6_k: CK_Q6_K
  case .iq4_nl: CK_IQ4_NL
  case .iq4_xs: CK_IQ4_XS
  case .i64, .i32, .i16, .i8, .u64, .u32, .u16, .u8, .bool: -1
  // Decoded by their codecs.
  case .int4_g32, .int4_g64, .int4_g128, .int8_channel, .w8a8, .uniform8, .uniform16: -1
  }
}
