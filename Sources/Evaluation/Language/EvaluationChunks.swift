public import Models

/// Sequences of tokens to score, and the policy that made them.
///
/// The policy is that of llama.cpp's perplexity tool, so figures can be compared: the whole text becomes one row of tokens,
/// which is cut into chunks of `context` tokens without overlap, the rest being left out; where the tokenizer adds a BOS,
/// it *replaces* the first token of each chunk; of each chunk the positions from context/2 on predict their successor,
/// so tokens context/2 + 1 … context − 1 are scored.
public struct EvaluationChunks: Sendable, Equatable {
  /// One sequence, and which of its tokens are scored.
  public struct Chunk: Sendable, Equatable {
    /// The tokens, BOS included.
    public var tokens: [Int]
    /// The first position whose prediction is scored: it predicts token `first + 1`.
    public var first: Int
    /// The document that the sequence is a part of, counted from 0; nil for running text, whose chunks stand for themselves.
    public var document: Int?
    /// The number of predictions that are scored.
    public var scoredCount: Int { max(0, tokens.count - 1 - first) }

    /// A sequence scored from position `first` on.
    public init(tokens: [Int], first: Int, document: Int? = nil) {
      self.tokens = tokens
      self.first = first
      self.document = document
    }
  }

  /// The sequences.
  public var chunks: [Chunk]
  /// The tokens of a full chunk.
  public var context: Int
  /// Whether every prediction counts, not only those of each chunk's second half.
  public var fromStart: Bool
  /// Whether each chunk begins with BOS.
  public var addsBeginningOfText: Bool
  /// Whether documents were cut one by one.
  public var isDocuments: Bool
  /// Whether a limit took chunks from all over the text, not its first ones.
  public var isSpread: Bool
  /// The text's name.
  public var textName: String
  /// Its SHA-256.
  public var textHash: String
  /// Its length in tokens; where a limit ended the reading of documents, only of those read.
  public var textTokens: Int
  /// Remarks for the report: a context that had to be shortened …
  public var notes: [String]

  /// Chunks made elsewhere, under the policy that the other parameters tell.
  public init(
    chunks: [Chunk], context: Int, fromStart: Bool, addsBeginningOfText: Bool, isDocuments: Bool = false,
    isSpread: Bool = false, textName: String, textHash: String, textTokens: Int, notes: [String] = []
  ) {
    self.chunks = chunks
    self.context = context
    self.fromStart = fromStart
    self.addsBeginningOfText = addsBeginningOfText
    self.isDocuments = isDocuments
    self.isSpread = isSpread
    self.textName = textName
    self.textHash = textHash
    self.textTokens = textTokens
    self.notes = notes
  }

  /// The number of predictions that are scored.
  public var scoredCount: Int { chunks.reduce(0) { $0 + $1.scoredCount } }
  /// The number of tokens the models are fed.
  public var tokenCount: Int { chunks.reduce(0) { $0 + $1.tokens.count } }
}

extension EvaluationText {
  /// The default context: long enough to be meaningful, short enough to be comparable and quick.
  public static let defaultContext = 512
  /// The fewest tokens that a text's chunk may have.
  package static let shortestChunk = 16

