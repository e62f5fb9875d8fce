internal import ModelFiles

/// The harm that a compressed model may do. A limit holds when the one-sided 95 % confidence bound of what was measured does.
///
/// ```yaml
/// budget: {max-kld: 0.02, min-agreement: 0.95, max-ppl-increase: 1%}
/// ```
public struct QualityBudget: Sendable, Equatable {
  /// The most mean KL divergence from the baseline, in nats a token.
  public var maxKLD: Double?
  /// The least share of positions with the baseline's most likely token; for encoders the least mean cosine to the baseline.
  public var minAgreement: Double?
  /// The most that perplexity may grow, as a fraction.
  public var maxPerplexityIncrease: Double?

  /// A budget of these limits; nil for none.
  public init(maxKLD: Double? = nil, minAgreement: Double? = nil, maxPerplexityIncrease: Double? = nil) {
    self.maxKLD = maxKLD
    self.minAgreement = minAgreement
    self.maxPerplexityIncrease = maxPerplexityIncrease
  }

  /// Whether there is no limit at all.
  public var isEmpty: Bool { maxKLD == nil && minAgreement == nil && maxPerplexityIncrease == nil }

  // MARK: Text

  /// What each limit must look like, by its key.
  public static let expectations = [
    "max-kld": "a number of nats above 0, such as 0.02",
    "min-agreement": "a share above 0 and up to 1, such as 0.95 or 95%",
    "max-ppl-increase": "a percentage such as 1%, or a fraction below 1 such as 0.01",
  ]

  /// Sets the limit of `key` from a user's word; false when it does not mean one.
  public mutating func set(_ key: String, to word: String) -> Bool {
    switch key {
    case "max-kld":
      guard let value = QualityBudget.number(word), value > 0 else { return false }
      maxKLD = value
    case "min-agreement":
      guard let value = QualityBudget.share(word), value > 0, value <= 1 else { return false }
      minAgreement = value
    case "max-ppl-increase":
      // 1 would be 100 %, which nobody means who leaves the sign out.
      guard let value = QualityBudget.share(word), value > 0, value < 1 || word.hasSuffix("%") else {
        return false
      }
      maxPerplexityIncrease = value
    default: return false
    }
    return true
  }

  private static func number(_ word: some StringProtocol) -> Double? {
    Double(word).flatMap { $0.isFinite ? $0 : nil }
  }

  private static func share(_ word: String) -> Double? {
    word.hasSuffix("%") ? number(word.dropLast()).map { $0 / 100 } : number(word)
  }

  /// The limits as keys and words that ``set(_:to:)`` reads.
  public var words: [(key: String, word: String)] {
    [
      ("max-kld", maxKLD.map { "\($0)" }), ("min-agreement", minAgreement.map { "\($0)" }),
      ("max-ppl-increase", maxPerplexityIncrease.map { $0 < 1 ? "\($0)" : "\($0 * 100)%" }),
    ].compactMap { key, word in word.map { (key, $0) } }
  }

  /// Reads the section `budget` of a recipe.
  init(_ section: inout RecipeMapping) throws(RecipeError) {
    self.init()
    let keys = ["max-kld", "min-agreement", "max-ppl-increase"]
    for key in keys {
      guard let word = try section.string(key) else { continue }
      guard set(key, to: word) else {
        throw section.failure("'\(key)' in 'budget' must be \(QualityBudget.expectations[key] ?? "a number")")
      }
    }
    try section.finish(known: keys)
  }

  /// The section.
  var json: JSONValue { .object(JSONObject(words.map { ($0.key, .string($0.word)) })) }
}
