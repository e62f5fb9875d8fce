public import Models
import TensorCore

/// Measures speed: warm-up first, then runs until there are enough or the time is spent.
public struct Latency: Sendable {
  /// The tokens of a prompt; nil for min(512, half the model's context).
  public var promptLength: Int?
  /// The tokens that are generated in one run, as far as the context allows.
  public var decodeLength = 64
  /// The runs that are thrown away at first.
  public var warmUps = 1
  /// The number of runs wanted.
  public var runs = 10
  /// The number of runs that are made even when they take longer than the budget.
  public var minimumRuns = 3
  /// The seconds for each of prefill and decode after which no further run is begun; large models need most of them for ten runs.
  public var budget = 60.0
  /// How keys and values are kept.
  public var precision = KVPrecision.f32
  /// The tokens before the first decoded one; nil for up to 16, as a chat begins.
  public var decodeStart: Int?
  /// The clock.
  public var clock = Stopwatch.system

  /// The default measurement.
  public init() {}

  /// Measures prefill and decode of `model`.
  ///
  /// Tokens are random and the same for every model of a vocabulary: speed does not depend on what they say.
  /// - Returns: metrics without time to first token and peak memory, which only the caller can measure.
  public func measure(_ model: any LanguageModel) -> LatencyMetrics {
    let work = work(of: model)
    let prefill = repeated(work.prefill)
    let energy = EnergyMeter()
    let decode = repeated(work.decode)
    var metrics = LatencyMetrics(
      prefill: .init(tokens: work.promptLength, runs: prefill.runs, samples: prefill.samples),
      decode: .init(tokens: work.decodeLength, runs: decode.runs, samples: decode.samples),
      timeToFirstToken: nil, bytesPerToken: model.bytesPerToken, peakMemory: nil, isPeakOfStage: false,
      threads: Parallel.threadCount)
    // Warm-up runs and the short prompt before each run decode, too.
    let decoded = (decode.runs + warmUps) * (work.decodeLength + work.start)
    metrics.energyPerToken = energy?.joules.map { $0 / Double(max(1, decoded)) }
    return metrics
  }

  /// What is timed of a language model.
  struct Work {
    /// The tokens of a prompt, of a decoding run, and of the prompt before it.
    var promptLength: Int
    var decodeLength: Int
    var start: Int
    /// Seconds a token: one sample for a prompt, one for each decoded token.
    var prefill: () -> [Double]
    var decode: () -> [Double]
  }

  /// The work that ``measure(_:)`` repeats.
  func work(of model: any LanguageModel) -> Work {
    let context = max(2, model.contextLength)
    let prompt = tokens(max(1, min(promptLength ?? min(512, context / 2), context - 1)), model)
    let generated = tokens(max(1, min(decodeLength, context - 1)), model)
    // Decoding starts behind a short prompt, as a chat does; both fit the context.
    let start = min(prompt.count, max(1, min(decodeStart ?? 16, context - generated.count)))
    let cache = model.makeCache(
      capacity: max(prompt.count, start + generated.count), precision: precision)
    var logits = [Float](repeating: 0, count: max(1, model.vocabularySize))
    let clock = clock
    return Work(
      promptLength: prompt.count, decodeLength: generated.count, start: start,
      prefill: {
        cache.truncate(to: 0)
        return [
          clock.time { _ = model.forward(prompt, cache: cache, logits: .last) } / Double(prompt.count)
        ]
      },
      decode: {
        cache.truncate(to: 0)
        _ = model.forward(Array(prompt[..<start]), cache: cache, logits: .none)
        return generated.map { token in
          logits.withUnsafeMutableBufferPointer { target in
            guard let base = target.baseAddress else { return 0 }
            return clock.time { model.next(token, cache: cache, into: base) }
          }
        }
      })
  }

  /// Measures an encoder on one batch of `sequences`.
  ///
  /// - Precondition: there is at least one token.
  public func measure(_ model: any EncoderModel, sequences: [[Int]]) -> LatencyMetrics {
    let count = sequences.reduce(0) { $0 + $1.count }
    precondition(count > 0, "latency needs a token")
    let runs = repeated { [clock.time { _ = model.embed(sequences) } / Double(count)] }
    return LatencyMetrics(
      prefill: .init(tokens: count, runs: runs.runs, samples: runs.samples), decode: nil,
      timeToFirstToken: nil,
      bytesPerToken: nil, peakMemory: nil, isPeakOfStage: false, threads: Parallel.threadCount)
  }

  /// The median time of `body` over three runs: open the packed artifact, build the model, predict one token.
  ///
  /// The first run also brings the file into the page cache, so the median is that of a warm cache.
  public func timeToFirstToken(runs: Int = 3, _ body: () throws -> Void) rethrows -> Double {
    var times: [Double] = []
    for _ in 0..<max(1, runs) { times.append(try clock.time(body)) }
    return Statistics.median(times)
  }

  /// The samples of all runs: at least ``minimumRuns``, at most ``runs``, none begun after ``budget`` seconds.
  private func repeated(_ run: () -> [Double]) -> (runs: Int, samples: [Double]) {
    for _ in 0..<warmUps { _ = run() }
    let start = clock.now()
    var samples: [Double] = []
    var done = 0
    while done < max(1, minimumRuns) || (done < runs && clock.now() - start < budget) {
      samples += run()
      done += 1
    }
    return (done, samples)
  }

  private func tokens(_ count: Int, _ model: any LanguageModel) -> [Int] {
    var generator = SeededGenerator(seed: 1)
    return (0..<count).map { _ in Int(generator.uniform() * Double(model.vocabularySize)) }
  }
}
