import ModelFiles

/// The names of the metadata entries that describe a tokenizer (GGUF specification, "Tokenizer").
enum GGUFTokenizerKey {
  static let model = "tokenizer.ggml.model"
  static let pre = "tokenizer.ggml.pre"
  static let tokens = "tokenizer.ggml.tokens"
  static let scores = "tokenizer.ggml.scores"
  static let types = "tokenizer.ggml.token_type"
  static let merges = "tokenizer.ggml.merges"
  static let beginning = "tokenizer.ggml.bos_token_id"
  static let end = "tokenizer.ggml.eos_token_id"
  static let endOfTurn = "tokenizer.ggml.eot_token_id"
  static let unknown = "tokenizer.ggml.unknown_token_id"
  static let separator = "tokenizer.ggml.seperator_token_id"
  static let padding = "tokenizer.ggml.padding_token_id"
  static let classifier = "tokenizer.ggml.cls_token_id"
  static let mask = "tokenizer.ggml.mask_token_id"
  static let addsBeginning = "tokenizer.ggml.add_bos_token"
  static let addsEnd = "tokenizer.ggml.add_eos_token"
  static let addsSeparator = "tokenizer.ggml.add_sep_token"
  static let addsSpacePrefix = "tokenizer.ggml.add_space_prefix"
  static let removesExtraWhitespace = "tokenizer.ggml.remove_extra_whitespaces"
  static let charsMap = "tokenizer.ggml.precompiled_charsmap"
  static let chatTemplate = "tokenizer.chat_template"
  /// Ours: what llama.cpp has no entry for, so that the tokenizer read back is the one that was written.
  static let own = "compress.tokenizer"
}

extension SpecialIDs {
  /// The entries for the ids that are there.
  var ggufEntries: [GGUFEntry] {
    let ids: [(String, Int?)] = [
      (GGUFTokenizerKey.beginning, beginning), (GGUFTokenizerKey.end, end),
      (GGUFTokenizerKey.unknown, unknown),
      (GGUFTokenizerKey.separator, separator), (GGUFTokenizerKey.padding, padding),
      (GGUFTokenizerKey.classifier, classifier), (GGUFTokenizerKey.mask, mask),
    ]
    return ids.compactMap { key, id in id.flatMap(UInt32.init(exactly:)).map { GGUFEntry(key, .uint32($0)) } }
  }
}

/// The entries for `pieces`: texts, scores and types.
func ggufEntries(of pieces: [Piece]) -> [GGUFEntry] {
  [
    GGUFEntry(GGUFTokenizerKey.tokens, ggufStrings(pieces.map(\.bytes))),
    GGUFEntry(GGUFTokenizerKey.scores, .float32s(pieces.map(\.score))),
    GGUFEntry(GGUFTokenizerKey.types, .int32s(pieces.map(\.type.rawValue))),
  ]
}

/// An array of strings; as bytes where one of them is no UTF-8.
func ggufStrings(_ texts: [[UInt8]]) -> GGUFValue {
  let strings = texts.compactMap { String(validating: $0, as: UTF8.self) }
  guard strings.count != texts.count else { return .strings(strings) }
  return .array(texts.map { .bytes($0) }, elementType: 8)
}

/// A GGUF file's tokenizer entries by key.
struct GGUFTokenizerEntries {
  let path: String
  private var values: [String: GGUFValue] = [:]

  /// The entries of `metadata` that are about the tokenizer.
  init(_ metadata: [GGUFEntry], path: String) {
    self.path = path
    for entry in metadata where entry.key.hasPrefix("tokenizer.") || entry.key == GGUFTokenizerKey.own {
      values[entry.key] = entry.value
    }
  }

  subscript(key: String) -> GGUFValue? { values[key] }

  /// A string, or nil when the entry is absent.
  func string(_ key: String) throws(TokenizerError) -> String? {
    guard let value = values[key] else { return nil }
    guard case .string(let text) = value else { throw wrong(key, "a string") }
    return text
  }

  /// A truth value, or nil when the entry is absent.
  func flag(_ key: String) throws(TokenizerError) -> Bool? {
    guard let value = values[key] else { return nil }
    guard case .bool(let flag) = value else { throw wrong(key, "true or false") }
    return flag
  }

  /// A list of byte strings, or nil when the entry is absent.
  func texts(_ key: String) throws(TokenizerError) -> [[UInt8]]? {
    switch values[key] {
    case nil: return nil
    case .strings(let texts): return texts.map { Array($0.utf8) }
    case .array(let elements, _):
      var texts: [[UInt8]] = []
      for element in elements {
        switch element {
        case .string(let text): texts.append(Array(text.utf8))
        case .bytes(let bytes): texts.append(bytes)
        default: throw wrong(key, "a list of strings")
        }
      }
      return texts
    default: throw wrong(key, "a list of strings")
    }
  }

