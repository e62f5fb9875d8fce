internal import Foundation
internal import ModelFiles

/// How large the finished artifact may be.
public enum SizeGoal: Sendable, Equatable {
  /// Bytes of the whole artifact.
  case bytes(Int)
  /// Bits of the whole artifact for each weight of the model.
  case bitsPerWeight(Double)
  /// The smallest that keeps within the recipe's quality budget.
  case budget

  /// The bytes of an artifact of a model with `parameters` weights; nil when the budget decides.
  public func bytes(parameters: Int) -> Int? {
    switch self {
    case .bytes(let bytes): bytes
    case .bitsPerWeight(let bits): Int((bits * Double(parameters) / 8).rounded(.down))
    case .budget: nil
    }
  }

  /// The goal of a pass's options: `target-size` or `target-bpw`, or the recipe's budget.
  init(_ options: inout RecipeMapping) throws(RecipeError) {
    let (size, bits) = (try options.string("target-size"), try options.number("target-bpw", in: 1...32))
    switch (size, bits) {
    case (nil, nil): self = .budget
    case (let size?, nil):
      guard let goal = SizeGoal(size: size) else {
        throw options.failure("'target-size' must be a size such as 40MB or 38MiB, not '\(size)'")
      }
      self = goal
    case (nil, let bits?):
      self = .bitsPerWeight(bits)
    case (_?, _?): throw options.failure("give 'target-size' or 'target-bpw', not both")
    }
  }

  /// The option that the initializer reads back.
  var option: (key: String, value: JSONValue)? {
    switch self {
    case .bytes(let bytes): ("target-size", .string("\(bytes)"))
    case .bitsPerWeight(let bits): ("target-bpw", .number(bits))
    case .budget: nil
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
}
