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
  /// Symmetric 4-bit codes with a half-precision scale for each group of 32, 64 or 128: x = d·(q − 8).
  case int4_g32 = "int4.g32"
  case int4_g64 = "int4.g64"
  case int4_g128 = "int4.g128"
  /// Signed 8-bit codes with a half-precision scale for each row: x = d·q.
  case int8_channel = "int8.channel"
  /// The same rows as `int8_channel`, for activations in 8 bits with one scale a token: W8A8.
  case w8a8
  /// Uniform codes of one or two bytes with a half-precision scale for each row and each column: x = r·q·c.
  case uniform8, uniform16

  /// The number of elements that are stored together; a row's length is a multiple of it.
  public var blockSize: Int { layout.elements }

  /// The bytes that one block takes.
  public var bytesPerBlock: Int { layout.bytes }

  /// Whether the format stores blocks of quantized weights.
  public var isQuantized: Bool { blockSize > 1 || rowHeaderBytes > 0 }

  /// Whether the elements are floating-point numbers, one by one.
  public var isFloat: Bool {
    switch self {
    case .f64, .f32, .f16, .bf16, .f8_e4m3, .f8_e5m2: true
    default: false
    }
  }

  /// Whether the values can be read as weights: floats or quantized blocks.
  public var isWeight: Bool { isFloat || isQuantized }

  /// Whether a weight of zero is stored as exactly zero, whatever its neighbours are: not by an offset, not by a table that lacks 0.
  public var holdsZero: Bool {
    switch self {
    case .q4_1, .q5_1, .q2_k, .q4_k, .q5_k, .iq4_nl, .iq4_xs: false
    default: isWeight
    }
  }

  /// Average bits for one weight, block overhead included.
  public var bitsPerWeight: Double { Double(bytesPerBlock * 8) / Double(blockSize) }

  /// The bytes before the blocks of each row: its scale, in formats that have one a row.
  public var rowHeaderBytes: Int {
    switch self {
    case .int8_channel, .w8a8, .uniform8, .uniform16: 2
    default: 0
    }
  }

  /// The bytes behind the last row for each column: its scale, in formats that have one a column.
  public var trailerBytesPerColumn: Int { self == .uniform8 || self == .uniform16 ? 2 : 0 }

  /// The bytes that a row of `count` elements takes, or nil when they do not fill whole blocks or the product overflows.
  public func byteCount(of count: Int) -> Int? {
    guard count >= 0, count % blockSize == 0 else { return nil }
    let (bytes, overflow) = (count / blockSize).multipliedReportingOverflow(by: bytesPerBlock)
    let (total, overflows) = bytes.addingReportingOverflow(rowHeaderBytes)
    return overflow || overflows ? nil : total
  }

  /// The bytes that a matrix takes: its rows, then the trailer of formats that have one; nil as for ``byteCount(of:)``.
  public func byteCount(rows: Int, columns: Int) -> Int? {
    guard rows >= 0, let row = byteCount(of: columns) else { return nil }
    let (bytes, overflow) = row.multipliedReportingOverflow(by: rows)
    let (trailer, overflows) = columns.multipliedReportingOverflow(by: trailerBytesPerColumn)
    let (total, exceeds) = bytes.addingReportingOverflow(trailer)
    return overflow || overflows || exceeds ? nil : total
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
    case .int4_g32: (32, 18)
    case .int4_g64: (64, 34)
    case .int4_g128: (128, 66)
    case .int8_channel, .w8a8, .uniform8: (1, 1)
    case .uniform16: (1, 2)
    }
  }
}
