/// How pieces become text again, as Hugging Face's `decoders` do it: each step maps the list of pieces to another.
enum Decoder: Sendable {
  case byteLevel
  case wordPiece(prefix: [UInt8], cleansUp: Bool)
  case metaspace(replacement: [UInt8], PreTokenizer.PrependScheme)
  case byteFallback
  case replaceText([UInt8], with: [UInt8])
  case replacePattern(Pattern, with: [UInt8])
  case fuse
  case strip(content: [UInt8], start: Int, stop: Int)
  case bytePair(suffix: [UInt8])

  /// The pieces after this step.
  func apply(to pieces: [[UInt8]]) -> [[UInt8]] {
    switch self {
    case .byteLevel: return [UTF8Text.repaired(pieces.flatMap { ByteLevelAlphabet.bytes(of: $0) ?? $0 })]
    case .wordPiece(let prefix, let cleansUp):
      return pieces.enumerated().map { place, piece in
        var piece = piece
        if place > 0 { piece = piece.starts(with: prefix) ? Array(piece[prefix.count...]) : [0x20] + piece }
        return cleansUp ? Decoder.cleanedUp(piece) : piece
      }
    case .metaspace(let replacement, let scheme):
      return pieces.enumerated().map { place, piece in
        UTF8Text.replacing(piece, replacement, with: place == 0 && scheme != .never ? [] : [0x20])
      }
    case .byteFallback: return Decoder.joiningBytes(pieces)
    case .replaceText(let pattern, let content):
      return pieces.map { UTF8Text.replacing($0, pattern, with: content) }
    case .replacePattern(let pattern, let content):
      return pieces.map { Normalizer.replacePattern(pattern, with: content).apply(to: $0) }
    case .fuse: return [pieces.flatMap { $0 }]
    case .strip(let content, let start, let stop):
      return pieces.map { Decoder.stripped($0, content, start, stop) }
    case .bytePair(let suffix):
      return pieces.enumerated().map { place, piece in
        UTF8Text.replacing(piece, suffix, with: place == pieces.count - 1 ? [] : [0x20])
      }
    }
  }

  private static let cleanups: [(String, String)] = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ]

  private static func cleanedUp(_ piece: [UInt8]) -> [UInt8] {
    cleanups.reduce(piece) { UTF8Text.replacing($0, Array($1.0.utf8), with: Array($1.1.utf8)) }
  }

  /// Runs of byte pieces as the text they spell, or one U+FFFD for each when they spell none.
  private static func joiningBytes(_ pieces: [[UInt8]]) -> [[UInt8]] {
    var result: [[UInt8]] = []
    var pending: [UInt8] = []
    func flush() {
      guard !pending.isEmpty else { return }
      if UTF8Text.isValid(pending) {
        result.append(pending)
      } else {
        for _ in pending { result.append(UTF8Text.replacement) }
      }
      pending.removeAll()
    }
    for piece in pieces {
      if let byte = UTF8Text.byteValue(piece) {
        pending.append(byte)
      } else {
        flush()
        result.append(piece)
      }
    }
    flush()
    return result
  }

  private static func stripped(_ piece: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int) -> [UInt8] {
    guard !content.isEmpty else { return piece }
    var slice = piece[...]
    var count = 0
    while count < start, slice.starts(with: content) {
      slice = slice.dropFirst(content.count)
      count += 1
    }
    count = 0
    while count < stop, slice.count >= content.count, slice.suffix(content.count).elementsEqual(content) {
      slice = slice.dropLast(content.count)
      count += 1
    }
    return Array(slice)
  }
}
