public import Evaluation
public import Passes

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Whether a stage keeps within a budget, limit by limit.
public struct BudgetVerdict: Sendable, Equatable {
  /// One limit.
  public struct Check: Sendable, Equatable {
    /// The limit's key: "max-kld", "min-agreement", "max-ppl-increase".
    public var name: String
    /// The limit.
    public var limit: Double
    /// What was measured.
    public var measured: Double
    /// The one-sided confidence bound of it, the upper one of harm; nil when there were too few blocks to know any.
    public var bound: Double?
    /// Whether the bound is within the limit.
    public var holds: Bool

    /// A check of these parts.
    public init(name: String, limit: Double, measured: Double, bound: Double?, holds: Bool) {
      self.name = name
      self.limit = limit
      self.measured = measured
      self.bound = bound
      self.holds = holds
    }
  }

  /// The confidence of the bounds.
  public var confidence: Double
  /// The blocks (chunks, documents, sentences) that they rest on.
  public var blocks: Int
  /// The limits.
  public var checks: [Check]

  /// A verdict of these parts.
  public init(confidence: Double, blocks: Int, checks: [Check]) {
    self.confidence = confidence
    self.blocks = blocks
    self.checks = checks
  }

  /// Whether every limit holds.
  public var holds: Bool { checks.allSatisfy(\.holds) }

  /// ln(bound of the harm / limit) of the limit that is nearest to being broken, or broken worst: at most 0 when all hold. Harm is
  /// what a limit bounds from above; for an agreement, one minus it.
  public var excess: Double {
    checks.map { check in
      guard let bound = check.bound else { return .infinity }
      let isLeast = check.name.hasPrefix("min")
      let (harm, limit) = isLeast ? (1 - bound, 1 - check.limit) : (bound, check.limit)
      return harm <= 0 ? -.infinity : limit <= 0 ? .infinity : log(harm / limit)
    }.max() ?? -.infinity
  }

  /// The limits that are broken, as one line: "max-kld 0.02: at most 0.031 with 95 % confidence (measured 0.025)".
  public var failure: String? {
    let broken = checks.filter { !$0.holds }.map { check in
      let bound =
        check.bound.map {
          "\(check.name.hasPrefix("min") ? "at least" : "up to") \(NumberFormat.significant($0, 4)) with "
            + "\(NumberFormat.fixed(confidence * 100, 0)) % confidence"
        } ?? "no confidence bound from \(blocks) block\(blocks == 1 ? "" : "s")"
      return
        "\(check.name) \(check.limit): \(bound) (measured \(NumberFormat.significant(check.measured, 4)))"
    }
    return broken.isEmpty ? nil : broken.joined(separator: "; ")
  }
}

extension QualityBudget {
  /// Whether `metrics` keep within the budget; nil when it has no limit or they have no baseline.
  ///
  /// Bounds are over chunks (``ConfidenceBound``): of the mean KL divergence, of the share of positions with another most likely
  /// token, and of ln(PPL / baseline PPL), which is paired: what both models find hard cancels.
  public func verdict(for metrics: LanguageMetrics) -> BudgetVerdict? {
    guard !isEmpty, let divergence = metrics.divergence else { return nil }
    func bound(_ sum: (ChunkSums) -> Double) -> Double? {
      ConfidenceBound.upper(metrics.chunks.map { BlockSum(sum: sum($0), count: $0.tokens) })
    }
    var checks: [BudgetVerdict.Check] = []
    if let limit = maxKLD {
      checks.append(.most("max-kld", limit, divergence.mean.value, bound { $0.divergence ?? 0 }))
    }
    if let limit = minAgreement {
      let other = bound { Double($0.tokens - ($0.sameTop ?? 0)) }
      checks.append(.least("min-agreement", limit, divergence.sameTop.value, other.map { 1 - $0 }))
    }
    if let limit = maxPerplexityIncrease {
      let ratio = bound { $0.loss - ($0.baselineLoss ?? 0) }
      checks.append(
        .most(
          "max-ppl-increase", limit, divergence.perplexityChange.value,
          ratio.map { expm1($0) }))
    }
    return BudgetVerdict(
      confidence: ConfidenceBound.confidence, blocks: metrics.chunks.count, checks: checks)
  }

  /// The same for an encoder: the mean cosine to the baseline, with its error over sentences, against the least agreement. The other
  /// limits mean nothing to an encoder and are not looked at.
  public func verdict(for metrics: EncoderMetrics) -> BudgetVerdict? {
    guard let limit = minAgreement, let similarity = metrics.similarity else { return nil }
    let bound = similarity.mean.standardError.map {
      similarity.mean.value - $0
        * StudentT.quantile(ConfidenceBound.confidence, degrees: max(1, metrics.sentences - 1))
    }
    return BudgetVerdict(
      confidence: ConfidenceBound.confidence, blocks: metrics.sentences,
      checks: [.least("min-agreement", limit, similarity.mean.value, bound)])
  }

  /// The verdict on what a stage was measured to be.
  public func verdict(for evaluation: EvaluationReport) -> BudgetVerdict? {
    switch evaluation {
    case .language(let metrics, _): verdict(for: metrics)
    case .encoder(let metrics, _): verdict(for: metrics)
    case .none: nil
    }
  }
}

extension BudgetVerdict.Check {
  fileprivate static func most(_ name: String, _ limit: Double, _ measured: Double, _ bound: Double?) -> Self
  {
    Self(
      name: name, limit: limit, measured: measured, bound: bound, holds: bound.map { $0 <= limit } ?? false)
  }

  fileprivate static func least(_ name: String, _ limit: Double, _ measured: Double, _ bound: Double?) -> Self
  {
    Self(
      name: name, limit: limit, measured: measured, bound: bound, holds: bound.map { $0 >= limit } ?? false)
  }
}
