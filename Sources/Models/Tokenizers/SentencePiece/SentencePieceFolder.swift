import ModelFiles

// What a Hugging Face folder says about its `tokenizer.model`: tokenizer_config.json.

extension SentencePieceTokenizer {
  /// The tokenizer of a `.model` file, with the settings of `configuration` (`tokenizer_config.json`) if there is one.
  ///
  /// Without one, Llama's habits: the beginning is marked, the end is not, and special texts in the input are text.
  static func fromFile(
    _ model: SentencePieceModel, configuration: TokenizerConfiguration?, path: String
  ) throws(TokenizerError) -> SentencePieceTokenizer {
    var settings = Settings()
    var special = model.special
    guard let configuration else {
      if model.algorithm == .unigram { (settings.addsBeginning, settings.addsEnd) = (false, true) }
      return try SentencePieceTokenizer(model, settings: settings, special: special, path: path)
    }
    settings.addsBeginning = configuration.addsBeginning ?? (model.algorithm == .bytePair)
    settings.addsEnd = configuration.addsEnd ?? (model.algorithm == .unigram)
    settings.prefixesEveryPart = configuration.isLegacy ?? true
    settings.chatTemplate = configuration.chatTemplate
    let (extra, added) = try extraPieces(of: configuration, base: model.pieces, path: path)

    let all = model.pieces + extra
    func id(_ text: String?) -> Int? {
      text.flatMap { text in all.firstIndex { $0.bytes.elementsEqual(text.utf8) } }
    }
    special.beginning = id(configuration.beginning) ?? special.beginning
    special.end = id(configuration.end) ?? special.end
    special.padding = id(configuration.padding) ?? special.padding
    special.separator = id(configuration.separator)
    special.classifier = id(configuration.classifier)
    special.mask = id(configuration.mask)
    special = configuration.complete(special, count: all.count)
    return try SentencePieceTokenizer(
      model, extra: extra, addedTokens: added, settings: settings, special: special, path: path)
  }

  /// The pieces that `added_tokens_decoder` puts behind the model's, and all its tokens, which are cut out of texts.
  private static func extraPieces(
    of configuration: TokenizerConfiguration, base: [Piece], path: String
  ) throws(TokenizerError) -> (extra: [Piece], added: [(bytes: [UInt8], id: Int)]) {
    var extra: [Piece] = []
    var added: [(bytes: [UInt8], id: Int)] = []
    for token in configuration.addedTokens.sorted(by: { $0.id < $1.id }) {
      guard token.id >= 0, token.id < base.count + TokenizerConfiguration.addedTokenLimit else {
        throw TokenizerError(
          path: path,
          "the added token '\(token.content)' has id \(token.id), the vocabulary \(base.count) pieces")
      }
      let bytes = Array(token.content.utf8)
      added.append((bytes, token.id))
      guard token.id >= base.count else { continue }
      while base.count + extra.count < token.id {
        extra.append(
          Piece(bytes: Array("[PAD\(base.count + extra.count)]".utf8), score: -10000, type: .unused))
      }
      guard base.count + extra.count == token.id else {
        throw TokenizerError(path: path, "two added tokens have the id \(token.id)")
      }
      extra.append(Piece(bytes: bytes, score: -1000, type: token.isSpecial ? .control : .userDefined))
    }
    return (extra, added)
  }
}
