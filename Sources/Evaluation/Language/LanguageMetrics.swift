#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// What a language model reached on a text, and how far it is from a baseline on the same tokens.
///
/// Standard errors are over chunks (see ``Estimate/init(blocks:)``).
public struct LanguageMetrics: Sendable, Equatable {
  /// The number of scored predictions.
  public var tokens: Int
  /// The tokens of a full chunk.
  public var context: Int
  /// The mean negative log-likelihood of the true token, in nats.
  public var loss: Estimate
  /// exp(loss); its error by the delta method.
  public var perplexity: Estimate
  /// The comparison with the baseline; nil when there was none.
  public var divergence: Divergence?
  /// The sums over each chunk, for paired comparisons with other runs on the same text.
  public var chunks: [ChunkSums]

  /// Metrics of these parts.
  public init(
    tokens: Int, context: Int, loss: Estimate, perplexity: Estimate, divergence: Divergence?,
    chunks: [ChunkSums]
  ) {
    self.tokens = tokens
    self.context = context
    self.loss = loss
    self.perplexity = perplexity
    self.divergence = divergence
    self.chunks = chunks
  }
}

/// How a model's predictions differ from those of a baseline, token by token.
public struct Divergence: Sendable, Equatable {
  /// The baseline's perplexity on the same tokens.
  public var baselinePerplexity: Estimate
  /// The mean of KL(baseline ‖ model) of the full next-token distributions, in nats.
  public var mean: Estimate
  /// Its median over tokens.
  public var median: Double
  /// Its 99 % quantile.
  public var percentile99: Double
  /// Its 99.9 % quantile.
  public var percentile999: Double
  /// Its largest value.
  public var maximum: Double
  /// The fraction of positions at which both find the same token most likely.
  public var sameTop: Estimate
  /// The root mean square of the change in the true token's probability.
  public var deltaProbability: Estimate
  /// ln(PPL / baseline PPL). Paired: the errors that both share cancel.
  public var logRatio: Estimate
  /// How KL divergences were estimated; nil when they are of whole distributions.
  public var approximation: Approximation?

  /// An estimate from the likeliest tokens of the baseline and a sample of the others.
  public struct Approximation: Sendable, Equatable {
    /// The mean probability of the others together.
    public var tailMass: Double
    /// What the mean KL divergence would be if the others counted as one: it cannot be below that.
    public var lowerBound: Double

    /// An approximation of these parts.
    public init(tailMass: Double, lowerBound: Double) {
      self.tailMass = tailMass
      self.lowerBound = lowerBound
    }
  }

  /// PPL / baseline PPL − 1, from ``logRatio`` by the delta method.
  public var perplexityChange: Estimate {
    let ratio = exp(logRatio.value)
    return Estimate(ratio - 1, standardError: logRatio.standardError.map { $0 * ratio })
  }

  /// A comparison of these parts.
  public init(
    baselinePerplexity: Estimate, mean: Estimate, median: Double, percentile99: Double, percentile999: Double,
    maximum: Double, sameTop: Estimate, deltaProbability: Estimate, logRatio: Estimate,
    approximation: Approximation? = nil
  ) {
    self.baselinePerplexity = baselinePerplexity
    self.mean = mean
    self.median = median
    self.percentile99 = percentile99
    self.percentile999 = percentile999
    self.maximum = maximum
    self.sameTop = sameTop
    self.deltaProbability = deltaProbability
    self.logRatio = logRatio
    self.approximation = approximation
  }
}

/// The sums over the scored predictions of one chunk.
public struct ChunkSums: Sendable, Equatable {
  /// The number of scored predictions.
  public var tokens: Int
  /// The sum of −ln p(true token).
  public var loss: Double
  /// The same of the baseline; nil when there was none, as for those that follow.
  public var baselineLoss: Double?
  /// The sum of KL divergences.
  public var divergence: Double?
  /// The number of positions with the same most likely token.
  public var sameTop: Int?
  /// The sum of (p − p of the baseline)² of the true token.
  public var squaredDelta: Double?

  /// Sums without a baseline's.
  public init(
    tokens: Int, loss: Double, baselineLoss: Double? = nil, divergence: Double? = nil, sameTop: Int? = nil,
    squaredDelta: Double? = nil
  ) {
    self.tokens = tokens
    self.loss = loss
    self.baselineLoss = baselineLoss
    self.divergence = divergence
    self.sameTop = sameTop
    self.squaredDelta = squaredDelta
  }
}

extension LanguageMetrics {
  /// The metrics that the chunks' sums and the divergence of each token give.
  ///
  /// - Parameter divergences: one value for each scored prediction, in any order; empty without a baseline.
  public init(context: Int, chunks: [ChunkSums], divergences: [Double]) {
    let loss = Estimate(blocks: chunks.map { BlockSum(sum: $0.loss, count: $0.tokens) })
    self.init(
      tokens: chunks.reduce(0) { $0 + $1.tokens }, context: context, loss: loss, perplexity: loss.exponential,
      divergence: Divergence(chunks: chunks, divergences: divergences), chunks: chunks)
  }
}

extension Divergence {
  fileprivate init?(chunks: [ChunkSums], divergences: [Double]) {
    guard !divergences.isEmpty else { return nil }
    func estimate(_ sum: (ChunkSums) -> Double) -> Estimate {
      Estimate(blocks: chunks.map { BlockSum(sum: sum($0), count: $0.tokens) })
    }
    let sorted = divergences.sorted()
    let squared = estimate { $0.squaredDelta ?? 0 }
    let root = squared.value.squareRoot()
    self.init(
      baselinePerplexity: estimate { $0.baselineLoss ?? 0 }.exponential,
      mean: estimate { $0.divergence ?? 0 },
      median: Statistics.quantile(ofSorted: sorted, 0.5),
      percentile99: Statistics.quantile(ofSorted: sorted, 0.99),
      percentile999: Statistics.quantile(ofSorted: sorted, 0.999),
      maximum: sorted[sorted.count - 1],
      sameTop: estimate { Double($0.sameTop ?? 0) },
      deltaProbability: squared.mapped(to: root, slope: root > 0 ? 1 / (2 * root) : 0),
      logRatio: estimate { $0.loss - ($0.baselineLoss ?? 0) })
  }
}