  /// A list of numbers, or nil when the entry is absent.
  func numbers(_ key: String) throws(TokenizerError) -> [Double]? {
    switch values[key] {
    case nil: return nil
    case .float32s(let numbers): return numbers.map(Double.init)
    case .int32s(let numbers): return numbers.map(Double.init)
    case .array(let elements, _):
      var numbers: [Double] = []
      for element in elements {
        guard let number = GGUFTokenizerEntries.number(element) else { throw wrong(key, "a list of numbers") }
        numbers.append(number)
      }
      return numbers
    default: throw wrong(key, "a list of numbers")
    }
  }

  /// An id inside a vocabulary of `count`, or nil when the entry is absent (or the "none" that writers put as all ones).
  func id(_ key: String, below count: Int) throws(TokenizerError) -> Int? {
    guard let value = values[key] else { return nil }
    guard let number = GGUFTokenizerEntries.number(value), let id = Int(exactly: number) else {
      throw wrong(key, "a number")
    }
    if id == -1 || id == Int(UInt32.max) { return nil }
    guard id >= 0, id < count else {
      throw TokenizerError(path: path, "\(key) is \(id), the vocabulary has \(count) pieces")
    }
    return id
  }

  private static func number(_ value: GGUFValue) -> Double? {
    switch value {
    case .uint8(let value): Double(value)
    case .int8(let value): Double(value)
    case .uint16(let value): Double(value)
    case .int16(let value): Double(value)
    case .uint32(let value): Double(value)
    case .int32(let value): Double(value)
    case .uint64(let value): Double(value)
    case .int64(let value): Double(value)
    case .float32(let value): Double(value)
    case .float64(let value): value
    default: nil
    }
  }

  func wrong(_ key: String, _ expected: String) -> TokenizerError {
    TokenizerError(path: path, "the metadata '\(key)' is not \(expected)")
  }
}

extension GGUFTokenizerEntries {
  /// The vocabulary: texts with their scores (0 where absent) and types (normal where absent).
  func pieces() throws(TokenizerError) -> [Piece] {
    guard let texts = try texts(GGUFTokenizerKey.tokens), !texts.isEmpty else {
      throw TokenizerError(path: path, "the metadata '\(GGUFTokenizerKey.tokens)' is missing or empty")
    }
    let scores = try numbers(GGUFTokenizerKey.scores)
    let types = try numbers(GGUFTokenizerKey.types)
    guard scores == nil || scores?.count == texts.count else {
      throw TokenizerError(path: path, "\(texts.count) tokens, but \(scores?.count ?? 0) scores")
    }
    guard types == nil || types?.count == texts.count else {
      throw TokenizerError(path: path, "\(texts.count) tokens, but \(types?.count ?? 0) token types")
    }
    var pieces: [Piece] = []
    pieces.reserveCapacity(texts.count)
    for (id, text) in texts.enumerated() {
      let score = Float(scores?[id] ?? 0)
      guard !score.isNaN else { throw TokenizerError(path: path, "the score of token \(id) is not a number") }
      let number = types?[id] ?? 1
      // Files of early converters have type 0, "undefined"; llama.cpp treats it as normal.
      let type = number == 0 ? .normal : Int32(exactly: number).flatMap(PieceType.init(rawValue:))
      guard let type else { throw TokenizerError(path: path, "token \(id) has the unknown type \(number)") }
      pieces.append(Piece(bytes: text, score: score, type: type))
    }
    return pieces
  }

  /// The special ids of a vocabulary of `count` pieces.
  func special(count: Int) throws(TokenizerError) -> SpecialIDs {
    var special = SpecialIDs()
    special.beginning = try id(GGUFTokenizerKey.beginning, below: count)
    special.end = try id(GGUFTokenizerKey.end, below: count)
    special.unknown = try id(GGUFTokenizerKey.unknown, below: count)
    special.padding = try id(GGUFTokenizerKey.padding, below: count)
    special.classifier = try id(GGUFTokenizerKey.classifier, below: count)
    special.separator = try id(GGUFTokenizerKey.separator, below: count)
    special.mask = try id(GGUFTokenizerKey.mask, below: count)
    if let turn = try id(GGUFTokenizerKey.endOfTurn, below: count) { special.stops.insert(turn) }
    return special
  }
}
