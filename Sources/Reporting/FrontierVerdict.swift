public import Evaluation

/// Whether pruning was worth it: the finished model beside the same original that was only quantized, harder.
///
/// Both are evaluated on the same tokens, so chunks are paired: what a passage costs both cancels.
public struct FrontierVerdict: Sendable, Equatable {
  /// What both have in common.
  public enum Basis: String, Sendable, CaseIterable {
    /// The bytes of the artifact, or fewer for the one that is only quantized.
    case bytes
    /// The time of a decoded token.
    case latency
  }

  /// What came of a comparison.
  public enum Outcome: String, Sendable, CaseIterable {
    /// The pruned model is nearer to the baseline.
    case wins
    /// The model that is only quantized is.
    case loses
    /// The difference is within its confidence interval.
    case tie
  }

  /// The pruned model against one alternative.
  public struct Comparison: Sendable, Equatable {
    /// What both have in common.
    public var basis: Basis
    /// The alternative's formats: "28 × q4_k, 1 × q6_k".
    public var alternative: String
    /// The alternative's artifact.
    public var packedBytes: Int
    /// The alternative's seconds a decoded token; nil when it was not measured.
    public var secondsPerToken: Double?
    /// The alternative's mean KL divergence from the baseline, in nats.
    public var divergence: Estimate
    /// The pruned model's less the alternative's, in nats: positive where pruning does more harm.
    public var difference: Estimate
    /// The interval that holds the true difference with ``FrontierVerdict/confidence``; nil for one chunk of text.
    public var interval: ClosedRange<Double>?

    /// A comparison of these parts.
    public init(
      basis: Basis, alternative: String, packedBytes: Int, secondsPerToken: Double?, divergence: Estimate,
      difference: Estimate, interval: ClosedRange<Double>?
    ) {
      self.basis = basis
      self.alternative = alternative
      self.packedBytes = packedBytes
      self.secondsPerToken = secondsPerToken
      self.divergence = divergence
      self.difference = difference
      self.interval = interval
    }

    /// Who does less harm.
    public var outcome: Outcome {
      guard let interval else { return .tie }
      return interval.upperBound < 0 ? .wins : interval.lowerBound > 0 ? .loses : .tie
    }
  }

  /// The confidence of the intervals.
  public static let confidence = 0.95

  /// The pruned model's artifact.
  public var packedBytes: Int
  /// Its seconds a decoded token; nil when they were not measured.
  public var secondsPerToken: Double?
  /// Its mean KL divergence from the baseline, in nats.
  public var divergence: Estimate
  /// What it was compared with.
  public var comparisons: [Comparison]
  /// Why there is no comparison, or what it leaves open.
  public var notes: [String]

  /// A verdict of these parts.
  public init(
    packedBytes: Int, secondsPerToken: Double?, divergence: Estimate, comparisons: [Comparison] = [],
    notes: [String] = []
  ) {
    self.packedBytes = packedBytes
    self.secondsPerToken = secondsPerToken
    self.divergence = divergence
    self.comparisons = comparisons
    self.notes = notes
  }

  /// Whether quantizing harder is better by any measure.
  public var loses: Bool { comparisons.contains { $0.outcome == .loses } }
}

extension FrontierVerdict.Comparison {
  /// A comparison of a pruned model and an alternative that were evaluated on the same chunks.
  ///
  /// - Returns: nil where a chunk has no divergence, or the chunks are not the same.
  public init?(
    basis: FrontierVerdict.Basis, pruned: LanguageMetrics, with other: LanguageMetrics, alternative: String,
    packedBytes: Int, secondsPerToken: Double?
  ) {
    guard let divergence = other.divergence?.mean, pruned.chunks.count == other.chunks.count else {
      return nil
    }
    var blocks: [BlockSum] = []
    for (mine, theirs) in zip(pruned.chunks, other.chunks) {
      guard mine.tokens == theirs.tokens, let a = mine.divergence, let b = theirs.divergence else {
        return nil
      }
      blocks.append(BlockSum(sum: a - b, count: mine.tokens))
    }
    guard !blocks.isEmpty else { return nil }
    let difference = Estimate(blocks: blocks)
    let interval = difference.standardError.map { error in
      let reach =
        error
        * StudentT.quantile(1 - (1 - FrontierVerdict.confidence) / 2, degrees: blocks.count - 1)
      return difference.value - reach...difference.value + reach
    }
    self.init(
      basis: basis, alternative: alternative, packedBytes: packedBytes, secondsPerToken: secondsPerToken,
      divergence: divergence, difference: difference, interval: interval)
  }

  /// The outcome in words: "pruning loses: 0.012 ± 0.001 nats more harm at equal bytes".
  public var text: String {
    let size = NumberFormat.estimate(Estimate(abs(difference.value), standardError: difference.standardError))
    let place = basis == .bytes ? "at equal bytes" : "at equal latency"
    switch outcome {
    case .wins: return "pruning wins \(place): \(size) nats less harm than quantizing harder"
    case .loses: return "pruning loses \(place): \(size) nats more harm than quantizing harder"
    case .tie: return "a tie \(place): \(size) nats apart, within the confidence interval"
    }
  }
}
