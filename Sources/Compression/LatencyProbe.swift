public import Evaluation
internal import ModelFiles
internal import Models

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
  /// - Returns: nil when the model cannot be run.
  public static func measure(_ path: String, tokenizer: String? = nil, latency: Latency = Latency()) throws
    -> LatencyMetrics?
  {
    let isReset = MemoryUse.resetPeak()
    let isCold = PageCache.drop(path)
    var first: (model: RunnableModel, vocabulary: Int)?
    var opening: [Double] = []
    for _ in 0..<3 {
      opening.append(try latency.clock.time { first = try openAndPredict(path, tokenizer: tokenizer) })
    }
    guard let first else { return nil }
    // The first opening is the cold one, the median of three is warm.
    var metrics: LatencyMetrics
    switch first.model {
    case .language(let model): metrics = latency.measure(model)
    case .encoder(let model):
      let batch = (0..<8).map { row in
        (0..<min(64, model.contextLength)).map { (5 + ($0 + row) % 64) % first.vocabulary }
      }
      metrics = latency.measure(model, sequences: batch)
    case .none: return nil
    }
    metrics.timeToFirstToken = Statistics.median(opening)
    metrics.coldFirstToken = isCold ? opening[0] : nil
    metrics.peakMemory = MemoryUse.peak
    metrics.isPeakOfStage = isReset
    return metrics
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
