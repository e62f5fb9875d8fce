import ModelFiles

// From a description to a tokenizer.

extension PipelineTokenizer {
  /// Builds what `description` describes.
  ///
  /// - Parameters:
  ///   - configuration: names the special tokens and holds the chat template.
  ///   - path: the file, for errors.
  init(
    _ description: PipelineDescription, configuration: TokenizerConfiguration, path: String
  ) throws(TokenizerError) {
    let parser = ComponentParser(path: path)
    let document = description.document
    let addedTokens = try PipelineTokenizer.addedTokens(document["added_tokens"], description, path)
    let pieces = try PipelineTokenizer.pieces(description, addedTokens, path)
    let normalizers = try parser.normalizers(document["normalizer"])
    let preTokenizers = try parser.preTokenizers(document["pre_tokenizer"])

    self.description = description
    self.normalizers = normalizers
    self.preTokenizers = preTokenizers
    decoders = try parser.decoders(document["decoder"])
    template = try parser.template(document["post_processor"], count: pieces.count)
    added = AddedTokens(addedTokens) { text in normalizers.reduce(text) { $1.apply(to: $0) } }
    model = try PipelineTokenizer.model(description, preTokenizers, path)
    chatTemplate = configuration.chatTemplate
    let named = PipelineTokenizer.special(configuration, pieces, document["model"])
    special = PipelineTokenizer.completed(
      configuration.complete(named, count: pieces.count), template, document["model"])
    self.pieces = pieces
  }

  private static func addedTokens(
    _ value: JSONValue?, _ description: PipelineDescription, _ path: String
  ) throws(TokenizerError) -> [TokenizerConfiguration.AddedToken] {
    let limit = description.tokens.count + TokenizerConfiguration.addedTokenLimit
    var tokens: [TokenizerConfiguration.AddedToken] = []
    for entry in value?.arrayValue ?? [] {
      guard let id = entry["id"]?.intValue, let content = entry["content"]?.stringValue, id >= 0, id < limit
      else {
        throw TokenizerError(path: path, "an added token has no usable id or content")
      }
      tokens.append(.init(id: id, content: content, flags: entry))
    }
    return tokens
  }

  private static func pieces(
    _ description: PipelineDescription, _ added: [TokenizerConfiguration.AddedToken], _ path: String
  ) throws(TokenizerError) -> [Piece] {
    let highest = max(description.tokens.lazy.map(\.id).max() ?? -1, added.lazy.map(\.id).max() ?? -1)
    guard highest >= 0 else { throw TokenizerError(path: path, "the vocabulary is empty") }
    // Ids may have gaps, but not so many that a crafted id allocates gigabytes.
    guard highest < description.tokens.count + added.count + TokenizerConfiguration.addedTokenLimit else {
      throw TokenizerError(
        path: path, "the highest id is \(highest), but there are \(description.tokens.count) tokens")
    }
    var pieces = (0...highest).map { Piece(bytes: Array("[PAD\($0)]".utf8), score: 0, type: .unused) }
    for token in description.tokens {
      let score = token.id < description.scores.count ? Float(description.scores[token.id]) : 0
      pieces[token.id] = Piece(bytes: token.bytes, score: score, type: .normal)
    }
    for token in added {
      pieces[token.id].bytes = Array(token.content.utf8)
      pieces[token.id].type = token.isSpecial ? .control : .userDefined
    }
    return pieces
  }

  private static func special(
    _ configuration: TokenizerConfiguration, _ pieces: [Piece], _ model: JSONValue?
  ) -> SpecialIDs {
    var table = PieceTable(capacity: pieces.count)
    for (id, piece) in pieces.enumerated() where piece.type != .unused { table.insert(piece.bytes, id: id) }
    func id(_ text: String?) -> Int? { text.flatMap { table.id(of: Array($0.utf8)) } }
    var special = SpecialIDs()
    special.beginning = id(configuration.beginning)
    special.end = id(configuration.end)
    special.unknown =
      id(configuration.unknown) ?? id(model?["unk_token"]?.stringValue) ?? model?["unk_id"]?.intValue
    special.padding = id(configuration.padding)
    special.separator = id(configuration.separator)
    special.classifier = id(configuration.classifier)
    special.mask = id(configuration.mask)
    // Ends of turns that chat models use besides their end of text.
    for text in [
      "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
      "<|eom_id|>",
    ] {
      if let id = id(text), pieces[id].type == .control { special.stops.insert(id) }
    }
    return special
  }

