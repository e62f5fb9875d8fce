public import TensorCore

/// The format a tensor gets, and why when it is not the one asked for.
public struct FormatChoice: Equatable, Sendable {
  /// The format to store.
  public let format: TensorFormat
  /// Why it differs from what was asked for, in one line for the report; nil when it does not.
  public let reason: String?

  /// A choice with its reason.
  public init(format: TensorFormat, reason: String?) {
    self.format = format
    self.reason = reason
  }
}

/// What is stored when rows do not divide by a format's block.
public enum FormatPlan {
  /// The format to use for rows of `rowLength` weights in place of `format`.
  ///
  /// The replacement has the same size where one exists (q4_k → iq4_nl and q5_k → q5_0 are byte for byte as
  /// large); where it is larger, the reason says by how much.
  public static func fallback(for format: TensorFormat, rowLength: Int) -> FormatChoice {
    guard rowLength % format.blockSize != 0 else { return FormatChoice(format: format, reason: nil) }
    if let smaller = smallerGroup(format, rowLength) {
      return FormatChoice(format: smaller, reason: reason(format, smaller, rowLength))
    }
    let chosen = rowLength % 32 == 0 ? narrow(format) : .f16
    return FormatChoice(format: chosen, reason: reason(format, chosen, rowLength))
  }

  /// The format in place of one that cannot hold a zero among other weights: of the same size where there is one, else of the next
  /// larger one; the format itself where it can.
  public static func holdingZeros(_ format: TensorFormat) -> TensorFormat {
    switch format {
    case .q4_k, .iq4_nl, .iq4_xs: .q4_0
    case .q4_1, .q5_1, .q5_k: .q5_0
    case .q2_k: .q3_k
    default: format
    }
  }

  /// The largest group that divides rows, for formats with groups of several sizes; no reader takes a broken group.
  /// One scale a row, in 8 bits, where none does. Nil for other formats.
  private static func smallerGroup(_ format: TensorFormat, _ rowLength: Int) -> TensorFormat? {
    guard [.int4_g32, .int4_g64, .int4_g128].contains(format) else { return nil }
    let smaller = [TensorFormat.int4_g64, .int4_g32].filter { $0.blockSize < format.blockSize }
    return smaller.first { rowLength % $0.blockSize == 0 } ?? .int8_channel
  }

  /// The block-of-32 format nearest to a block-of-256 one, never smaller.
  private static func narrow(_ format: TensorFormat) -> TensorFormat {
    switch format {
    case .q5_k: .q5_0
    case .q6_k: .q8_0
    case .q2_k, .q3_k, .q4_k, .iq4_xs: .iq4_nl
    default: .f16
    }
  }

  private static func reason(_ format: TensorFormat, _ chosen: TensorFormat, _ rowLength: Int) -> String {
    let (from, to) = (format.bitsPerWeight, chosen.bitsPerWeight)
    let size = to > from ? "larger: \(to) instead of \(from) bits" : "the same size: \(to) bits"
    return "rows of \(rowLength) do not divide by \(format.blockSize), the block of \(format.rawValue); "
      + "stored as \(chosen.rawValue) (\(size) per weight)"
  }
}
