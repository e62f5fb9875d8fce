internal import CKernels

/// The one Swift door to the C kernels: arithmetic on vectors of floats.
///
/// Every function works on the calling thread, on memory of any `Float` alignment; pointers are valid for the
/// lengths given, which are in elements. The instruction set is chosen at run time: sums may differ between
/// instruction sets by rounding, never between numbers of threads.
public enum Kernels {
  /// The instruction set in use: "scalar", "avx2", "avx-vnni", "avx512-vnni" or "neon".
  public static var instructionSet: String { String(cString: ck_instruction_set()) }

  /// Switches the calling thread to "scalar", "avx2", "avxvnni", "avx512" or "neon", or back to the default by nil.
  ///
  /// For tests. False, and nothing changes, where the processor lacks it.
  package static func selectInstructionSet(_ name: String?) -> Bool {
    guard let name else { return ck_select_instruction_set(nil) == 1 }
    return ck_select_instruction_set(name) == 1
  }

  // MARK: Elementwise

  /// y += x.
  public static func add(_ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, count: Int) {
    ck_add(x, y, count)
  }

  /// y += a · x.
  public static func addScaled(
    _ a: Float, _ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, count: Int
  ) {
    ck_add_scaled(a, x, y, count)
  }

  /// x *= a.
  public static func scale(_ x: UnsafeMutablePointer<Float>, by a: Float, count: Int) {
    ck_scale(a, x, count)
  }

  /// y *= x.
  public static func multiply(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int) {
    ck_multiply(x, y, count)
  }

  // MARK: Reductions

  /// Σ x·y in single precision.
  public static func dot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count: Int) -> Float {
    ck_dot(x, y, count)
  }

  /// Σ x·y in double precision.
  public static func dotWide(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count: Int) -> Double {
    ck_dot_wide(x, y, count)
  }

  /// max |x|; 0 for none, NaN if any element is NaN.
  public static func absoluteMaximum(_ x: UnsafePointer<Float>, count: Int) -> Float {
    ck_absolute_maximum(x, count)
  }

  /// Whether no element is NaN or infinite.
  public static func allFinite(_ x: UnsafePointer<Float>, count: Int) -> Bool { ck_all_finite(x, count) != 0 }

  /// The first index of the largest element; NaN never wins. 0 for none.
  public static func argmax(_ x: UnsafePointer<Float>, count: Int) -> Int { ck_argmax(x, count) }

  /// log Σ exp x, summed in double precision; −∞ for none.
  public static func logSumExp(_ x: UnsafePointer<Float>, count: Int) -> Double { ck_log_sum_exp(x, count) }

  /// The KL divergence Σ p·(log p − log q) of the distributions whose logits are `x` and `y`, in double precision;
  /// exactly 0 for equal ones.
  ///
  /// - Parameters:
  ///   - xLog: ``logSumExp(_:count:)`` of `x`.
  ///   - yLog: the same of `y`.
  /// - Precondition: all values are finite.
  public static func logDivergence(
    _ x: UnsafePointer<Float>, xLog: Double, _ y: UnsafePointer<Float>, yLog: Double, count: Int
  ) -> Double {
    ck_log_divergence(x, xLog, y, yLog, count)
  }

  // MARK: Norms

  /// result = x / √(mean(x²) + epsilon) · weight; `result` may be `x`.
  public static func rmsNorm(
    _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, epsilon: Float,
    into result: UnsafeMutablePointer<Float>, count: Int
  ) {
    ck_rms_norm(x, weight, epsilon, result, count)
  }

  /// result = (x − mean) / √(variance + epsilon) · weight + bias; `result` may be `x`.
  public static func layerNorm(
    _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?, epsilon: Float,
    into result: UnsafeMutablePointer<Float>, count: Int
  ) {
    ck_layer_norm(x, weight, bias, epsilon, result, count)
  }

  /// x = exp(x − max) / Σ exp(x − max), in place; all −∞ gives zeros.
  public static func softmax(_ x: UnsafeMutablePointer<Float>, count: Int) { ck_softmax(x, count) }

  // MARK: Activation functions, in place

  /// gate = silu(gate) · up, where silu(x) = x / (1 + exp(−x)).
  public static func siluMultiply(
    _ gate: UnsafeMutablePointer<Float>, up: UnsafePointer<Float>, count: Int
  ) {
    ck_silu_multiply(gate, up, count)
  }

  /// gate = gelu(gate) · up, with the tanh form of gelu.
  public static func geluTanhMultiply(
    _ gate: UnsafeMutablePointer<Float>, up: UnsafePointer<Float>, count: Int
  ) {
    ck_gelu_tanh_multiply(gate, up, count)
  }

  /// x = x · Φ(x): gelu in its exact form (with erf).
  public static func gelu(_ x: UnsafeMutablePointer<Float>, count: Int) { ck_gelu(x, count) }

  /// x = x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).
  public static func geluTanh(_ x: UnsafeMutablePointer<Float>, count: Int) { ck_gelu_tanh(x, count) }

  /// x = tanh x.
  public static func tanh(_ x: UnsafeMutablePointer<Float>, count: Int) { ck_tanh(x, count) }

  /// x = max(x, 0).
  public static func relu(_ x: UnsafeMutablePointer<Float>, count: Int) { ck_relu(x, count) }

  // MARK: Rotary position embedding, in place

  /// Rotates each pair (x[i], x[i + half]), i < `half`, by the angle with the given cosine and sine.
  ///
  /// The layout of Hugging Face checkpoints ("NeoX"): `x` is one head of 2 · `half` elements.
  public static func rotateHalves(
    _ x: UnsafeMutablePointer<Float>, cosine: UnsafePointer<Float>, sine: UnsafePointer<Float>, half: Int
  ) {
    ck_rotate_halves(x, cosine, sine, half)
  }

  /// Rotates each pair (x[2i], x[2i + 1]): the layout of llama2.c and of llama models in GGUF.
  public static func rotatePairs(
    _ x: UnsafeMutablePointer<Float>, cosine: UnsafePointer<Float>, sine: UnsafePointer<Float>, half: Int
  ) {
    ck_rotate_pairs(x, cosine, sine, half)
  }

  // MARK: Conversions

  /// Decodes `count` stored weights at `bytes` (any alignment) into floats.
  ///
  /// - Precondition: `format.isWeight`, and `count` is a multiple of its block.
  public static func decode(
    _ bytes: UnsafeRawPointer, as format: TensorFormat, into result: UnsafeMutablePointer<Float>, count: Int
  ) {
    guard let id = format.kernelID else { preconditionFailure("\(format) does not hold weights") }
    precondition(count % format.blockSize == 0, "a row fills whole blocks")
    ck_decode_row(id, bytes, result, count)
  }

  /// Stores `count` floats in a float format, rounding to nearest even; NaN stays NaN.
  ///
  /// What is too large becomes infinite; in `f8_e4m3`, which has no infinity, NaN.
  ///
  /// - Precondition: `format.isFloat`.
  public static func encode(
    _ x: UnsafePointer<Float>, as format: TensorFormat, into bytes: UnsafeMutableRawPointer, count: Int
  ) {
    guard let id = format.kernelID, format.isFloat else {
      preconditionFailure("\(format) is no float format")
    }
    ck_encode_floats(id, x, bytes, count)
  }
}

