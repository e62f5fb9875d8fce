/// Two models next to each other on the same tokens.
public struct TokenComparison: Sendable, Equatable {
  /// The change of −ln p(true token): ln of the ratio of perplexities.
  public var loss: PairedDifference
  /// The change of KL divergence from the baseline; nil unless both were compared with one.
  public var divergence: PairedDifference?
  /// The change of the share of true tokens that were found most likely.
  public var accuracy: PairedDifference
  /// How many tokens were right before and wrong after, and the other way round.
  public var flips: Flips

  /// A comparison of these parts.
  public init(
    loss: PairedDifference, divergence: PairedDifference?, accuracy: PairedDifference, flips: Flips
  ) {
    self.loss = loss
    self.divergence = divergence
    self.accuracy = accuracy
    self.flips = flips
  }

  /// How `second` differs from `first`.
  ///
  /// - Parameter sharesBaseline: whether the divergences of both are from the same baseline.
  /// - Throws: ``EvaluationError`` when they are of other texts, tokens or ways of scoring.
  public init(
    _ first: TokenRecords, _ second: TokenRecords, sharesBaseline: Bool = true,
    bootstrap: Bootstrap = Bootstrap()
  ) throws(EvaluationError) {
    if let difference = first.key.difference(from: second.key, ignoringModel: true) {
      throw EvaluationError(.mismatch, second.key.textName, "the tokens do not fit: \(difference)")
    }
    let (a, b) = (first.tokens, second.tokens)
    guard first.blocks == second.blocks, a.count == b.count, zip(a, b).allSatisfy({ $0.truth == $1.truth })
    else {
      throw EvaluationError(.mismatch, second.key.textName, "the records are of other tokens")
    }
    loss = PairedDifference(
      first.sums { Double(b[$0].loss) - Double(a[$0].loss) }, bootstrap: bootstrap)
    divergence =
      sharesBaseline && first.hasBaseline && second.hasBaseline
      ? PairedDifference(
        first.sums { Double(b[$0].divergence) - Double(a[$0].divergence) }, bootstrap: bootstrap) : nil
    accuracy = PairedDifference(
      first.sums { Double((b[$0].isRight ? 1 : 0) - (a[$0].isRight ? 1 : 0)) }, bootstrap: bootstrap)
    flips = Flips(a.map(\.isRight), b.map(\.isRight))
  }
}

extension [TokenComparison] {
  /// The comparisons with ``PairedDifference/adjusted`` set: Holm's correction over all of them, for each quantity by itself.
  public var corrected: [TokenComparison] {
    var result = self
    result.correct(\.loss)
    result.correct(\.accuracy)
    let places = indices.filter { self[$0].divergence != nil }
    var differences = places.compactMap { self[$0].divergence }
    MultipleTests.correct(&differences)
    for (place, difference) in zip(places, differences) { result[place].divergence = difference }
    return result
  }

  private mutating func correct(_ path: WritableKeyPath<TokenComparison, PairedDifference>) {
    var differences = map { $0[keyPath: path] }
    MultipleTests.correct(&differences)
    for place in indices { self[place][keyPath: path] = differences[place] }
  }
}
