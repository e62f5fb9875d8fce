#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The mean difference of a quantity between two models on the same observations, and whether it is one.
///
/// What both models find hard cancels, so the error is far below that of either mean (Miller, "Adding Error Bars to Evals", 2024).
/// Blocks (documents, chunks of running text) are what is independent, so errors are over blocks.
public struct PairedDifference: Sendable, Equatable {
  /// What the sample says about the second model, next to the first.
  public enum Verdict: String, Sendable {
    case better, worse
    /// No difference can be told from chance at this sample. That is not to say that there is none.
    case tie
    /// A single block says nothing about chance.
    case unknown
  }

  /// The share of samples that the intervals and the test are wrong on.
  public static let level = 0.05
  /// The share of samples in which a difference of ``detectable`` is found.
  public static let power = 0.8

  /// The second model's mean minus the first's, with its error over blocks.
  public var estimate: Estimate
  /// The blocks.
  public var blocks: Int
  /// The 95 % interval by Student's t of one degree less than there are blocks; nil for a single block.
  public var interval: Interval?
  /// The 95 % interval by resampling blocks with replacement: quantiles of the mean; nil for a single block.
  public var bootstrap: Interval?
  /// The probability of such a difference, or a larger one, if there were none: two-sided t test; nil for a single block.
  public var probability: Double?
  /// The same after Holm's correction over all comparisons of this quantity in a report; nil before it and for a single block.
  public var adjusted: Double?
  /// The least true difference that a sample like this finds in four of five cases; nil for a single block.
  public var detectable: Double?

  /// A range of values.
  public struct Interval: Sendable, Equatable {
    /// The lower end.
    public var low: Double
    /// The upper end.
    public var high: Double

    /// A range from `low` to `high`.
    public init(_ low: Double, _ high: Double) {
      self.low = low
      self.high = high
    }
  }

  /// A difference of these parts.
  public init(
    estimate: Estimate, blocks: Int, interval: Interval?, bootstrap: Interval?, probability: Double?,
    adjusted: Double?, detectable: Double?
  ) {
    self.estimate = estimate
    self.blocks = blocks
    self.interval = interval
    self.bootstrap = bootstrap
    self.probability = probability
    self.adjusted = adjusted
    self.detectable = detectable
  }

  /// The difference whose sums over blocks are `differences`.
  ///
  /// - Precondition: at least one observation.
  public init(_ differences: [BlockSum], bootstrap: Bootstrap = Bootstrap()) {
    let estimate = Estimate(blocks: differences)
    self.init(
      estimate: estimate, blocks: differences.count, interval: nil, bootstrap: nil, probability: nil,
      adjusted: nil, detectable: nil)
    guard let error = estimate.standardError else { return }
    let degrees = differences.count - 1
    let t = StudentT.quantile(1 - PairedDifference.level / 2, degrees: degrees)
    interval = Interval(estimate.value - t * error, estimate.value + t * error)
    self.bootstrap = bootstrap.interval(differences)
    detectable = (t + StudentT.quantile(PairedDifference.power, degrees: degrees)) * error
    // 2 T(−|t|), not 2 (1 − T(|t|)), which has no digits left where the difference is certain.
    probability =
      error > 0
      ? min(1, 2 * StudentT.cumulative(-abs(estimate.value) / error, degrees: degrees))
      : estimate.value == 0 ? 1 : 0
  }

  /// The verdict, where less of the quantity is better, or more of it.
  public func verdict(lessIsBetter: Bool = true) -> Verdict {
    guard let probability = adjusted ?? probability else { return .unknown }
    guard probability < PairedDifference.level, estimate.value != 0 else { return .tie }
    return (estimate.value < 0) == lessIsBetter ? .better : .worse
  }
}

/// Corrections for asking many questions of one sample.
public enum MultipleTests {
  /// Holm's step-down correction (1979): the i-th smallest of n probabilities times n − i + 1, never below an earlier one, at most 1.
  /// If whatever stays below 5 % is called a difference, any of those calls is wrong in at most 5 % of samples.
  public static func holm(_ probabilities: [Double]) -> [Double] {
    var adjusted = probabilities
    var largest = 0.0
    let order = probabilities.indices.sorted { probabilities[$0] < probabilities[$1] }
    for (rank, place) in order.enumerated() {
      largest = max(largest, min(1, Double(probabilities.count - rank) * probabilities[place]))
      adjusted[place] = largest
    }
    return adjusted
  }

  /// Sets ``PairedDifference/adjusted`` of all `differences` of one quantity; those of single blocks are left out.
  public static func correct(_ differences: inout [PairedDifference]) {
    let places = differences.indices.filter { differences[$0].probability != nil }
    let adjusted = holm(places.map { differences[$0].probability ?? 1 })
    for (place, value) in zip(places, adjusted) { differences[place].adjusted = value }
  }
}

extension Bootstrap {
  /// The interval that holds all but ``PairedDifference/level`` of the means of resampled blocks; nil for fewer than two.
  public func interval(_ blocks: [BlockSum]) -> PairedDifference.Interval? {
    guard blocks.count > 1 else { return nil }
    let means = samples(blockCount: blocks.count) { indices -> Double? in
      var (sum, count) = (0.0, 0)
      for index in indices {
        sum += blocks[index].sum
        count += blocks[index].count
      }
      return count > 0 ? sum / Double(count) : nil
    }.compactMap { $0 }.sorted()
    guard !means.isEmpty else { return nil }
    return .init(
      Statistics.quantile(ofSorted: means, PairedDifference.level / 2),
      Statistics.quantile(ofSorted: means, 1 - PairedDifference.level / 2))
  }
}
