public import Evaluation
internal import ModelFiles
internal import Models
internal import TensorCore

/// Measures how fast a packed artifact runs.
///
/// The program measures in a process of its own, so peak memory and load time are what the edge host will see; a library caller
/// gets the same figures measured in its own process.
public struct LatencyProbe: Sendable {
  /// Measures the artifact at a path; nil when it cannot be run.
  public var measure: @Sendable (_ path: String) throws -> LatencyMetrics?

  /// A probe that calls `measure`.
  public init(_ measure: @escaping @Sendable (_ path: String) throws -> LatencyMetrics?) {
    self.measure = measure
  }

  /// Measures in this process.
  public static let inProcess = LatencyProbe { try LatencyProbe.measure($0) }

  /// Prefill, decode, time to the first token from the file at `path`, and this process's peak memory.
  ///
  /// - Parameter sweep: other numbers of threads to time with; nil for one thread where that takes a few seconds at most.
  /// - Returns: nil when the model cannot be run.
  public static func measure(
    _ path: String, tokenizer: String? = nil, latency: Latency = Latency(), sweep: [Int]? = []
  ) throws -> LatencyMetrics? {
    let isReset = MemoryUse.resetPeak()
    let isCold = PageCache.drop(path)
    var first: (model: RunnableModel, vocabulary: Int)?
    var opening: [Double] = []
    for _ in 0..<3 {
      opening.append(try latency.clock.time { first = try openAndPredict(path, tokenizer: tokenizer) })
    }
    guard let first else { return nil }
    // The first opening is the cold one, the median of three is warm.
    guard var metrics = measure(first.model, vocabulary: first.vocabulary, latency) else { return nil }
    metrics.timeToFirstToken = Statistics.median(opening)
    metrics.coldFirstToken = isCold ? opening[0] : nil
    metrics.peakMemory = MemoryUse.peak
    metrics.isPeakOfStage = isReset
    metrics.sweep = timed(first.model, vocabulary: first.vocabulary, latency, metrics, counts: sweep)
    metrics.wholeRows = wholeRows(first.model, latency, metrics)
    return metrics
  }

  private static func measure(
    _ model: RunnableModel, vocabulary: Int, _ latency: Latency
  ) -> LatencyMetrics? {
    switch model {
    case .language(let model): return latency.measure(model)
    case .encoder(let model):
      let batch = (0..<8).map { row in
        (0..<min(64, model.contextLength)).map { (5 + ($0 + row) % 64) % vocabulary }
      }
      return latency.measure(model, sequences: batch)
    case .none: return nil
    }
  }

  /// The seconds that a sweep nobody asked for may take, about.
  private static let sweepSeconds = 5.0

  /// What a pruned model gains by rows without zeros, in some ten seconds.
  private static func wholeRows(
    _ model: RunnableModel, _ latency: Latency, _ metrics: LatencyMetrics
  ) -> LatencyMetrics.WholeRows? {
    guard case .language(let model) = model else { return nil }
    var latency = latency
    let round =
      metrics.prefill.median * Double(metrics.prefill.tokens)
      + (metrics.decode.map { $0.median * Double($0.tokens) } ?? 0)
    latency.runs = min(latency.runs, max(latency.minimumRuns, 5, Int(5 / max(round, 1e-6))))
    return latency.zerosLeftOut(of: model)
  }

  /// Speeds with other numbers of threads than `metrics` were taken with.
  private static func timed(
    _ model: RunnableModel, vocabulary: Int, _ latency: Latency, _ metrics: LatencyMetrics, counts: [Int]?
  ) -> [LatencyMetrics.ThreadSpeed] {
    let all = Parallel.threadCount
    defer { Parallel.threadCount = all }
    var latency = latency
    var wanted = counts ?? [1]
    if counts == nil {
      let run =
        metrics.prefill.median * Double(metrics.prefill.tokens)
        + (metrics.decode.map { $0.median * Double($0.tokens) } ?? 0)
      if run * Double(all * (latency.minimumRuns + latency.warmUps)) > sweepSeconds { wanted = [] }
      latency.budget = min(latency.budget, 1)
    }
    return Set(wanted).subtracting([all]).sorted().compactMap { count in
      Parallel.threadCount = count
      return measure(model, vocabulary: vocabulary, latency).map {
        LatencyMetrics.ThreadSpeed(threads: $0.threads, prefill: $0.prefill, decode: $0.decode)
      }
    }
  }

  /// What an edge host does first: open the artifact, build the model, predict one token (or embed one sentence).
  private static func openAndPredict(
    _ path: String, tokenizer: String?
  ) throws -> (model: RunnableModel, vocabulary: Int) {
    let checkpoint = try Checkpoint.load(try ModelFiles.open(path, tokenizer: tokenizer))
    let model = try checkpoint.makeModel(roundsBatches: true)
    switch model {
    case .language(let language):
      let cache = language.makeCache(capacity: min(16, language.contextLength))
      _ = language.forward([checkpoint.tokenizer?.beginningOfText ?? 0], cache: cache, logits: .last)
    case .encoder(let encoder): _ = encoder.embed([[0]])
    case .none: break
    }
    return (model, max(1, checkpoint.architecture?.vocabularySize ?? 1))
  }

  /// Two models timed in turns.
  ///
  /// - Throws: ``JobError`` when they cannot be run or are of different kinds.
  public static func compare(
    _ first: String, _ second: String, tokenizer: String? = nil, latency: Latency = Latency(),
    progress: (Int) -> Void = { _ in }
  ) throws -> LatencyComparison {
    let a = try openAndPredict(first, tokenizer: tokenizer)
    let b = try openAndPredict(second, tokenizer: tokenizer)
    switch (a.model, b.model) {
    case (.language(let one), .language(let two)): return latency.compare(one, two, progress: progress)
    case (.encoder(let one), .encoder(let two)):
      let vocabulary = min(a.vocabulary, b.vocabulary)
      let length = min(64, one.contextLength, two.contextLength)
      let batch = (0..<8).map { row in (0..<length).map { (5 + ($0 + row) % 64) % vocabulary } }
      return latency.compare(one, two, sequences: batch, progress: progress)
    case (.none, _): throw JobError(.badInput, "\(first): the model cannot be run (unknown architecture)")
    case (_, .none): throw JobError(.badInput, "\(second): the model cannot be run (unknown architecture)")
    default:
      throw JobError(.badInput, "\(second): a language model and an encoder cannot be compared")
    }
  }
}
