public import Models
import TensorCore

/// How far an evaluation has come.
public struct EvaluationProgress: Sendable, Equatable {
  /// Chunks (or, for encoders, sentences) that are done.
  public var done: Int
  /// Their number in all.
  public var total: Int
  /// The mean loss so far, for language models.
  public var loss: Double?
}

/// Perplexity of a language model, and its divergence from a baseline, in one pass over a text.
///
/// Both models run side by side, one chunk at a time; or the baseline's logits come from a ``ReferenceCache``, so that it runs once
/// for many models. Memory is bounded by ``logitsLimit`` (and ``ReferenceCache/memoryLimit``), whatever the vocabulary.
public enum LanguageEvaluation {
  /// The most logits of one model that are held at a time: 8 M (32 MB), or one row.
  package static let logitsLimit = 8 << 20

  /// Evaluates `model` on `chunks`.
  ///
  /// - Parameters:
  ///   - baseline: the model that it is compared with; nil to leave the comparison out.
  ///   - records: takes what each prediction scored, for paired comparisons.
  ///   - progress: called after each chunk; an error it throws ends the evaluation.
  /// - Throws: ``EvaluationError`` when vocabularies do not fit or a logit is not finite.
  public static func run(
    _ model: any LanguageModel, baseline: (any LanguageModel)? = nil, chunks: EvaluationChunks,
    records: TokenRecorder? = nil, progress: (EvaluationProgress) throws -> Void = { _ in }
  ) throws -> LanguageMetrics {
    try run(
      model, baseline: baseline, chunks: chunks, logitsLimit: logitsLimit, records: records,
      progress: progress)
  }

  /// Evaluates `model` against logits that were kept.
  ///
  /// - Throws: ``EvaluationError`` when they belong to other chunks.
  public static func run(
    _ model: any LanguageModel, reference: ReferenceCache, chunks: EvaluationChunks,
    records: TokenRecorder? = nil, progress: (EvaluationProgress) throws -> Void = { _ in }
  ) throws -> LanguageMetrics {
    try check(model, nil, chunks)
    let key = ReferenceKey(
      modelName: "", files: [], vocabulary: model.vocabularySize, chunks: chunks)
    if let difference = key.difference(from: reference.key, ignoringModel: true) {
      throw EvaluationError(.mismatch, reference.key.textName, "the reference does not fit: \(difference)")
    }
    return try run(
      model, Source.cache(reference), chunks: chunks, logitsLimit: logitsLimit, records: records,
      progress: progress)
  }

  /// Evaluates `model` alone, and keeps its logits for those that will be compared with it.
  ///
  /// - Parameters:
  ///   - key: what the logits belong to; of these chunks.
  ///   - shape: the tokens to keep of each row; nil for all, or as many as fit ``ReferenceCache/memoryLimit``.
  public static func record(
    _ model: any LanguageModel, key: ReferenceKey, shape: ReferenceShape? = nil, chunks: EvaluationChunks,
    records: TokenRecorder? = nil, progress: (EvaluationProgress) throws -> Void = { _ in }
  ) throws -> (metrics: LanguageMetrics, cache: ReferenceCache) {
    try check(model, nil, chunks)
    precondition(
      key.rows == chunks.scoredCount && key.vocabulary == model.vocabularySize, "another key's chunks")
    let recorder = ReferenceRecorder(key: key, limit: ReferenceCache.memoryLimit, shape: shape)
    let metrics = try run(
      model, Source.nothing(recorder), chunks: chunks, logitsLimit: logitsLimit, records: records,
      progress: progress)
    return (metrics, recorder.cache)
  }

  /// ``run(_:baseline:chunks:progress:)`` with a chosen bound on memory, for tests.
  package static func run(
    _ model: any LanguageModel, baseline: (any LanguageModel)?, chunks: EvaluationChunks, logitsLimit: Int,
    records: TokenRecorder? = nil, progress: (EvaluationProgress) throws -> Void = { _ in }
  ) throws -> LanguageMetrics {
    try check(model, baseline, chunks)
    let capacity = LanguageEvaluation.capacity(chunks)
    let source =
      try baseline.map { Source.model(try ChunkRunner(model: $0, capacity: capacity, chunks: chunks)) }
      ?? .nothing(nil)
    return try run(
      model, source, chunks: chunks, logitsLimit: logitsLimit, records: records, progress: progress)
  }

  private static func capacity(_ chunks: EvaluationChunks) -> Int {
    chunks.chunks.reduce(1) { max($0, $1.tokens.count) }
  }