extension Kernels {
  /// Stores `count` finite floats, a multiple of 32, as `q8_0`.
  package static func encodeBlocks(
    _ x: UnsafePointer<Float>, into bytes: UnsafeMutableRawPointer, count: Int
  ) {
    precondition(count % 32 == 0, "a row fills whole blocks")
    ck_round_row(Int32(CK_Q8_0), x, count, bytes)
  }
}

extension TensorFormat {
  /// The number that the C kernels know this format by; nil for integers.
  package var kernelID: Int32? {
    switch self {
    case .f64: Int32(CK_F64)
    case .f32: Int32(CK_F32)
    case .f16: Int32(CK_F16)
    case .bf16: Int32(CK_BF16)
    case .f8_e4m3: Int32(CK_F8_E4M3)
    case .f8_e5m2: Int32(CK_F8_E5M2)
    case .q4_0: Int32(CK_Q4_0)
    case .q4_1: Int32(CK_Q4_1)
    case .q5_0: Int32(CK_Q5_0)
    case .q5_1: Int32(CK_Q5_1)
    case .q8_0: Int32(CK_Q8_0)
    case .q2_k: Int32(CK_Q2_K)
    case .q3_k: Int32(CK_Q3_K)
    case .q4_k: Int32(CK_Q4_K)
    case .q5_k: Int32(CK_Q5_K)
    case .q6_k: Int32(CK_Q6_K)
    case .iq4_nl: Int32(CK_IQ4_NL)
    case .iq4_xs: Int32(CK_IQ4_XS)
    case .i64, .i32, .i16, .i8, .u64, .u32, .u16, .u8, .bool: nil
    // Run in a form that kernels know, see WeightMatrix.
    case .int4_g32, .int4_g64, .int4_g128, .int8_channel, .w8a8, .uniform8, .uniform16: nil
    }
  }
}
