public import TensorCore

/// All codecs, one line each.
public enum CodecList {
  /// Every format that weights can be decoded from.
  public static let all: [any WeightCodec] = [
    F64(),
    F32(),
    F16(),
    BF16(),
    F8(format: .f8_e4m3),
    F8(format: .f8_e5m2),
    Q4_0(),
    Q4_1(),
    Q5_0(),
    Q5_1(),
    Q8_0(),
    Q2_K(),
    Q3_K(),
    Q4_K(),
    Q5_K(),
    Q6_K(),
    IQ4_NL(),
    IQ4_XS(),
    Int4Group(format: .int4_g32),
    Int4Group(format: .int4_g64),
    Int4Group(format: .int4_g128),
    Int8Channel(format: .int8_channel),
    Int8Channel(format: .w8a8),
    Uniform(format: .uniform8),
    Uniform(format: .uniform16),
  ]

  /// The codec of `format`, or nil when its elements are no weights (integers, booleans).
  public static func codec(for format: TensorFormat) -> (any WeightCodec)? { table[format] }

  private static let table = Dictionary(uniqueKeysWithValues: all.map { ($0.format, $0) })
}
