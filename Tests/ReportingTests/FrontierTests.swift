import Evaluation
import Foundation
import ModelFiles
import Reporting
import Testing

/// Whether pruning was worth it, by paired chunks.
@Suite struct FrontierTests {
  /// Metrics with these sums of divergence, 100 tokens a chunk.
  static func metrics(_ sums: [Double]) -> LanguageMetrics {
    LanguageMetrics(
      context: 200,
      chunks: sums.map {
        ChunkSums(tokens: 100, loss: 300, baselineLoss: 299, divergence: $0, sameTop: 90, squaredDelta: 0.1)
      }, divergences: sums)
  }

  static func comparison(_ pruned: [Double], _ other: [Double]) -> FrontierVerdict.Comparison? {
    FrontierVerdict.Comparison(
      basis: .bytes, pruned: metrics(pruned), with: metrics(other), alternative: "3 × q4_k", packedBytes: 10,
      secondsPerToken: 0.25)
  }

  /// Chunks that are hard for both say nothing about the difference: what counts is that it is the same in each.
  @Test func differencesArePaired() throws {
    let loses = try #require(Self.comparison([2.1, 9.1, 4.0, 1.1], [1, 8, 3, 0]))
    #expect(loses.outcome == .loses)
    // The differences are 1.1, 1.1, 1.0, 1.1 in 100 tokens: mean 0.01075, standard deviation 0.0005, t of 3 degrees 3.1824.
    let interval = try #require(loses.interval)
    #expect(abs(loses.difference.value - 0.01075) < 1e-12)
    #expect(abs(interval.upperBound - 0.01075 - 0.00025 * 3.182446) < 1e-8)
    #expect(loses.text.hasPrefix("pruning loses at equal bytes: 0.010"))
    #expect(Self.comparison([1, 8, 3, 0], [2.1, 9.1, 4.0, 1.1])?.outcome == .wins)
    #expect(Self.comparison([1, 9, 3, 1], [2, 8, 4, 0])?.outcome == .tie)
  }

  @Test func oneChunkDecidesNothing() throws {
    let single = try #require(Self.comparison([5], [1]))
    #expect(single.interval == nil && single.outcome == .tie)
    #expect(Self.comparison([5, 1], [1]) == nil)
  }

  @Test func verdictsComeBackFromJSON() throws {
    var report = Samples.calibratedStage
    report.frontier = FrontierVerdict(
      packedBytes: 12, secondsPerToken: 0.5, divergence: Estimate(0.5, standardError: 0.25),
      comparisons: [Self.comparison([2.5, 9.5], [1, 8]), Self.comparison([2.5], [1])].compactMap { $0 },
      notes: ["a note"])
    report.sparsity = SparsityReport(
      matrices: 2, weights: 1000, kept: 400, packedBytes: 309, maskBytes: 100, valueBytes: 200)
    let back = try StageReport(json: report.json)
    #expect(back.frontier?.comparisons.map(\.outcome) == report.frontier?.comparisons.map(\.outcome))
    #expect(back.json == report.json)
    #expect(report.sparsity?.text.contains("60.0 % zeros in 2 matrices") ?? false)
    #expect(report.sparsity?.text.contains("3.0 % above the entropy") ?? false)
    let page = MarkdownReport.text(report)
    #expect(page.contains("## Pruning against quantizing harder") && page.contains("pruning **loses**"))
  }
}
