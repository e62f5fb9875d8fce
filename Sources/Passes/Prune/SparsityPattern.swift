/// Which weights of a matrix may stay, by number: a share of them all, or some of each group of neighbours.
public enum SparsityPattern: Sendable, Equatable {
  /// This share of the weights becomes zero, 0 … 1.
  case share(Double)
  /// Of each `of` neighbours in a row, `kept` may stay: 2:4 is two of four. A shorter rest of a row keeps its part, rounded up.
  case groups(kept: Int, of: Int)

  /// The largest group.
  public static let longestGroup = 256

  /// The pattern of a word: `0.5`, `50%`, `2:4`; nil for anything else.
  public init?(_ word: String) {
    let parts = word.split(separator: ":", omittingEmptySubsequences: false)
    if parts.count == 2 {
      guard let kept = Int(parts[0]), let length = Int(parts[1]), kept >= 0, length > 0, kept <= length,
        length <= SparsityPattern.longestGroup
      else { return nil }
      self = .groups(kept: kept, of: length)
      return
    }
    let isPercentage = word.hasSuffix("%")
    guard let number = Double(isPercentage ? String(word.dropLast()) : word) else { return nil }
    let share = isPercentage ? number / 100 : number
    guard share >= 0, share <= 1 else { return nil }
    self = .share(share)
  }

  /// The share of weights that become zero; a rest of a row that is no whole group left aside.
  public var sparsity: Double {
    switch self {
    case .share(let share): share
    case .groups(let kept, let length): 1 - Double(kept) / Double(length)
    }
  }

  /// The word of ``init(_:)``.
  public var word: String {
    switch self {
    case .share(let share): String(share)
    case .groups(let kept, let length): "\(kept):\(length)"
    }
  }

  /// A part of a folder's name: "50", "2of4".
  var label: String {
    switch self {
    case .share(let share):
      (share * 1000).rounded() == (share * 100).rounded() * 10
        ? String(Int((share * 100).rounded())) : String((share * 1000).rounded() / 10)
    case .groups(let kept, let length): "\(kept)of\(length)"
    }
  }

  /// How many of `count` weights become zero where there are no groups: rounded to the nearest, halves up.
  static func dropped(_ share: Double, of count: Int) -> Int {
    min(count, Int((share * Double(count)).rounded(.toNearestOrAwayFromZero)))
  }
}
