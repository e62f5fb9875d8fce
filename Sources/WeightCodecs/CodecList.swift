public import TensorCore

/// All codecs, one line each.
public enum CodecList {
  /// Every format that weights can be decoded from.
  public static let all: [any WeightCodec] = []

  /// The codec of `format`, or nil when its elements are no weights (integers, booleans).
  public static func codec(for format: TensorFormat) -> (any WeightCodec)? { table[format] }

  private static let table = Dictionary(uniqueKeysWithValues: all.map { ($0.format, $0) })
}