  /// The text as chunks of tokens.
  ///
  /// - Parameters:
  ///   - tokenizer: the model's.
  ///   - modelContext: the longest sequence of the model.
  ///   - context: tokens in a chunk; nil for the smaller of ``defaultContext`` and the model's.
  ///   - limit: the number of tokens after which no chunk is begun; nil for the whole text.
  ///   - spread: whether a limit takes chunks from all over the text instead of its first ones. They say more about the whole
  ///     text: of a long one, neighbouring chunks are alike, and its beginning is not.
  ///   - fromStart: whether all predictions are scored; nil for the default: documents from their start, running text
  ///     the second half of each chunk.
  /// - Throws: ``EvaluationError`` when the text is too short, or the context is longer than the model's.
  public func chunks(
    tokenizer: any Tokenizer, modelContext: Int, context: Int? = nil, limit: Int? = nil,
    spread: Bool = false, fromStart: Bool? = nil
  ) throws -> EvaluationChunks {
    let length = context ?? min(EvaluationText.defaultContext, modelContext)
    guard length <= modelContext else {
      throw EvaluationError(
        .mismatch, name, "a context of \(length) tokens is longer than the model's \(modelContext)")
    }
    guard length >= 4 else {
      throw EvaluationError(.mismatch, name, "a context of \(length) tokens is too short")
    }
    let bos = tokenizer.addsBeginningOfText ? tokenizer.beginningOfText : nil
    var result = EvaluationChunks(
      chunks: [], context: length, fromStart: fromStart ?? isDocuments, addsBeginningOfText: bos != nil,
      isDocuments: isDocuments, isSpread: spread, textName: name, textHash: sha256, textTokens: 0, notes: [])
    let first = spread ? nil : limit
    if isDocuments {
      cutDocuments(tokenizer, bos: bos, limit: first, into: &result)
    } else {
      try cutText(tokenizer, bos: bos, limit: first, isFixed: context != nil, into: &result)
    }
    if spread, let limit {
      result.chunks = EvenSpread.places(of: result.chunks.map(\.tokens.count), limit: limit).map {
        result.chunks[$0]
      }
    }
    guard result.scoredCount > 0 else {
      throw EvaluationError(.tooShort, name, "no document has two tokens or more; give a longer text")
    }
    if result.chunks.count == 1 {
      result.notes.append("a single chunk was evaluated: standard errors are unknown")
    }
    return result
  }

  private func cutText(
    _ tokenizer: any Tokenizer, bos: Int?, limit: Int?, isFixed: Bool, into result: inout EvaluationChunks
  ) throws {
    var tokens = tokenizer.encode(documents.first ?? [], addSpecial: false)
    if let bos { tokens.insert(bos, at: 0) }
    result.textTokens = tokens.count
    if tokens.count < result.context {
      guard !isFixed, tokens.count >= EvaluationText.shortestChunk else {
        throw EvaluationError(
          .tooShort, name,
          "the text has \(tokens.count) tokens, a chunk needs \(isFixed ? result.context : EvaluationText.shortestChunk)"
            + "; give a longer text\(isFixed ? " or a shorter context" : "")")
      }
      result.notes.append(
        "the text has only \(tokens.count) tokens: the context was shortened from \(result.context)")
      result.context = tokens.count
    }
    let count = EvaluationText.chunkCount(tokens.count, result.context, limit)
    for index in 0..<count {
      var chunk = Array(tokens[index * result.context..<(index + 1) * result.context])
      if let bos { chunk[0] = bos }
      result.chunks.append(.init(tokens: chunk, first: result.fromStart ? 0 : result.context / 2))
    }
  }

  /// Each document starts with BOS and is cut by itself; its last chunk may be shorter, so that no document is lost.
  private func cutDocuments(
    _ tokenizer: any Tokenizer, bos: Int?, limit: Int?, into result: inout EvaluationChunks
  ) {
    var fed = 0
    for (number, document) in documents.enumerated() {
      guard limit.map({ fed < $0 }) ?? true else { break }
      var tokens = tokenizer.encode(document, addSpecial: false)
      if let bos { tokens.insert(bos, at: 0) }
      result.textTokens += tokens.count
      for start in stride(from: 0, to: tokens.count, by: result.context) {
        guard limit.map({ fed < $0 }) ?? true else { break }
        var chunk = Array(tokens[start..<min(start + result.context, tokens.count)])
        guard chunk.count > 1 else { continue }
        if let bos { chunk[0] = bos }
        result.chunks.append(
          .init(tokens: chunk, first: result.fromStart ? 0 : chunk.count / 2, document: number))
        fed += chunk.count
      }
    }
    result.chunks.removeAll { $0.scoredCount == 0 }
  }

  /// The number of whole chunks: at least one, at most as many as `limit` tokens fill.
  private static func chunkCount(_ tokens: Int, _ context: Int, _ limit: Int?) -> Int {
    let all = tokens / context
    return limit.map { max(1, min(all, $0 / context)) } ?? all
  }
}