  /// Where the baseline's logits come from.
  private enum Source {
    /// There is none; the model's own may be kept.
    case nothing(ReferenceRecorder?)
    /// The model itself, side by side.
    case model(ChunkRunner)
    /// Logits that were kept.
    case cache(ReferenceCache)

    var isNothing: Bool { if case .nothing = self { true } else { false } }
  }

  private static func run(
    _ model: any LanguageModel, _ source: Source, chunks: EvaluationChunks, logitsLimit: Int,
    records: TokenRecorder?, progress: (EvaluationProgress) throws -> Void
  ) throws -> LanguageMetrics {
    let candidate = try ChunkRunner(model: model, capacity: capacity(chunks), chunks: chunks)
    let rows = max(1, logitsLimit / max(1, model.vocabularySize))
    var sums: [ChunkSums] = []
    var divergences: [Double] = []
    var firstRow = 0
    var boundSum = 0.0
    for (index, chunk) in chunks.chunks.enumerated() {
      let scores = try score(
        chunk, index: index, candidate, source, firstRow: firstRow, rows: rows, place: chunks.textName)
      firstRow += chunk.scoredCount
      boundSum += scores.reduce(0) { $0 + $1.bound }
      sums.append(ChunkSums(scores, hasBaseline: !source.isNothing))
      records?.add(scores, of: chunk, hasBaseline: !source.isNothing)
      if !source.isNothing { divergences += scores.map(\.divergence) }
      let total = sums.reduce((loss: 0.0, tokens: 0)) { ($0.loss + $1.loss, $0.tokens + $1.tokens) }
      try progress(
        EvaluationProgress(
          done: index + 1, total: chunks.chunks.count, loss: total.loss / Double(max(1, total.tokens))))
    }
    var metrics = LanguageMetrics(context: chunks.context, chunks: sums, divergences: divergences)
    if case .cache(let cache) = source, let tail = cache.tailMass {
      metrics.divergence?.approximation = Divergence.Approximation(
        tailMass: tail, lowerBound: boundSum / Double(firstRow))
    }
    return metrics
  }

  private static func check(
    _ model: any LanguageModel, _ baseline: (any LanguageModel)?, _ chunks: EvaluationChunks
  ) throws {
    let size = model.vocabularySize
    if let baseline, baseline.vocabularySize != size {
      throw EvaluationError(
        .mismatch, chunks.textName,
        "the model has \(size) logits, its baseline \(baseline.vocabularySize): they cannot be compared")
    }
    for chunk in chunks.chunks {
      if let token = chunk.tokens.first(where: { $0 < 0 || $0 >= size }) {
        throw EvaluationError(
          .mismatch, chunks.textName,
          "the tokenizer gave token \(token), the model has \(size) logits: this is another model's tokenizer"
        )
      }
    }
    guard chunks.scoredCount > 0 else {
      throw EvaluationError(.tooShort, chunks.textName, "there is no token to score")
    }
  }

  /// The scores of one chunk's predictions, at most `rows` positions' logits being held at a time.
  private static func score(
    _ chunk: EvaluationChunks.Chunk, index: Int, _ candidate: ChunkRunner, _ source: Source,
    firstRow: Int, rows: Int, place: String
  ) throws -> [TokenScore] {
    candidate.begin(chunk)
    if case .model(let reference) = source { reference.begin(chunk) }
    var scores: [TokenScore] = []
    scores.reserveCapacity(chunk.scoredCount)
    var position = chunk.first
    // The last token predicts what is not there: it is never fed.
    while position < chunk.tokens.count - 1 {
      let range = position..<min(position + rows, chunk.tokens.count - 1)
      let logits = try candidate.logits(chunk.tokens[range], of: index)
      let truth = Array(chunk.tokens[range.lowerBound + 1...range.upperBound])
      var baseline: BaselineRows?
      switch source {
      case .nothing(let recorder): recorder?.add(logits, truth: truth)
      case .model(let reference): baseline = .logits(try reference.logits(chunk.tokens[range], of: index))
      case .cache(let cache):
        baseline = cache.rows(firstRow + range.lowerBound - chunk.first, count: range.count)
      }
      switch TokenScore.scores(logits, baseline: baseline, truth: truth) {
      case .success(let part): scores += part
      case .failure(let bad):
        let name = bad.isBaseline ? "baseline" : "model"
        throw EvaluationError(
          .nonFinite, place,
          "the \(name)'s logits at position \(range.lowerBound + bad.row) of chunk \(index) are not finite: "
            + "its weights or activations overflow")
      }
      position = range.upperBound
    }
    return scores
  }
}

