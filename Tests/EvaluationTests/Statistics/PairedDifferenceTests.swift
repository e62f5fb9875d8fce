import Evaluation
import ModelFiles
import TensorCore
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Paired differences: against scipy and statsmodels (Fixtures/make_paired.py), and against simulated texts whose truth is known.
@Suite("Paired differences")
struct PairedDifferenceTests {
  private static func number(_ value: JSONValue, _ key: String) -> Double { value[key]?.doubleValue ?? .nan }

  private static func expect(_ found: Double?, _ wanted: Double, within tolerance: Double = 1e-9) {
    let found = found ?? .nan
    #expect(abs(found - wanted) <= tolerance * max(1e-3, abs(wanted)), "\(found), not \(wanted)")
  }

  @Test("blocks of one size: scipy's paired t test and its bootstrap")
  func equalBlocks() throws {
    let fixture = try #require(try jsonFixture("paired.json")["equal"])
    let first = StatisticsTests.numbers(fixture["first"])
    let second = StatisticsTests.numbers(fixture["second"])
    #expect(first.count == 24 && second.count == 24)
    let difference = PairedDifference(
      zip(first, second).map { BlockSum(sum: 64 * ($1 - $0), count: 64) },
      bootstrap: Bootstrap(resamples: 20000))
    Self.expect(difference.estimate.standardError, Self.number(fixture, "standardError"))
    Self.expect(difference.probability, Self.number(fixture, "probability"))
    Self.expect(difference.interval?.low, Self.number(fixture, "low"))
    Self.expect(difference.interval?.high, Self.number(fixture, "high"))
    // Other random numbers: 20 000 samples place a quantile to a few parts in a hundred of the interval's width.
    let width = Self.number(fixture, "high") - Self.number(fixture, "low")
    let bootstrap = try #require(difference.bootstrap)
    #expect(abs(bootstrap.low - Self.number(fixture, "bootstrapLow")) < 0.03 * width)
    #expect(abs(bootstrap.high - Self.number(fixture, "bootstrapHigh")) < 0.03 * width)
  }

  @Test("blocks of several sizes: statsmodels' cluster-robust errors")
  func unequalBlocks() throws {
    let fixture = try #require(try jsonFixture("paired.json")["unequal"])
    let blocks = zip(StatisticsTests.numbers(fixture["sums"]), StatisticsTests.numbers(fixture["counts"]))
      .map { BlockSum(sum: $0, count: Int($1)) }
    #expect(blocks.count == 17)
    let difference = PairedDifference(blocks)
    Self.expect(difference.estimate.value, Self.number(fixture, "mean"))
    Self.expect(difference.estimate.standardError, Self.number(fixture, "standardError"))
    Self.expect(difference.probability, Self.number(fixture, "probability"))
    Self.expect(difference.interval?.low, Self.number(fixture, "low"))
    Self.expect(difference.interval?.high, Self.number(fixture, "high"))
  }

  @Test("McNemar's exact test is statsmodels'")
  func mcnemar() throws {
    let tables = try jsonFixture("paired.json")["mcnemar"]?.arrayValue ?? []
    #expect(tables.count == 8)
    for table in tables {
      let flips = Flips(
        bothRight: 9, lost: table["lost"]?.intValue ?? -1, gained: table["gained"]?.intValue ?? -1,
        bothWrong: 9)
      Self.expect(flips.probability, Self.number(table, "probability"))
    }
    let flips = Flips([true, true, false, false, true], [true, false, true, false, false])
    #expect(flips == Flips(bothRight: 1, lost: 2, gained: 1, bothWrong: 1))
    // 3 changed, 1 of them gained: 2 (1 + 3) / 8.
    #expect(flips.probability == 1)
  }

  @Test("Holm's correction is statsmodels'")
  func holm() throws {
    let fixture = try jsonFixture("paired.json")
    let found = MultipleTests.holm(StatisticsTests.numbers(fixture["probabilities"]))
    let wanted = StatisticsTests.numbers(fixture["holm"])
    #expect(found.count == wanted.count)
    for (found, wanted) in zip(found, wanted) { Self.expect(found, wanted, within: 1e-12) }
    #expect(MultipleTests.holm([]) == [])
  }

  @Test("verdicts follow the corrected probability and the direction")
  func verdicts() {
    var difference = PairedDifference([10, 12, 11, 9].map { BlockSum(sum: $0, count: 10) })
    #expect(difference.verdict() == .worse)
    #expect(difference.verdict(lessIsBetter: false) == .better)
    difference.adjusted = 0.2
    #expect(difference.verdict() == .tie)
    #expect(PairedDifference([BlockSum(sum: 3, count: 4)]).verdict() == .unknown)
    let same = PairedDifference([BlockSum(sum: 0, count: 4), BlockSum(sum: 0, count: 4)])
    #expect(same.verdict() == .tie && same.probability == 1)
    let certain = PairedDifference([BlockSum(sum: -2, count: 4), BlockSum(sum: -2, count: 4)])
    #expect(certain.verdict() == .better && certain.probability == 0 && certain.detectable == 0)
  }

