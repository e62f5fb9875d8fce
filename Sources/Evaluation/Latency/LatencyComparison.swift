public import Models
import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Two models timed in turns, A B A B …, so that whatever slows the machine down slows both.
public struct LatencyComparison: Sendable, Equatable {
  /// How many times faster the second model is.
  public struct Speedup: Sendable, Equatable {
    /// The geometric mean over rounds of (time of the first) / (time of the second).
    public var ratio: Double
    /// Its 95 % interval, by Student's t over the rounds' logarithms; nil for a single round.
    public var interval: PairedDifference.Interval?
    /// The rounds.
    public var rounds: Int

    /// The speedup that the logarithms of ratios, one a round, give.
    ///
    /// - Precondition: at least one round.
    public init(logarithms: [Double]) {
      let difference = PairedDifference(
        logarithms.map { BlockSum(sum: $0, count: 1) }, bootstrap: Bootstrap(resamples: 2))
      ratio = exp(difference.estimate.value)
      interval = difference.interval.map { .init(exp($0.low), exp($0.high)) }
      rounds = logarithms.count
    }

    /// A speedup of these parts.
    public init(ratio: Double, interval: PairedDifference.Interval?, rounds: Int) {
      self.ratio = ratio
      self.interval = interval
      self.rounds = rounds
    }

    /// What can be said about it.
    public var verdict: PairedDifference.Verdict {
      guard let interval else { return .unknown }
      return interval.low > 1 ? .better : interval.high < 1 ? .worse : .tie
    }
  }

  /// The first model's speed.
  public var first: LatencyMetrics
  /// The second model's.
  public var second: LatencyMetrics
  /// The speedup of prompt processing (of embedding, for encoders).
  public var prefill: Speedup
  /// The speedup of decoding; nil for encoders.
  public var decode: Speedup?
}

extension Latency {
  /// Times `first` and `second` in turns.
  ///
  /// - Parameter progress: called after each round.
  public func compare(
    _ first: any LanguageModel, _ second: any LanguageModel, progress: (Int) -> Void = { _ in }
  ) -> LatencyComparison {
    let (a, b) = (work(of: first), work(of: second))
    let rounds = turns([a.prefill, b.prefill, a.decode, b.decode], progress)
    func metrics(_ work: Work, _ model: any LanguageModel, _ prefill: Int, _ decode: Int) -> LatencyMetrics {
      LatencyMetrics(
        prefill: .init(
          tokens: work.promptLength, runs: rounds.count, samples: rounds.flatMap { $0[prefill] }),
        decode: .init(tokens: work.decodeLength, runs: rounds.count, samples: rounds.flatMap { $0[decode] }),
        timeToFirstToken: nil, bytesPerToken: model.bytesPerToken, peakMemory: nil, isPeakOfStage: false,
        threads: Parallel.threadCount)
    }
    return LatencyComparison(
      first: metrics(a, first, 0, 2), second: metrics(b, second, 1, 3), prefill: speedup(rounds, 0, 1),
      decode: speedup(rounds, 2, 3))
  }

  /// What leaving out the zeros of pruned matrices gains: `model` in turns with itself with whole rows.
  ///
  /// - Returns: nil where the model leaves none out.
  public func zerosLeftOut(of model: any LanguageModel) -> LatencyMetrics.WholeRows? {
    model.withWholeRows().map { whole in
      let found = compare(whole, model)
      return LatencyMetrics.WholeRows(
        prefill: found.first.prefill, decode: found.first.decode, prefillSpeedup: found.prefill,
        decodeSpeedup: found.decode)
    }
  }

  /// The same for encoders, on one batch of `sequences`.
  public func compare(
    _ first: any EncoderModel, _ second: any EncoderModel, sequences: [[Int]],
    progress: (Int) -> Void = { _ in }
  ) -> LatencyComparison {
    let count = max(1, sequences.reduce(0) { $0 + $1.count })
    func work(_ model: any EncoderModel) -> () -> [Double] {
      { [clock.time { _ = model.embed(sequences) } / Double(count)] }
    }
    let rounds = turns([work(first), work(second)], progress)
    func metrics(_ place: Int) -> LatencyMetrics {
      LatencyMetrics(
        prefill: .init(tokens: count, runs: rounds.count, samples: rounds.flatMap { $0[place] }), decode: nil,
        timeToFirstToken: nil, bytesPerToken: nil, peakMemory: nil, isPeakOfStage: false,
        threads: Parallel.threadCount)
    }
    return LatencyComparison(
      first: metrics(0), second: metrics(1), prefill: speedup(rounds, 0, 1), decode: nil)
  }

  /// The samples of each round: every work once, one after the other; first rounds are thrown away.
  private func turns(_ works: [() -> [Double]], _ progress: (Int) -> Void) -> [[[Double]]] {
    for _ in 0..<warmUps { for work in works { _ = work() } }
    return (0..<max(1, runs)).map { round in
      defer { progress(round + 1) }
      return works.map { $0() }
    }
  }

  /// Medians of each round are compared, since one slow token says nothing about a model.
  private func speedup(_ rounds: [[[Double]]], _ first: Int, _ second: Int) -> LatencyComparison.Speedup {
    LatencyComparison.Speedup(
      logarithms: rounds.map { round in
        let (a, b) = (Statistics.median(round[first]), Statistics.median(round[second]))
        return a > 0 && b > 0 ? log(a / b) : 0
      })
  }
}