/// A model with its cache, run over one chunk after the other; a streamed one has run over all of them before.
private struct ChunkRunner {
  let model: any LanguageModel
  let cache: KVCache
  private let states: SequenceStates?

  init(model: any LanguageModel, capacity: Int, chunks: EvaluationChunks) throws {
    self.model = model
    cache = model.makeCache(capacity: capacity)
    states = try (model as? StreamedModel)?.states(of: chunks.chunks.map(\.tokens))
  }

  /// Starts `chunk`: runs the tokens before the first scored position.
  func begin(_ chunk: EvaluationChunks.Chunk) {
    guard states == nil else { return }
    cache.truncate(to: 0)
    if chunk.first > 0 { _ = model.forward(Array(chunk.tokens[..<chunk.first]), cache: cache, logits: .none) }
  }

  /// Runs the next tokens of a chunk: one row of logits for each.
  func logits(_ tokens: ArraySlice<Int>, of chunk: Int) throws -> Matrix {
    if let states { return try states.logits(of: chunk, at: tokens.startIndex..<tokens.endIndex) }
    return model.forward(Array(tokens), cache: cache, logits: .from(0))
  }
}

/// The baseline's logits of some positions.
private enum BaselineRows {
  case logits(Matrix)
  /// Rows of all that were kept, from one of them on.
  case kept([Float], first: Int)
  case likeliest(ArraySlice<ReferenceRow>)
}

extension ReferenceCache {
  fileprivate func rows(_ first: Int, count: Int) -> BaselineRows {
    switch storage {
    case .whole(let values, _): .kept(values, first: first)
    case .likeliest(let rows): .likeliest(rows[first..<first + count])
    }
  }
}

/// The row of logits that has a NaN or an infinity.
private struct NonFiniteRow: Error {
  var row: Int
  var isBaseline: Bool
}

extension TokenScore {
  /// One score for each row, computed on all threads; the sums are taken in order afterwards.
  fileprivate static func scores(
    _ logits: Matrix, baseline: BaselineRows?, truth: [Int]
  ) -> Result<[TokenScore], NonFiniteRow> {
    precondition(logits.rows == truth.count, "one row of logits for each position")
    let results = Locked([Result<TokenScore, NonFiniteRow>?](repeating: nil, count: truth.count))
    Parallel.forEach(truth.count) { row in
      let result = logits.withRow(row) { model -> Result<TokenScore, NonFiniteRow> in
        guard let model = LogitRow(model) else { return .failure(NonFiniteRow(row: row, isBaseline: false)) }
        func compare(_ values: UnsafeBufferPointer<Float>) -> Result<TokenScore, NonFiniteRow> {
          guard let reference = LogitRow(values) else {
            return .failure(NonFiniteRow(row: row, isBaseline: true))
          }
          return .success(model.score(of: truth[row], baseline: reference))
        }
        switch baseline {
        case nil: return .success(model.score(of: truth[row]))
        case .logits(let matrix): return matrix.withRow(row, compare)
        case .kept(let values, let first):
          let columns = logits.columns
          return values.withUnsafeBufferPointer {
            compare(UnsafeBufferPointer(rebasing: $0[(first + row) * columns..<(first + row + 1) * columns]))
          }
        case .likeliest(let rows):
          return .success(model.score(of: truth[row], reference: rows[rows.startIndex + row]))
        }
      }
      results.withLock { $0[row] = result }
    }
    return Result { () throws(NonFiniteRow) in
      var scores: [TokenScore] = []
      for case .some(let result) in results.withLock({ $0 }) { scores.append(try result.get()) }
      return scores
    }
  }
}

extension Matrix {
  /// The values of one row as a buffer, valid inside `body`.
  func withRow<Result>(_ row: Int, _ body: (UnsafeBufferPointer<Float>) -> Result) -> Result {
    elements.withUnsafeBufferPointer {
      body(UnsafeBufferPointer(rebasing: $0[row * columns..<(row + 1) * columns]))
    }
  }
}

extension ChunkSums {
  fileprivate init(_ scores: [TokenScore], hasBaseline: Bool) {
    self.init(tokens: scores.count, loss: scores.reduce(0) { $0 + $1.loss })
    guard hasBaseline else { return }
    baselineLoss = scores.reduce(0) { $0 + $1.baselineLoss }
    divergence = scores.reduce(0) { $0 + $1.divergence }
    sameTop = scores.reduce(0) { $0 + ($1.isSameTop ? 1 : 0) }
    squaredDelta = scores.reduce(0) { $0 + $1.squaredDelta }
  }
}
