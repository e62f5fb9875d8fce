import ModelFiles

// Pipelines from GGUF metadata: our own description where it is there, else what llama.cpp's kinds stand for.

extension PipelineTokenizer {
  /// The tokenizer that was written with the description `own`.
  static func fromGGUF(
    _ entries: GGUFTokenizerEntries, own: JSONValue
  ) throws(TokenizerError) -> PipelineTokenizer {
    let pieces = try entries.pieces()
    let isWordPiece = try entries.string(GGUFTokenizerKey.model) == "bert"
    let addedOnly = Set((own["added_only"]?.arrayValue ?? []).compactMap(\.intValue))
    var tokens: [(bytes: [UInt8], id: Int)] = []
    var scores: [Double] = []
    for (id, piece) in pieces.enumerated() where piece.type != .unused && !addedOnly.contains(id) {
      tokens.append((isWordPiece ? withoutPhantom(piece) : piece.bytes, id))
      scores.append(Double(piece.score))
    }
    if let exact = own["scores"]?.arrayValue { scores = exact.compactMap(\.doubleValue) }
    let description = PipelineDescription(
      document: own["document"] ?? .null, tokens: tokens, scores: scores, merges: try entries.merges())
    return try PipelineTokenizer(
      description, configuration: try entries.configuration(pieces), path: entries.path)
  }

  /// A "bert" vocabulary of another writer: lower case without accents, as llama.cpp runs it.
  static func bertFromGGUF(_ entries: GGUFTokenizerEntries) throws(TokenizerError) -> PipelineTokenizer {
    let pieces = try entries.pieces()
    let special = try entries.special(count: pieces.count)
    func token(_ ids: Int?..., name: String) -> (String, Int)? {
      let found = ids.compactMap { $0 }.first ?? pieces.firstIndex { $0.bytes.elementsEqual(name.utf8) }
      return found.map { (String(decoding: pieces[$0].bytes, as: UTF8.self), $0) }
    }
    guard let start = token(special.classifier, special.beginning, name: "[CLS]"),
      let end = token(special.separator, special.end, name: "[SEP]"),
      let unknown = token(special.unknown, name: "[UNK]")
    else { throw TokenizerError(path: entries.path, "the \"bert\" vocabulary has no [CLS], [SEP] and [UNK]") }
    var tokens: [(bytes: [UInt8], id: Int)] = []
    for (id, piece) in pieces.enumerated() where piece.type != .unused {
      tokens.append((withoutPhantom(piece), id))
    }
    let document = BertDescription.document(
      unknown: String(decoding: tokens.first { $0.id == unknown.1 }?.bytes ?? [], as: UTF8.self),
      start: start,
      end: end, lowercases: true, stripsAccents: nil, separatesChinese: true,
      added: entries.addedTokens(pieces))
    var configuration = try entries.configuration(pieces)
    configuration.classifier = configuration.classifier ?? start.0
    configuration.separator = configuration.separator ?? end.0
    return try PipelineTokenizer(
      PipelineDescription(document: document, tokens: tokens), configuration: configuration,
      path: entries.path)
  }

  /// A "gpt2" vocabulary of another writer.
  static func bytePairFromGGUF(_ entries: GGUFTokenizerEntries) throws(TokenizerError) -> PipelineTokenizer {
    let pieces = try entries.pieces()
    let special = try entries.special(count: pieces.count)
    let pre = try entries.string(GGUFTokenizerKey.pre) ?? "default"
    guard let known = PreTokenizerNames.description(pre) else {
      throw TokenizerError(
        path: entries.path, "the pre-tokenizer '\(pre)' of a \"gpt2\" vocabulary is not supported")
    }
    func token(_ id: Int?) -> [(String, Int)] {
      id.map { [(String(decoding: pieces[$0].bytes, as: UTF8.self), $0)] } ?? []
    }
    let addsBeginning = try entries.flag(GGUFTokenizerKey.addsBeginning) ?? known.addsBeginning
    let addsEnd = try entries.flag(GGUFTokenizerKey.addsEnd) ?? false
    let document = JSONValue.object(
      JSONObject([
        ("pre_tokenizer", known.preTokenizer), ("decoder", .component("ByteLevel")),
        (
          "post_processor",
          .template(
            before: addsBeginning ? token(special.beginning) : [], after: addsEnd ? token(special.end) : [])
        ),
        ("model", .component("BPE", [("ignore_merges", .bool(known.ignoresMerges))])),
        ("added_tokens", .array(entries.addedTokens(pieces))),
      ]))
    // Added tokens hold plain text, the others the byte alphabet.
    var tokens: [(bytes: [UInt8], id: Int)] = []
    for (id, piece) in pieces.enumerated() where piece.type == .normal || piece.type == .byte {
      tokens.append((piece.bytes, id))
    }
    return try PipelineTokenizer(
      PipelineDescription(document: document, tokens: tokens, merges: try entries.merges()),
      configuration: try entries.configuration(pieces), path: entries.path)
  }

  /// A WordPiece token as `vocab.txt` spells it.
  private static func withoutPhantom(_ piece: Piece) -> [UInt8] {
    guard piece.type == .normal else { return piece.bytes }
    if piece.bytes.starts(with: UTF8Text.metaspace) { return Array(piece.bytes[3...]) }
    // Early converters left bracketed tokens as they were without a type.
    let isBracketed = piece.bytes.first == UInt8(ascii: "[") && piece.bytes.last == UInt8(ascii: "]")
    return isBracketed && piece.bytes.count > 2 ? piece.bytes : Array("##".utf8) + piece.bytes
  }
}

extension GGUFTokenizerEntries {
  /// The merges by rank.
  func merges() throws(TokenizerError) -> [(left: [UInt8], right: [UInt8])] {
    var merges: [(left: [UInt8], right: [UInt8])] = []
    for (rank, text) in (try texts(GGUFTokenizerKey.merges) ?? []).enumerated() {
      guard let merge = PipelineDescription.split(text) else {
        throw TokenizerError(
          path: path, "merge \(rank) '\(String(decoding: text, as: UTF8.self))' is not two tokens")
      }
      merges.append(merge)
    }
    return merges
  }

  /// The pieces that are cut out of texts: control and user-defined ones.
  func addedTokens(_ pieces: [Piece]) -> [JSONValue] {
    pieces.enumerated().compactMap { id, piece in
      guard piece.type == .control || piece.type == .userDefined || piece.type == .unknown else { return nil }
      let text = String(decoding: piece.bytes, as: UTF8.self)
      return .addedToken(id, text, isSpecial: piece.type != .userDefined)
    }
  }

  /// The special tokens by their texts.
  func configuration(_ pieces: [Piece]) throws(TokenizerError) -> TokenizerConfiguration {
    let special = try special(count: pieces.count)
    func text(_ id: Int?) -> String? { id.map { String(decoding: pieces[$0].bytes, as: UTF8.self) } }
    var configuration = TokenizerConfiguration(nil)
    configuration.beginning = text(special.beginning)
    configuration.end = text(special.end)
    configuration.unknown = text(special.unknown)
    configuration.padding = text(special.padding)
    configuration.separator = text(special.separator)
    configuration.classifier = text(special.classifier)
    configuration.mask = text(special.mask)
    configuration.chatTemplate = try string(GGUFTokenizerKey.chatTemplate)
    return configuration
  }
}
