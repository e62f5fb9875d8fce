import ModelFiles

// A SentencePiece tokenizer as GGUF metadata: "llama" is BPE with scores, "t5" is unigram.

extension SentencePieceTokenizer {
  var ggufEntries: [GGUFEntry] {
    var entries = [
      GGUFEntry(GGUFTokenizerKey.model, .string(algorithm == .bytePair ? "llama" : "t5")),
      GGUFEntry(GGUFTokenizerKey.pre, .string("default")),
    ]
    entries += Models.ggufEntries(of: pieces)
    entries += special.ggufEntries
    entries += [
      GGUFEntry(GGUFTokenizerKey.addsBeginning, .bool(settings.addsBeginning)),
      GGUFEntry(GGUFTokenizerKey.addsEnd, .bool(settings.addsEnd)),
      GGUFEntry(GGUFTokenizerKey.addsSpacePrefix, .bool(normalizer.addsDummyPrefix)),
    ]
    if algorithm == .unigram || normalizer.removesExtraWhitespace {
      entries.append(
        GGUFEntry(GGUFTokenizerKey.removesExtraWhitespace, .bool(normalizer.removesExtraWhitespace)))
    }
    if let map = normalizer.charsMap {
      entries.append(
        GGUFEntry(GGUFTokenizerKey.charsMap, .array(map.blob.map { .uint8($0) }, elementType: 0)))
    }
    if let template = settings.chatTemplate {
      entries.append(GGUFEntry(GGUFTokenizerKey.chatTemplate, .string(template)))
    }
    entries.append(GGUFEntry(GGUFTokenizerKey.own, .string(ownSettings.text())))
    return entries
  }

  /// What GGUF has no key for.
  private var ownSettings: JSONValue {
    .object(
      JSONObject([
        ("type", .string("sentencepiece")),
        ("added_tokens", .array(addedTokenIDs.map { .integer($0) })),
        ("base_pieces", .integer(basePieceCount)),
        ("byte_fallback", .bool(fallsBackToBytes)),
        ("escape_whitespaces", .bool(normalizer.escapesWhitespace)),
        ("prefix_every_part", .bool(settings.prefixesEveryPart)),
        ("treat_whitespace_as_suffix", .bool(normalizer.treatsWhitespaceAsSuffix)),
        ("unk_surface", .string(String(decoding: unknownSurface, as: UTF8.self))),
      ]))
  }

  /// Reads the entries of a "llama" or "t5" vocabulary.
  static func fromGGUF(
    _ entries: GGUFTokenizerEntries, algorithm: SentencePieceModel.Algorithm
  ) throws(TokenizerError) -> SentencePieceTokenizer {
    let pieces = try entries.pieces()
    var special = try entries.special(count: pieces.count)
    let own = try entries.ownSettings()
    var model = SentencePieceModel()
    model.algorithm = algorithm
    model.addsDummyPrefix = try entries.flag(GGUFTokenizerKey.addsSpacePrefix) ?? true
    model.removesExtraWhitespace =
      try entries.flag(GGUFTokenizerKey.removesExtraWhitespace) ?? (algorithm == .unigram)
    model.charsMap = try entries.bytes(GGUFTokenizerKey.charsMap) ?? []
    let hasBytes = Set(pieces.lazy.filter { $0.type == .byte }.compactMap { UTF8Text.byteValue($0.bytes) })
    model.byteFallback = own?["byte_fallback"]?.boolValue ?? (hasBytes.count == 256)
    model.escapesWhitespace = own?["escape_whitespaces"]?.boolValue ?? true
    model.treatWhitespaceAsSuffix = own?["treat_whitespace_as_suffix"]?.boolValue ?? false
    if let surface = own?["unk_surface"]?.stringValue { model.unknownSurface = Array(surface.utf8) }
    special.unknown = special.unknown ?? pieces.firstIndex { $0.type == .unknown } ?? 0

    let base = min(max(own?["base_pieces"]?.intValue ?? pieces.count, 0), pieces.count)
    model.pieces = Array(pieces[..<base])
    let added = (own?["added_tokens"]?.arrayValue ?? []).compactMap(\.intValue).filter {
      pieces.indices.contains($0)
    }
    var settings = Settings()
    settings.addsBeginning = try entries.flag(GGUFTokenizerKey.addsBeginning) ?? (algorithm == .bytePair)
    settings.addsEnd = try entries.flag(GGUFTokenizerKey.addsEnd) ?? (algorithm == .unigram)
    settings.prefixesEveryPart = own?["prefix_every_part"]?.boolValue ?? true
    settings.chatTemplate = try entries.string(GGUFTokenizerKey.chatTemplate)
    return try SentencePieceTokenizer(
      model, extra: Array(pieces[base...]), addedTokens: added.map { (pieces[$0].bytes, $0) },
      settings: settings,
      special: special, path: entries.path)
  }
}

extension GGUFTokenizerEntries {
  /// Our own settings, if the file has them.
  func ownSettings() throws(TokenizerError) -> JSONValue? {
    guard let text = try string(GGUFTokenizerKey.own) else { return nil }
    do throws(JSONError) {
      return try JSONValue(parsing: text)
    } catch {
      throw TokenizerError(path: path, "the metadata '\(GGUFTokenizerKey.own)' is no JSON: \(error)")
    }
  }

  /// A list of bytes, or nil when the entry is absent.
  func bytes(_ key: String) throws(TokenizerError) -> [UInt8]? {
    guard let numbers = try numbers(key) else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(numbers.count)
    for number in numbers {
      // Writers disagree about the sign of a byte.
      guard let value = Int(exactly: number), (-128...255).contains(value) else {
        throw wrong(key, "a list of bytes")
      }
      bytes.append(UInt8(truncatingIfNeeded: value))
    }
    return bytes
  }
}
