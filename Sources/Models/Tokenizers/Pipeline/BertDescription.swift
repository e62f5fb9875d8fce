import ModelFiles

/// `vocab.txt` as transformers' BertTokenizer reads it, described as a `tokenizer.json`.
enum BertDescription {
  /// The components of a BERT tokenizer.
  static func document(
    unknown: String, start: (String, Int), end: (String, Int), lowercases: Bool, stripsAccents: Bool?,
    separatesChinese: Bool, added: [JSONValue]
  ) -> JSONValue {
    .object(
      JSONObject([
        (
          "normalizer",
          .component(
            "BertNormalizer",
            [
              ("clean_text", .bool(true)), ("handle_chinese_chars", .bool(separatesChinese)),
              ("strip_accents", stripsAccents.map(JSONValue.bool) ?? .null), ("lowercase", .bool(lowercases)),
            ])
        ),
        ("pre_tokenizer", .component("BertPreTokenizer")),
        ("post_processor", .template(before: [start], after: [end])),
        ("decoder", .component("WordPiece", [("prefix", .string("##")), ("cleanup", .bool(true))])),
        ("added_tokens", .array(added)),
        (
          "model",
          .component(
            "WordPiece",
            [
              ("unk_token", .string(unknown)), ("continuing_subword_prefix", .string("##")),
              ("max_input_chars_per_word", .integer(100)),
            ])
        ),
      ]))
  }

  /// Reads the lines of `text`, one token each; a token that appears twice keeps its last id.
  static func description(
    _ text: UnsafeRawBufferPointer, _ configuration: TokenizerConfiguration, path: String
  ) throws(TokenizerError) -> PipelineDescription {
    var lines = text.split(separator: 0x0A, omittingEmptySubsequences: false).map { Array($0) }
    if lines.last?.isEmpty ?? false { lines.removeLast() }
    guard lines.count <= PipelineDescription.sizeLimit else {
      throw TokenizerError(path: path, "the vocabulary has \(lines.count) lines")
    }
    var table = PieceTable(capacity: lines.count)
    for (id, line) in lines.enumerated() {
      guard UTF8Text.isValid(line) else { throw TokenizerError(path: path, "line \(id + 1) is no UTF-8") }
      if lines[id].last == 0x0D { lines[id].removeLast() }
      table.insert(lines[id], id: id, replacing: true)
    }
    let tokens = lines.enumerated().filter { table.id(of: $1) == $0 }.map { (bytes: $1, id: $0) }
    func token(_ name: String) throws(TokenizerError) -> (String, Int) {
      guard let id = table.id(of: Array(name.utf8)) else {
        throw TokenizerError(path: path, "the vocabulary has no '\(name)'; is this BERT's vocab.txt?")
      }
      return (name, id)
    }
    let unknown = try token(configuration.unknown ?? "[UNK]")
    let start = try token(configuration.classifier ?? "[CLS]")
    let end = try token(configuration.separator ?? "[SEP]")
    var special = [unknown, start, end]
    for name in [configuration.padding ?? "[PAD]", configuration.mask ?? "[MASK]"] {
      if let id = table.id(of: Array(name.utf8)) { special.append((name, id)) }
    }
    return PipelineDescription(
      document: document(
        unknown: unknown.0, start: start, end: end, lowercases: configuration.lowercases ?? true,
        stripsAccents: configuration.stripsAccents, separatesChinese: configuration.separatesChinese ?? true,
        added: special.map { .addedToken($0.1, $0.0, isSpecial: true) }),
      tokens: tokens)
  }
}
