public import ModelFiles

/// What a row of reference logits belongs to: another model, text or policy gives other logits.
public struct ReferenceKey: Sendable, Equatable {
  /// The baseline's name, for messages.
  public var modelName: String
  /// SHA-256 over the SHA-256 of the baseline's files.
  public var model: String
  /// The text's name, for messages.
  public var textName: String
  /// The text's SHA-256.
  public var text: String
  /// Tokens of a full chunk.
  public var context: Int
  /// SHA-256 over every chunk's tokens and first scored position: tokenizer, BOS, limits and scoring are all in it.
  public var chunks: String
  /// The number of scored predictions: one row each.
  public var rows: Int
  /// The number of logits.
  public var vocabulary: Int

  /// The key of a model's logits on `chunks`.
  ///
  /// - Parameter files: the SHA-256 of the model's files, in any order.
  public init(modelName: String, files: [String], vocabulary: Int, chunks: EvaluationChunks) {
    self.modelName = modelName
    model = ReferenceKey.hash(files.sorted().joined(separator: "\n").utf8)
    textName = chunks.textName
    text = chunks.textHash
    context = chunks.context
    self.chunks = ReferenceKey.hash(
      chunks.chunks.flatMap { chunk in
        ([chunk.first, chunk.tokens.count] + chunk.tokens).flatMap { number in
          (0..<4).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
        }
      })
    rows = chunks.scoredCount
    self.vocabulary = vocabulary
  }

  private static func hash(_ bytes: some Sequence<UInt8>) -> String {
    Array(bytes).withUnsafeBytes { FileHash.sha256(of: $0) }
  }

  /// Why logits of `other` are not those of this key; nil when they are.
  ///
  /// - Parameter ignoringModel: whether any model will do, as when there is none to compare with.
  public func difference(from other: ReferenceKey, ignoringModel: Bool = false) -> String? {
    if !ignoringModel, model != other.model { return "it is of another model ('\(other.modelName)')" }
    if vocabulary != other.vocabulary {
      return "it has \(other.vocabulary) logits a token, the model \(vocabulary)"
    }
    if text != other.text { return "it is of another text ('\(other.textName)')" }
    if context != other.context { return "it was made with a context of \(other.context), not \(context)" }
    if chunks != other.chunks || rows != other.rows {
      return
        "it is of other tokens: another limit (\(other.rows) scored, \(rows) wanted), tokenizer or way of scoring"
    }
    return nil
  }
}

extension ReferenceKey {
  var json: JSONValue {
    .object(
      JSONObject([
        ("modelName", .string(modelName)), ("model", .string(model)), ("textName", .string(textName)),
        ("text", .string(text)), ("context", .integer(context)), ("chunks", .string(chunks)),
        ("rows", .integer(rows)), ("vocabulary", .integer(vocabulary)),
      ]))
  }

  init?(_ json: JSONValue) {
    guard let modelName = json["modelName"]?.stringValue, let model = json["model"]?.stringValue,
      let textName = json["textName"]?.stringValue, let text = json["text"]?.stringValue,
      let context = json["context"]?.intValue, let chunks = json["chunks"]?.stringValue,
      let rows = json["rows"]?.intValue, let vocabulary = json["vocabulary"]?.intValue,
      rows > 0, vocabulary > 0
    else { return nil }
    self.modelName = modelName
    self.model = model
    self.textName = textName
    self.text = text
    self.context = context
    self.chunks = chunks
    self.rows = rows
    self.vocabulary = vocabulary
  }
}
