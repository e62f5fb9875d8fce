/// How the numbers of a tensor are stored: plain elements, or blocks of quantized weights.
///
/// A value of this type says how many bytes a row takes; the arithmetic of the block formats is in `WeightCodecs`.
/// Layouts: the GGUF block types follow ggml's definitions, see `docs/Formats.md`.
public enum TensorFormat: String, CaseIterable, Hashable, Sendable, Codable {
  case f64, f32, f16, bf16
  case f8_e4m3, f8_e5m2
  case i64, i32, i16, i8, u64, u32, u16, u8, bool
  case q4_0, q4_1, q5_0, q5_1, q8_0
  case q2_k, q3_k, q4_k, q5_k, q6_k
  case iq4_nl, iq4_xs

  /// The number of elements that are stored together; a row's length is a multiple of it.
  public var blockSize: Int { layout.elements }

  /// The bytes that one block takes.
  public var bytesPerBlock: Int { layout.bytes }

  /// Whether the format stores blocks of quantized weights.
  public var isQuantized: Bool { blockSize > 1 }

  /// Whether the elements are floating-point numbers, one by one.
  public var isFloat: Bool {
    switch self {
    case .f64, .f32, .f16, .bf16, .f8_e4m3, .f8_e5m2: true
    default: false
    }
  }

  /// Whether the values can be read as weights: floats or quantized blocks.
  public var isWeight: Bool { isFloat || isQuantized }

  /// Average bits for one weight, block overhead included.
  public var bitsPerWeight: Double { Double(bytesPerBlock * 8) / Double(blockSize) }

  /// The bytes that `count` elements take, or nil when they do not fill whole blocks or the product overflows.
  public func byteCount(of count: Int) -> Int? {
    guard count >= 0, count % blockSize == 0 else { return nil }
    let (bytes, overflow) = (count / blockSize).multipliedReportingOverflow(by: bytesPerBlock)
    return overflow ? nil : bytes
  }

  private var layout: (elements: Int, bytes: Int) {
    switch self {
    case .f64, .i64, .u64: (1, 8)
    case .f32, .i32, .u32: (1, 4)
    case .f16, .bf16, .i16, .u16: (1, 2)
    case .f8_e4m3, .f8_e5m2, .i8, .u8, .bool: (1, 1)
    case .q4_0, .iq4_nl: (32, 18)
    case .q4_1: (32, 20)
    case .q5_0: (32, 22)
    case .q5_1: (32, 24)
    case .q8_0: (32, 34)
    case .q2_k: (256, 84)
    case .q3_k: (256, 110)
    case .q4_k: (256, 144)
    case .q5_k: (256, 176)
    case .q6_k: (256, 210)
    case .iq4_xs: (256, 136)
    }
  }
}