  /// Differences of the losses of 32 chunks of 256 tokens: `effect` plus noise that is correlated from token to token
  /// (AR(1), 0.9, going on through the chunks), `skew` making its tail long to the right.
  private static func text(_ effect: Double, skew: Bool, seed: UInt64) -> [BlockSum] {
    var generator = SeededGenerator(seed: seed)
    func normal() -> Double {
      (-2 * log(1 - generator.uniform())).squareRoot() * cos(2 * .pi * generator.uniform())
    }
    var state = normal()
    return (0..<32).map { _ in
      var sum = 0.0
      for _ in 0..<256 {
        state = 0.9 * state + (1 - 0.81).squareRoot() * normal()
        // A log-normal has the mean e^½.
        sum += effect + (skew ? 0.1 * (exp(state) - exp(0.5)) : 0.1 * state)
      }
      return BlockSum(sum: sum, count: 256)
    }
  }

  @Test("the 95 % intervals hold the true difference in 91 to 98 % of texts", arguments: [false, true])
  func coverage(skew: Bool) {
    var (t, bootstrap, narrow) = (0, 0, 0)
    let texts = 600
    for text in 0..<texts {
      let blocks = Self.text(0.02, skew: skew, seed: UInt64(text) * 2 + (skew ? 1 : 0))
      let difference = PairedDifference(blocks, bootstrap: Bootstrap(resamples: 500))
      if let interval = difference.interval, (interval.low...interval.high).contains(0.02) { t += 1 }
      if let interval = difference.bootstrap, (interval.low...interval.high).contains(0.02) { bootstrap += 1 }
      // Tokens taken for independent would have an error of 0.1 / √8192, a quarter of the true one.
      if abs(difference.estimate.value - 0.02) < 1.96 * 0.1 / 8192.0.squareRoot() { narrow += 1 }
    }
    #expect((0.91...0.98).contains(Double(t) / Double(texts)), "\(t)")
    #expect((0.90...0.98).contains(Double(bootstrap) / Double(texts)), "\(bootstrap)")
    if !skew { #expect(Double(narrow) / Double(texts) < 0.6, "\(narrow)") }
  }

  @Test("without a difference one in twenty texts shows one")
  func falseAlarms() {
    let texts = 1500
    let alarms = (0..<texts).count { text in
      PairedDifference(
        Self.text(0, skew: false, seed: 1_000_000 + UInt64(text)), bootstrap: Bootstrap(resamples: 2)
      ).verdict() != .tie
    }
    #expect((0.03...0.07).contains(Double(alarms) / Double(texts)), "\(alarms)")
  }

  @Test("twelve equal stages: in one text of twenty at most any two differ, with Holm's correction")
  func family() {
    let texts = 300
    let alarms = (0..<texts).count { text in
      var differences = (0..<11).map { stage in
        PairedDifference(
          Self.text(0, skew: false, seed: 5_000_000 + UInt64(text * 11 + stage)),
          bootstrap: Bootstrap(resamples: 2))
      }
      MultipleTests.correct(&differences)
      return differences.contains { $0.verdict() != .tie }
    }
    #expect(Double(alarms) / Double(texts) < 0.08, "\(alarms)")
  }

  @Test("a true difference of the detectable size is found in four of five texts")
  func power() {
    // The error of a mean of 8192 tokens of this noise is 0.1 √((1 + 0.9) / (1 − 0.9) / 8192) = 0.00482.
    let detectable = (2.04 + 0.853) * 0.00482
    let found = (0..<400).count { text in
      PairedDifference(
        Self.text(detectable, skew: false, seed: 9_000_000 + UInt64(text)), bootstrap: Bootstrap(resamples: 2)
      ).verdict() == .worse
    }
    #expect((0.73...0.87).contains(Double(found) / 400), "\(found)")
  }

  @Test("the bootstrap does not depend on threads, and follows its seed")
  func seeds() {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let blocks = Self.text(0.02, skew: true, seed: 3)
    var seen: [PairedDifference] = []
    for threads in [1, 3] {
      Parallel.threadCount = threads
      seen.append(PairedDifference(blocks))
    }
    #expect(seen[0] == seen[1])
    #expect(PairedDifference(blocks, bootstrap: Bootstrap(seed: 1)).bootstrap != seen[0].bootstrap)
  }
}
