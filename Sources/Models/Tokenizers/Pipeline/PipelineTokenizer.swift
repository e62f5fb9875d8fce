import ModelFiles

/// A tokenizer as Hugging Face's `tokenizers` library describes them: added tokens, normalizers, pre-tokenizers, a model, a
/// template of special tokens, decoders.
struct PipelineTokenizer: Tokenizer {
  /// The model at its heart.
  enum Model: Sendable {
    case bytePair(BytePairModel)
    case wordPiece(WordPieceModel)
    case unigram(UnigramModel)
  }
  /// A part of the template.
  enum TemplatePart: Sendable, Equatable {
    case text
    case special(Int)
  }

  /// The vocabulary in the library's own spelling; ids without a token are `unused`.
  let pieces: [Piece]
  let special: SpecialIDs
  let chatTemplate: String?
  let description: PipelineDescription
  let model: Model
  let normalizers: [Normalizer]
  let preTokenizers: [PreTokenizer]
  let template: [TemplatePart]
  let decoders: [Decoder]
  let added: AddedTokens

  var vocabularySize: Int { pieces.count }
  var beginningOfText: Int? { special.beginning ?? special.classifier }
  var endOfText: Int? { special.end ?? special.separator }
  var stopIDs: Set<Int> { special.stops.union(special.end.map { [$0] } ?? []) }
  var addsBeginningOfText: Bool {
    if case .special = template.first { true } else { false }
  }
}

// MARK: Encoding

extension PipelineTokenizer {
  func encode(_ text: [UInt8], addSpecial: Bool) -> [Int] {
    var ids: [Int] = []
    ids.reserveCapacity(text.count / 3 + 4)
    for part in addSpecial ? template : [.text] {
      switch part {
      case .special(let id): ids.append(id)
      case .text: encode(UTF8Text.repaired(text), to: &ids)
      }
    }
    return ids
  }

  private func encode(_ text: [UInt8], to ids: inout [Int]) {
    for part in added.cutRaw(text) {
      switch part {
      case .token(let id): ids.append(id)
      case .text(let range):
        let normalized = normalize(range == 0..<text.count ? text : Array(text[range]))
        let inner = added.cutNormalized(normalized)
        for (place, part) in inner.enumerated() {
          switch part {
          case .token(let id): ids.append(id)
          case .text(let inside):
            let isWhole = inside == 0..<normalized.count
            encodeWords(
              isWhole ? normalized : Array(normalized[inside]),
              startsInput: range.lowerBound == 0 && place == 0,
              to: &ids)
          }
        }
      }
    }
  }

  private func normalize(_ text: [UInt8]) -> [UInt8] { normalizers.reduce(text) { $1.apply(to: $0) } }

  private func encodeWords(_ text: [UInt8], startsInput: Bool, to ids: inout [Int]) {
    var segments = TextSegments(text, startsInput: startsInput)
    for step in preTokenizers { step.apply(to: &segments) }
    if case .bytePair(let model) = model, model.canSplitAtSpaces {
      segments.split(.mergedWithNext) { PipelineTokenizer.findSpaceRuns(in: $0, $1, $2) }
    }
    segments.bytes.withUnsafeBytes { buffer in
      var cache = WordCache(textLength: buffer.count)
      for range in segments.ranges {
        cache.append(buffer, range, to: &ids) { ids in
          switch model {
          case .bytePair(let model): model.encode(buffer, range, to: &ids)
          case .wordPiece(let model): model.encode(buffer, range, to: &ids)
          case .unigram(let model): model.encode(buffer, range, to: &ids)
          }
        }
      }
    }
  }

  /// Runs of U+2581: words that merges cannot join begin with them.
  private static func findSpaceRuns(
    in text: UnsafeRawBufferPointer, _ range: Range<Int>, _ body: (Range<Int>) -> Void
  ) {
    func isSpace(_ place: Int) -> Bool {
      place + 3 <= range.upperBound && text[place] == 0xE2 && text[place + 1] == 0x96
        && text[place + 2] == 0x81
    }
    var place = range.lowerBound
    while place < range.upperBound {
      let start = place
      while isSpace(place) { place += 3 }
      if place > start { body(start..<place) } else { place += 1 }
    }
  }
}

// MARK: Decoding

extension PipelineTokenizer {
  func decode(_ ids: [Int]) -> [UInt8] {
    let texts = ids.compactMap { id in pieces.indices.contains(id) && !isSpecial(id) ? pieces[id].bytes : nil
    }
    return join(texts)
  }

  private func isSpecial(_ id: Int) -> Bool { added[id]?.isSpecial ?? false }

  private func join(_ texts: [[UInt8]]) -> [UInt8] {
    guard !decoders.isEmpty else { return Array(texts.joined(separator: [0x20])) }
    return decoders.reduce(texts) { $1.apply(to: $0) }.flatMap { $0 }
  }

  func piece(_ id: Int) -> [UInt8] {
    guard pieces.indices.contains(id), !isSpecial(id) else { return [] }
    let bytes = pieces[id].bytes
    for decoder in decoders {
      switch decoder {
      case .byteLevel: return ByteLevelAlphabet.bytes(of: bytes) ?? bytes
      case .byteFallback: if let byte = UTF8Text.byteValue(bytes) { return [byte] }
      default: break
      }
    }
    // As the second of two pieces, so that nothing is taken for the start of the text.
    let mark = UInt8(ascii: "a")
    let joined = join([[mark], bytes])
    return joined.first == mark ? Array(joined.dropFirst()) : bytes
  }
}
