import ModelFiles

/// What a `tokenizer.json` says, before anything is built from it: the document without its long lists, and those lists.
struct PipelineDescription: Sendable {
  /// `normalizer`, `pre_tokenizer`, `post_processor`, `decoder`, `added_tokens`, and `model` without vocabulary and merges.
  var document: JSONValue
  /// The model's own tokens.
  var tokens: [(bytes: [UInt8], id: Int)]
  /// The scores of a unigram model, by id.
  var scores: [Double] = []
  /// The merges of a byte-pair model, by rank.
  var merges: [(left: [UInt8], right: [UInt8])] = []

  /// How large a vocabulary may be.
  static let sizeLimit = 1 << 24

  /// A description of these parts.
  init(
    document: JSONValue, tokens: [(bytes: [UInt8], id: Int)], scores: [Double] = [],
    merges: [(left: [UInt8], right: [UInt8])] = []
  ) {
    self.document = document
    self.tokens = tokens
    self.scores = scores
    self.merges = merges
  }

  /// Takes a `tokenizer.json` apart.
  init(json: JSONValue, path: String) throws(TokenizerError) {
    guard let root = json.objectValue, let model = json["model"]?.objectValue else {
      throw TokenizerError(path: path, "no tokenizer.json: it has no \"model\"")
    }
    (tokens, scores) = try PipelineDescription.vocabulary(model["vocab"], path)
    merges = try PipelineDescription.merges(model["merges"], path)
    var rest = JSONObject(
      model.members.filter { $0.key != "vocab" && $0.key != "merges" }.map { ($0.key, $0.value) })
    if rest["type"] == nil { rest["type"] = .string(try PipelineDescription.guessType(model, path)) }
    var document = JSONObject([("model", .object(rest))])
    for key in ["normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens"] {
      if let value = root[key], value != .null { document[key] = value }
    }
    self.document = .object(document)
  }

  /// Old files leave the model's type out.
  private static func guessType(_ model: JSONObject, _ path: String) throws(TokenizerError) -> String {
    if model["merges"] != nil { return "BPE" }
    if model["max_input_chars_per_word"] != nil { return "WordPiece" }
    if model["unk_id"] != nil { return "Unigram" }
    throw TokenizerError(path: path, "the model has no \"type\"")
  }

  private static func vocabulary(
    _ value: JSONValue?, _ path: String
  ) throws(TokenizerError) -> ([(bytes: [UInt8], id: Int)], [Double]) {
    var tokens: [(bytes: [UInt8], id: Int)] = []
    if let object = value?.objectValue {
      tokens.reserveCapacity(object.members.count)
      for (token, id) in object.members {
        guard let id = id.intValue, id >= 0, id < sizeLimit else {
          throw TokenizerError(path: path, "the token '\(token)' has no usable id")
        }
        tokens.append((Array(token.utf8), id))
      }
      guard Set(tokens.lazy.map(\.id)).count == tokens.count else {
        throw TokenizerError(path: path, "two tokens have the same id")
      }
      return (tokens, [])
    }
    guard let list = value?.arrayValue else { throw TokenizerError(path: path, "the model has no \"vocab\"") }
    var scores: [Double] = []
    for (id, entry) in list.enumerated() {
      guard let pair = entry.arrayValue, pair.count == 2, let text = pair[0].stringValue,
        let score = pair[1].doubleValue
      else { throw TokenizerError(path: path, "entry \(id) of the vocabulary is not a token with its score") }
      tokens.append((Array(text.utf8), id))
      scores.append(score)
    }
    return (tokens, scores)
  }

  private static func merges(
    _ value: JSONValue?, _ path: String
  ) throws(TokenizerError) -> [(left: [UInt8], right: [UInt8])] {
    guard let value, value != .null else { return [] }
    guard let list = value.arrayValue else { throw TokenizerError(path: path, "\"merges\" is not a list") }
    var merges: [(left: [UInt8], right: [UInt8])] = []
    merges.reserveCapacity(list.count)
    for (rank, entry) in list.enumerated() {
      if let text = entry.stringValue {
        // A version line was allowed in front once.
        if text.hasPrefix("#version") { continue }
        guard let merge = split(Array(text.utf8)) else {
          throw TokenizerError(path: path, "merge \(rank) '\(text)' is not two tokens")
        }
        merges.append(merge)
      } else if let pair = entry.arrayValue, pair.count == 2, let left = pair[0].stringValue,
        let right = pair[1].stringValue
      {
        merges.append((Array(left.utf8), Array(right.utf8)))
      } else {
        throw TokenizerError(path: path, "merge \(rank) is not two tokens")
      }
    }
    return merges
  }

  /// The two tokens of "left right".
  static func split(_ merge: [UInt8]) -> (left: [UInt8], right: [UInt8])? {
    let parts = merge.split(separator: 0x20, omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
    return (Array(parts[0]), Array(parts[1]))
  }
}
