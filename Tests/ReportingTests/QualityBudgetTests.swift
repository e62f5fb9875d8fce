import Evaluation
import Passes
import Reporting
import Testing

@Suite("Quality budgets")
struct QualityBudgetTests {
  @Test(
    "words that mean a limit",
    arguments: [
      ("max-kld", "0.02", 0.02), ("max-kld", "1e-3", 0.001), ("min-agreement", "0.95", 0.95),
      ("min-agreement", "95%", 0.95), ("min-agreement", "1", 1), ("max-ppl-increase", "1%", 0.01),
      ("max-ppl-increase", "0.5%", 0.005), ("max-ppl-increase", "0.01", 0.01),
      ("max-ppl-increase", "150%", 1.5),
    ])
  func words(key: String, word: String, value: Double) throws {
    var budget = QualityBudget()
    let isSet = budget.set(key, to: word)
    #expect(isSet)
    let found = [budget.maxKLD, budget.minAgreement, budget.maxPerplexityIncrease].compactMap { $0 }
    #expect(found.count == 1 && abs(found[0] - value) < 1e-15)
    // What is written reads back.
    var again = QualityBudget()
    for (key, word) in budget.words {
      let isSet = again.set(key, to: word)
      #expect(isSet)
    }
    #expect(again == budget)
  }

  @Test(
    "words that mean none",
    arguments: [
      ("max-kld", "0"), ("max-kld", "-1"), ("max-kld", "nan"), ("max-kld", "inf"), ("max-kld", "2%"),
      ("max-kld", ""),
      ("min-agreement", "0"), ("min-agreement", "1.1"), ("min-agreement", "95"), ("min-agreement", "101%"),
      ("min-agreement", "%"), ("max-ppl-increase", "1"), ("max-ppl-increase", "-1%"),
      ("max-ppl-increase", "x"),
      ("speed", "1"),
    ])
  func nonsense(key: String, word: String) {
    var budget = QualityBudget()
    let isSet = budget.set(key, to: word)
    #expect(!isSet && budget.isEmpty)
  }

  /// Chunks of 100 tokens with these KL divergences, agreements and log ratios.
  private func metrics(_ chunks: [(kld: Double, same: Int, ratio: Double)]) -> LanguageMetrics {
    LanguageMetrics(
      context: 200,
      chunks: chunks.map {
        ChunkSums(
          tokens: 100, loss: 300 + $0.ratio * 100, baselineLoss: 300, divergence: $0.kld * 100,
          sameTop: $0.same,
          squaredDelta: 0.01)
      }, divergences: [0.1])
  }

  private let measured: [(kld: Double, same: Int, ratio: Double)] = [
    (0.010, 97, 0.001), (0.012, 96, 0.002), (0.014, 95, 0.003),
  ]

  @Test("bounds, not means, are held against the limits")
  func verdict() throws {
    let budget = QualityBudget(maxKLD: 0.0155, minAgreement: 0.94, maxPerplexityIncrease: 0.004)
    let verdict = try #require(budget.verdict(for: metrics(measured)))
    #expect(verdict.blocks == 3 && verdict.confidence == 0.95)
    #expect(verdict.checks.map(\.name) == ["max-kld", "min-agreement", "max-ppl-increase"])
    let t = 2.919985580353726 / 3.0.squareRoot()
    let bounds = verdict.checks.compactMap(\.bound)
    #expect(abs(bounds[0] - (0.012 + 0.002 * t)) < 1e-9)
    #expect(abs(bounds[1] - (0.96 - 0.01 * t)) < 1e-9)
    #expect(abs(bounds[2] - 0.003693) < 1e-5)
    #expect(verdict.checks.map(\.holds) == [true, true, true] && verdict.holds && verdict.failure == nil)
    // The mean is within these limits, its bound is not.
    let strict = QualityBudget(maxKLD: 0.013, minAgreement: 0.95, maxPerplexityIncrease: 0.0025)
    let broken = try #require(strict.verdict(for: metrics(measured)))
    #expect(broken.checks.map(\.holds) == [false, false, false])
    #expect(
      broken.failure?.hasPrefix(
        "max-kld 0.013: up to 0.01537 with 95 % confidence (measured 0.01200); min-agreement")
        == true, "\(broken.failure ?? "")")
  }

  @Test("a single chunk knows no bound, so no limit holds")
  func single() throws {
    let verdict = try #require(QualityBudget(maxKLD: 1).verdict(for: metrics([measured[0]])))
    #expect(!verdict.holds && verdict.checks[0].bound == nil)
    #expect(verdict.failure == "max-kld 1.0: no confidence bound from 1 block (measured 0.01000)")
  }

  @Test("no verdict without limits, or without a baseline")
  func none() {
    #expect(QualityBudget().verdict(for: metrics(measured)) == nil)
    let alone = LanguageMetrics(context: 8, chunks: [ChunkSums(tokens: 4, loss: 3)], divergences: [])
    #expect(QualityBudget(maxKLD: 1).verdict(for: alone) == nil)
    #expect(QualityBudget(maxKLD: 1).verdict(for: .none(reason: "unknown")) == nil)
  }

  @Test("an encoder's agreement is its mean cosine, with its error over sentences")
  func encoder() throws {
    let metrics = EncoderMetrics(
      sentences: 101, truncated: 0,
      similarity: .init(mean: Estimate(0.99, standardError: 0.001), minimum: 0.9, percentile1: 0.95),
      correlation: nil)
    let verdict = try #require(QualityBudget(minAgreement: 0.988).verdict(for: metrics))
    #expect(abs((verdict.checks[0].bound ?? 0) - (0.99 - 0.001 * 1.6602343260657506)) < 1e-9)
    #expect(verdict.holds && verdict.blocks == 101)
    #expect(QualityBudget(minAgreement: 0.989).verdict(for: metrics)?.holds == false)
  }

  @Test("a verdict is read from its JSON as it was written")
  func json() throws {
    let verdict = try #require(
      QualityBudget(maxKLD: 0.013, minAgreement: 0.9).verdict(for: metrics(measured)))
    var stage = Samples.stage()
    stage.budget = verdict
    let read = try StageReport(json: stage.json)
    #expect(read.budget?.checks.map(\.holds) == [false, true])
    #expect(read.budget?.checks.map(\.name) == verdict.checks.map(\.name))
  }
}
