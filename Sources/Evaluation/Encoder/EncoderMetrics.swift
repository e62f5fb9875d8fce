/// What an encoder's embeddings are worth.
public struct EncoderMetrics: Sendable, Equatable {
  /// The number of different sentences embedded.
  public var sentences: Int
  /// How many of them were cut to the model's longest sequence.
  public var truncated: Int
  /// The comparison with the baseline's embeddings; nil when there was none.
  public var similarity: Similarity?
  /// The agreement with people's scores; nil when the text had no pairs.
  public var correlation: Correlation?

  /// Metrics of these parts.
  public init(sentences: Int, truncated: Int, similarity: Similarity?, correlation: Correlation?) {
    self.sentences = sentences
    self.truncated = truncated
    self.similarity = similarity
    self.correlation = correlation
  }

  /// The cosine between model and baseline of the same sentence, over sentences.
  public struct Similarity: Sendable, Equatable {
    /// The mean, with its error over sentences.
    public var mean: Estimate
    /// The smallest.
    public var minimum: Double
    /// The 1 % quantile.
    public var percentile1: Double

    /// A comparison of these parts.
    public init(mean: Estimate, minimum: Double, percentile1: Double) {
      self.mean = mean
      self.minimum = minimum
      self.percentile1 = percentile1
    }
  }

  /// Correlations of the cosine of a pair with its score; errors by bootstrap over pairs.
  public struct Correlation: Sendable, Equatable {
    /// The number of pairs.
    public var pairs: Int
    /// Spearman's rank correlation, ties at their average rank.
    public var spearman: Estimate
    /// Pearson's correlation.
    public var pearson: Estimate
    /// The baseline's Spearman; nil without a baseline.
    public var baselineSpearman: Estimate?
    /// The change from it, paired: both are taken on the same resampled pairs.
    public var spearmanChange: Estimate?

    /// Correlations of these parts.
    public init(
      pairs: Int, spearman: Estimate, pearson: Estimate, baselineSpearman: Estimate?,
      spearmanChange: Estimate?
    ) {
      self.pairs = pairs
      self.spearman = spearman
      self.pearson = pearson
      self.baselineSpearman = baselineSpearman
      self.spearmanChange = spearmanChange
    }
  }
}