  /// What no configuration names, the template does: its first and last ids.
  private static func completed(
    _ special: SpecialIDs, _ template: [TemplatePart], _ model: JSONValue?
  ) -> SpecialIDs {
    var special = special
    let isWordPiece = model?["type"]?.stringValue == "WordPiece"
    if case .special(let id) = template.first {
      if isWordPiece { special.classifier = special.classifier ?? id }
      if special.classifier != id { special.beginning = special.beginning ?? id }
    }
    if case .special(let id) = template.last {
      if isWordPiece { special.separator = special.separator ?? id }
      if special.separator != id { special.end = special.end ?? id }
    }
    return special
  }

  // MARK: Models

  private static func model(
    _ description: PipelineDescription, _ preTokenizers: [PreTokenizer], _ path: String
  ) throws(TokenizerError) -> Model {
    let model = description.document["model"]
    let type = model?["type"]?.stringValue ?? ""
    switch type {
    case "BPE":
      guard (model?["dropout"]?.doubleValue ?? 0) == 0 else {
        throw TokenizerError(path: path, "a BPE model with dropout has no fixed ids")
      }
      var isByteLevel = false
      for case .byteLevel in preTokenizers { isByteLevel = true }
      return .bytePair(try bytePair(description, model, isByteLevel: isByteLevel, path))
    case "WordPiece":
      let name = model?["unk_token"]?.stringValue ?? "[UNK]"
      guard let unknown = description.tokens.first(where: { $0.bytes.elementsEqual(name.utf8) })?.id else {
        throw TokenizerError(path: path, "the unknown token '\(name)' is not in the vocabulary")
      }
      return .wordPiece(
        WordPieceModel(
          tokens: description.tokens,
          prefix: Array((model?["continuing_subword_prefix"]?.stringValue ?? "##").utf8), unknown: unknown,
          longestWord: model?["max_input_chars_per_word"]?.intValue ?? 100))
    case "Unigram":
      let unknown = model?["unk_id"]?.intValue
      guard description.scores.count == description.tokens.count,
        unknown.map({ $0 >= 0 && $0 < description.scores.count }) ?? true
      else {
        throw TokenizerError(path: path, "the unigram model's scores or unknown id do not fit its vocabulary")
      }
      return .unigram(
        UnigramModel(
          tokens: description.tokens.map(\.bytes), scores: description.scores, unknown: unknown,
          byteFallback: model?["byte_fallback"]?.boolValue ?? false))
    default: throw TokenizerError(path: path, "the model '\(type)' is not supported")
    }
  }

  private static func bytePair(
    _ description: PipelineDescription, _ model: JSONValue?, isByteLevel: Bool, _ path: String
  ) throws(TokenizerError) -> BytePairModel {
    var table = PieceTable(capacity: description.tokens.count)
    for token in description.tokens { table.insert(token.bytes, id: token.id) }
    var options = BytePairModel.Options()
    options.isByteLevel = isByteLevel
    options.fusesUnknown = model?["fuse_unk"]?.boolValue ?? false
    options.byteFallback = model?["byte_fallback"]?.boolValue ?? false
    options.ignoresMerges = model?["ignore_merges"]?.boolValue ?? false
    options.continuingPrefix = Array((model?["continuing_subword_prefix"]?.stringValue ?? "").utf8)
    options.endOfWordSuffix = Array((model?["end_of_word_suffix"]?.stringValue ?? "").utf8)
    if let name = model?["unk_token"]?.stringValue {
      guard let id = table.id(of: Array(name.utf8)) else {
        throw TokenizerError(path: path, "the unknown token '\(name)' is not in the vocabulary")
      }
      options.unknown = id
    }
    var merges: [(left: Int, right: Int, merged: Int)] = []
    merges.reserveCapacity(description.merges.count)
    for (rank, merge) in description.merges.enumerated() {
      let joined = merge.left + merge.right.dropFirst(options.continuingPrefix.count)
      guard let left = table.id(of: merge.left), let right = table.id(of: merge.right),
        let merged = table.id(of: Array(joined))
      else {
        throw TokenizerError(path: path, "merge \(rank) uses or makes a token that is not in the vocabulary")
      }
      merges.append((left, right, merged))
    }
    let tokens =
      isByteLevel
      ? description.tokens.compactMap { token in
        ByteLevelAlphabet.bytes(of: token.bytes).map { ($0, token.id) }
      }
      : description.tokens
    return BytePairModel(tokens: tokens, merges: merges, options: options)
  }
}
