import ModelFiles

// A pipeline as GGUF metadata, as llama.cpp's converter writes it: "gpt2" for byte-level BPE, "llama" for BPE over U+2581,
// "bert" for WordPiece, "t5" for unigram. What those can't say goes into an entry of our own.

extension PipelineTokenizer {
  var ggufEntries: [GGUFEntry] {
    let (kind, pre, pieces) = ggufVocabulary
    var entries = [
      GGUFEntry(GGUFTokenizerKey.model, .string(kind)), GGUFEntry(GGUFTokenizerKey.pre, .string(pre)),
    ]
    let hasScores = kind == "llama" || kind == "t5"
    entries += Models.ggufEntries(of: pieces).filter { hasScores || $0.key != GGUFTokenizerKey.scores }
    if !description.merges.isEmpty {
      let merges = description.merges.map { $0.left + [0x20] + $0.right }
      entries.append(GGUFEntry(GGUFTokenizerKey.merges, ggufStrings(merges)))
    }
    entries += ggufSpecial.ggufEntries
    entries += ggufFlags(kind)
    if let map = charsMap {
      entries.append(
        GGUFEntry(GGUFTokenizerKey.charsMap, .array(map.blob.map { .uint8($0) }, elementType: 0)))
    }
    if let chatTemplate { entries.append(GGUFEntry(GGUFTokenizerKey.chatTemplate, .string(chatTemplate))) }
    entries.append(GGUFEntry(GGUFTokenizerKey.own, .string(ownSettings.text())))
    return entries
  }

  private var isByteLevel: Bool {
    for case .byteLevel in preTokenizers { return true }
    return false
  }

  private var charsMap: CharsMap? {
    for case .precompiled(let map) in normalizers { return map }
    return nil
  }

  private var ggufVocabulary: (kind: String, pre: String, pieces: [Piece]) {
    switch model {
    case .bytePair where isByteLevel:
      let ignoresMerges = description.document["model"]?["ignore_merges"]?.boolValue ?? false
      return ("gpt2", PreTokenizerNames.name(of: preTokenizers, ignoresMerges: ignoresMerges), pieces)
    case .bytePair: return ("llama", "default", scoredPieces)
    case .wordPiece: return ("bert", "jina-v1-en", pieces.map(PipelineTokenizer.phantom))
    case .unigram: return ("t5", "default", typed(pieces))
    }
  }

  /// llama.cpp marks the pieces that begin words instead of those that go on with them.
  private static func phantom(_ piece: Piece) -> Piece {
    guard piece.type == .normal else { return piece }
    var piece = piece
    let prefix = Array("##".utf8)
    piece.bytes =
      piece.bytes.starts(with: prefix) ? Array(piece.bytes[2...]) : UTF8Text.metaspace + piece.bytes
    return piece
  }

  /// Pieces with the scores that make SentencePiece's merging take the merges in order of rank.
  private var scoredPieces: [Piece] {
    var ranks = PieceTable(capacity: description.merges.count)
    for (rank, merge) in description.merges.enumerated() { ranks.insert(merge.left + merge.right, id: rank) }
    let lowest = -Float(description.merges.count)
    return typed(pieces).map { piece in
      var piece = piece
      if piece.type == .normal { piece.score = ranks.id(of: piece.bytes).map { -Float($0) } ?? lowest }
      return piece
    }
  }

  /// Pieces with the types that only the model tells: unknown and bytes.
  private func typed(_ pieces: [Piece]) -> [Piece] {
    let hasBytes = description.document["model"]?["byte_fallback"]?.boolValue ?? false
    return pieces.enumerated().map { id, piece in
      var piece = piece
      if id == special.unknown { piece.type = .unknown }
      if hasBytes, piece.type == .normal, UTF8Text.byteValue(piece.bytes) != nil { piece.type = .byte }
      return piece
    }
  }

  /// BERT's marks are BOS and EOS in llama.cpp, too.
  private var ggufSpecial: SpecialIDs {
    var special = special
    if case .wordPiece = model {
      special.beginning = special.beginning ?? special.classifier
      special.end = special.end ?? special.separator
    }
    return special
  }

  private func ggufFlags(_ kind: String) -> [GGUFEntry] {
    let end = template.last.map { $0 != .text } ?? false
    var flags = [
      GGUFEntry(GGUFTokenizerKey.addsBeginning, .bool(addsBeginningOfText)),
      GGUFEntry(GGUFTokenizerKey.addsEnd, .bool(end)),
    ]
    switch kind {
    case "bert": flags.append(GGUFEntry(GGUFTokenizerKey.addsSeparator, .bool(end)))
    case "llama", "t5": flags.append(GGUFEntry(GGUFTokenizerKey.addsSpacePrefix, .bool(addsSpacePrefix)))
    default: flags.append(GGUFEntry(GGUFTokenizerKey.addsSpacePrefix, .bool(false)))
    }
    if kind == "t5" {
      flags.append(GGUFEntry(GGUFTokenizerKey.removesExtraWhitespace, .bool(removesExtraSpaces)))
    }
    return flags
  }

  private var addsSpacePrefix: Bool {
    for case .prepend(UTF8Text.metaspace) in normalizers { return true }
    for case .metaspace(_, let scheme, _) in preTokenizers { return scheme != .never }
    return false
  }

  /// Converted SentencePiece models collapse spaces with a Replace of ` {2,}`.
  private var removesExtraSpaces: Bool {
    for case .replacePattern(let pattern, _) in normalizers where pattern.source == " {2,}" { return true }
    return false
  }

  /// The `tokenizer.json` without its vocabulary, and what of the vocabulary the standard entries don't tell.
  private var ownSettings: JSONValue {
    let inModel = Set(description.tokens.lazy.map(\.id))
    let addedOnly = pieces.indices.filter { pieces[$0].type != .unused && !inModel.contains($0) }
    var own = JSONObject([
      ("type", .string("pipeline")), ("document", description.document),
      ("added_only", .array(addedOnly.map { .integer($0) })),
    ])
    if !description.scores.allSatisfy({ Double(Float($0)) == $0 }) {
      own["scores"] = .array(description.scores.map { .number($0) })
    }
    return .object(own)
  }
}
