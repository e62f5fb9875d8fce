import Evaluation
import ModelFiles
import TensorCore
import Testing

@Suite struct StatisticsTests {
  static func numbers(_ value: JSONValue?) -> [Double] { value?.arrayValue?.compactMap(\.doubleValue) ?? [] }

  /// numpy 2.4's answers: Fixtures/make_statistics.py.
  @Test func quantilesAgreeWithNumpy() throws {
    let fixture = try jsonFixture("statistics.json")
    let sorted = Self.numbers(fixture["x"]).sorted()
    let levels = Self.numbers(fixture["levels"])
    let expected = Self.numbers(fixture["quantiles"])
    #expect(levels.count == 7 && expected.count == 7)
    for (level, value) in zip(levels, expected) {
      #expect(abs(Statistics.quantile(ofSorted: sorted, level) - value) < 1e-12)
    }
  }

  @Test func quantileByHand() {
    #expect(Statistics.quantile(ofSorted: [1, 2, 3, 4], 0.5) == 2.5)
    #expect(Statistics.quantile(ofSorted: [10, 20], 0.25) == 12.5)
    #expect(Statistics.quantile(ofSorted: [7], 0.99) == 7)
    #expect(Statistics.quantile(ofSorted: [1, 5], 1) == 5)
  }

  @Test func medianAndDeviationByHand() {
    #expect(Statistics.median([9, 1, 5]) == 5)
    // |1−4| 3, |3−4| 1, |4−4| 0, |6−4| 2, |100−4| 96: the median is 2.
    #expect(Statistics.medianAbsoluteDeviation([1, 3, 4, 6, 100]) == 2)
    #expect(Statistics.median([]) == 0)
  }

  @Test func ranksShareTheirAverage() {
    #expect(Statistics.ranks([10, 20, 20, 5]) == [2, 3.5, 3.5, 1])
    #expect(Statistics.ranks([3, 3, 3]) == [2, 2, 2])
    #expect(Statistics.ranks([]) == [])
  }

  @Test func correlationsAgreeWithNumpy() throws {
    let fixture = try jsonFixture("statistics.json")
    let x = Self.numbers(fixture["x"])
    let y = Self.numbers(fixture["y"])
    let pearson = try #require(Statistics.pearson(x, y))
    let spearman = try #require(Statistics.spearman(x, y))
    #expect(abs(pearson - (fixture["pearson"]?.doubleValue ?? .nan)) < 1e-12)
    #expect(abs(spearman - (fixture["spearman"]?.doubleValue ?? .nan)) < 1e-12)
  }

  @Test func correlationsByHand() {
    #expect(Statistics.pearson([1, 2, 3], [2, 4, 6]) == 1)
    #expect(Statistics.spearman([1, 2, 3, 4], [1, 8, 27, 64]) == 1)
    #expect(Statistics.spearman([1, 2, 3], [9, 5, 1]) == -1)
    // Without ties: 1 − 6 Σd² / (n (n² − 1)) with d = 0, 1, −1, 0.
    let spearman = Statistics.spearman([1, 2, 3, 4], [1, 3, 2, 4]) ?? .nan
    #expect(abs(spearman - 0.8) < 1e-15)
    #expect(Statistics.pearson([1, 1, 1], [1, 2, 3]) == nil)
    #expect(Statistics.pearson([1], [1]) == nil)
  }

  @Test func welfordAgreesWithTwoPasses() throws {
    // A large offset makes the naive Σx² − (Σx)²/n lose everything.
    let values = [4.0, 7, 13, 16].map { $0 + 1e9 }
    var moments = RunningMoments()
    for value in values { moments.add(value) }
    #expect(moments.mean == 1e9 + 10)
    #expect(moments.variance == 30)
    #expect(RunningMoments().variance == nil)
  }
}

@Suite struct EstimateTests {
  @Test func equalBlocksGiveBatchMeans() throws {
    // Block means 1, 2, 6: mean 3, sample variance (4 + 1 + 9)/2 = 7, SE √(7/3).
    let estimate = Estimate(blocks: [4, 8, 24].map { BlockSum(sum: $0, count: 4) })
    #expect(estimate.value == 3)
    let error = try #require(estimate.standardError)
    #expect(abs(error - (7.0 / 3).squareRoot()) < 1e-15)
  }

  @Test func unequalBlocksGiveTheRatioEstimator() throws {
    let blocks = [BlockSum(sum: 3, count: 1), BlockSum(sum: 3, count: 2), BlockSum(sum: 12, count: 3)]
    let estimate = Estimate(blocks: blocks)
    #expect(estimate.value == 3)
    // Residuals 0, −3, 3: √(18 · 3/2) / 6.
    let error = try #require(estimate.standardError)
    #expect(abs(error - (27.0).squareRoot() / 6) < 1e-15)
  }

  @Test func oneBlockHasNoError() {
    #expect(Estimate(blocks: [BlockSum(sum: 5, count: 2)]) == Estimate(2.5, standardError: nil))
  }

  /// Correlated observations: the block error must be close to the spread of means over many simulated texts, which
  /// treating observations as independent would understate about four-fold.
  @Test func blockErrorIsTheSpreadOfMeans() throws {
    var generator = SeededGenerator(seed: 11)
    var means = RunningMoments()
    var errors = RunningMoments()
    for _ in 0..<200 {
      // 40 blocks of 16 observations that share their block's value.
      let blocks = (0..<40).map { _ in BlockSum(sum: 16 * generator.uniform(), count: 16) }
      let estimate = Estimate(blocks: blocks)
      means.add(estimate.value)
      errors.add(try #require(estimate.standardError))
    }
    let spread = try #require(means.variance).squareRoot()
    #expect(abs(errors.mean / spread - 1) < 0.15)
  }
}

@Suite struct BootstrapTests {
  @Test func errorOfTheMeanIsTheFormula() throws {
    var generator = SeededGenerator(seed: 3)
    let values = (0..<400).map { _ in generator.uniform() }
    let error = try #require(
      Bootstrap(seed: 1).standardError(blockCount: values.count) { indices in
        Statistics.mean(indices.map { values[$0] })
      })
    let formula = try #require(Estimate(blocks: values.map { BlockSum(sum: $0, count: 1) }).standardError)
    #expect(abs(error / formula - 1) < 0.06)
  }

  @Test func seedDecidesAndThreadsDoNot() {
    let values = (0..<50).map { Double(($0 * 37) % 50) }
    func error(seed: UInt64) -> Double? {
      Bootstrap(resamples: 300, seed: seed).standardError(blockCount: 50) { indices in
        Statistics.mean(indices.map { values[$0] })
      }
    }
    let threads = Parallel.threadCount
    let many = error(seed: 5)
    Parallel.threadCount = 1
    let one = error(seed: 5)
    Parallel.threadCount = threads
    #expect(many == one)
    #expect(many != error(seed: 6))
  }

  @Test func nothingToResample() {
    #expect(Bootstrap().standardError(blockCount: 1) { _ in 1 } == nil)
    #expect(Bootstrap(resamples: 10).standardError(blockCount: 5) { _ in nil } == nil)
  }
}
