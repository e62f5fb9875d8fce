import Evaluation
import Foundation
import TensorCore
import Testing

@Suite("Confidence bounds")
struct ConfidenceBoundTests {
  /// scipy.stats.t.ppf
  @Test(
    "quantiles of t are those of scipy",
    arguments: [
      (0.95, 1, 6.313751514675041), (0.95, 2, 2.919985580353726), (0.95, 3, 2.3533634348018264),
      (0.95, 7, 1.894578605061305), (0.95, 31, 1.6955187825458649), (0.95, 1000, 1.6463788172854847),
      (0.975, 10, 2.2281388519649385), (0.05, 4, -2.1318467863266513), (0.999, 5, 5.893429531356012),
      (0.5, 9, 0.0), (0.6, 1, 0.3249196962329063),
    ])
  func quantiles(probability: Double, degrees: Int, expected: Double) {
    let value = StudentT.quantile(probability, degrees: degrees)
    #expect(abs(value - expected) <= 1e-9 * max(1, abs(expected)), "\(value)")
    #expect(abs(StudentT.cumulative(value, degrees: degrees) - probability) < 1e-12)
  }

  private static func blocks(_ sums: [Double], count: Int = 10) -> [BlockSum] {
    sums.map { BlockSum(sum: $0, count: count) }
  }

  @Test("symmetric blocks: mean ± t · sd / √n, by hand")
  func byHand() throws {
    // Block means 1, 2, 3: mean 2, sd 1, no skewness; t(0.95, 2) = 2.91999.
    let blocks = Self.blocks([10, 20, 30])
    let upper = try #require(ConfidenceBound.upper(blocks))
    let lower = try #require(ConfidenceBound.lower(blocks))
    #expect(abs(upper - (2 + 2.919985580353726 / 3.0.squareRoot())) < 1e-9)
    #expect(abs(lower - (2 - 2.919985580353726 / 3.0.squareRoot())) < 1e-9)
  }

  @Test("skewness to the right widens the upper bound by its term, to the left never narrows it")
  func skewed() throws {
    // Means 0, 0, 0, 1: mean 0.25, sd 0.5, skewness 2.
    let right = try #require(ConfidenceBound.upper(Self.blocks([0, 0, 0, 10])))
    let t = 2.3533634348018264
    #expect(abs(right - (0.25 + 0.25 * (t + 2 * (1 + 2 * t * t) / 12))) < 1e-9)
    let left = try #require(ConfidenceBound.upper(Self.blocks([10, 10, 10, 0])))
    #expect(abs(left - (0.75 + 0.25 * t)) < 1e-9)
    #expect(
      ConfidenceBound.lower(Self.blocks([0, 0, 0, 10])).map { abs($0 - (0.25 - 0.25 * t)) < 1e-9 } == true)
  }

  @Test("one block says nothing, equal blocks everything")
  func edges() {
    #expect(ConfidenceBound.upper(Self.blocks([3])) == nil)
    #expect(ConfidenceBound.upper(Self.blocks([5, 5, 5])) == 0.5)
    #expect(ConfidenceBound.upper(Self.blocks([0, 0])) == 0)
    #expect(Bootstrap(resamples: 100).upperBound(Self.blocks([3, 4])) == nil)
    #expect(Bootstrap(resamples: 100).upperBound(Self.blocks([5, 5, 5])) == 0.5)
  }

  /// Chunks of a text whose harm is a log-normal process: e^(σ z), z an AR(1) of correlation ρ from token to token, on through
  /// the borders of chunks. Its true mean is e^(σ²/2).
  private static func text(
    _ generator: inout SeededGenerator, chunks: Int, tokens: Int = 128, ρ: Double, σ: Double
  ) -> [BlockSum] {
    func normal() -> Double {
      (-2 * log(1 - generator.uniform())).squareRoot() * cos(2 * .pi * generator.uniform())
    }
    var z = normal()
    return (0..<chunks).map { _ in
      var sum = 0.0
      for _ in 0..<tokens {
        z = ρ * z + (1 - ρ * ρ).squareRoot() * normal()
        sum += exp(σ * z)
      }
      return BlockSum(sum: sum, count: tokens)
    }
  }

  private static func coverage(
    chunks: Int, ρ: Double, σ: Double, texts: Int = 600, _ bound: ([BlockSum]) -> Double?
  ) -> Double {
    var generator = SeededGenerator(seed: 5)
    var held = 0
    for _ in 0..<texts {
      let blocks = text(&generator, chunks: chunks, ρ: ρ, σ: σ)
      if let bound = bound(blocks), bound >= exp(σ * σ / 2) { held += 1 }
    }
    return Double(held) / Double(texts)
  }

  @Test("the true mean is below the bound about as often as promised, on correlated and skewed tokens")
  func coverageOfT() {
    // Almost symmetric chunk means: 95 %.
    for chunks in [3, 8, 32] {
      let coverage = Self.coverage(chunks: chunks, ρ: 0.8, σ: 0.4) { ConfidenceBound.upper($0) }
      #expect(coverage > 0.925, "\(chunks) chunks: \(coverage)")
    }
    // Chunk means of skewness 1.6: a bit less with few chunks, as no method can know a tail that it did not see.
    for (chunks, least) in [(4, 0.88), (8, 0.88), (32, 0.91)] {
      let coverage = Self.coverage(chunks: chunks, ρ: 0.9, σ: 1) { ConfidenceBound.upper($0) }
      #expect(coverage > least, "\(chunks) chunks: \(coverage)")
    }
  }

  @Test("without the skewness term, and with tokens as blocks, the true mean escapes more often")
  func whyBlocks() {
    let full = Self.coverage(chunks: 8, ρ: 0.9, σ: 1) { ConfidenceBound.upper($0) }
    let plain = Self.coverage(chunks: 8, ρ: 0.9, σ: 1) { blocks in
      let estimate = Estimate(blocks: blocks)
      return estimate.standardError.map { estimate.value + $0 * StudentT.quantile(0.95, degrees: 7) }
    }
    #expect(full > plain)
    // Tokens of one text are no independent witnesses: the bound of 1024 "independent" tokens holds hardly half the time.
    var generator = SeededGenerator(seed: 6)
    var held = 0
    for _ in 0..<300 {
      let tokens = Self.text(&generator, chunks: 1024, tokens: 1, ρ: 0.9, σ: 1)
      if let bound = ConfidenceBound.upper(tokens), bound >= exp(0.5) { held += 1 }
    }
    #expect(held < 240, "\(held) of 300")
  }

  @Test("bootstrap-t covers as well, and does not depend on the number of threads")
  func bootstrap() {
    let bootstrap = Bootstrap(resamples: 400, seed: 3)
    let coverage = Self.coverage(chunks: 16, ρ: 0.9, σ: 1, texts: 300) { bootstrap.upperBound($0) }
    #expect(coverage > 0.87, "\(coverage)")
    var generator = SeededGenerator(seed: 9)
    let blocks = Self.text(&generator, chunks: 12, ρ: 0.9, σ: 1)
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let bounds = [1, 2, 3].map { threads in
      Parallel.threadCount = threads
      return bootstrap.upperBound(blocks)
    }
    #expect(Set(bounds).count == 1)
  }
}
