import Foundation

/// How large the finished artifact may be.
public enum SizeGoal: Sendable, Equatable {
  /// Bytes of the whole artifact.
  case bytes(Int)
  /// Bits of the whole artifact for each weight of the model.
  case bitsPerWeight(Double)

  /// The bytes of an artifact of a model with `parameters` weights.
  public func bytes(parameters: Int) -> Int {
    switch self {
    case .bytes(let bytes): bytes
    case .bitsPerWeight(let bits): Int((bits * Double(parameters) / 8).rounded(.down))
    }
  }

  /// A size as people write it: `40MB` (10⁶ bytes), `40MiB` (2²⁰), `1.5GB`, `800kB`, `123456` bytes; nil for anything else.
  public init?(size text: String) {
    let units: [(String, Double)] = [
      ("kib", 1024), ("mib", 1_048_576), ("gib", 1_073_741_824), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9),
      ("b", 1),
    ]
    let lower = text.lowercased().filter { $0 != " " && $0 != "_" }
    let unit = units.first { lower.hasSuffix($0.0) } ?? ("", 1)
    guard let number = Double(lower.dropLast(unit.0.count)), number.isFinite, number > 0,
      number * unit.1 >= 1, number * unit.1 < 1e15
    else { return nil }
    self = .bytes(Int((number * unit.1).rounded(.down)))
  }

  /// What ``init(size:)`` and numbers of bits read back.
  public var text: String {
    switch self {
    case .bytes(let bytes): "\(bytes)"
    case .bitsPerWeight(let bits): "\(bits)"
    }
  }
}
