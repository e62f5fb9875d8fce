/// The tokens that are cut out of a text before (or, if `isNormalized`, after) it is normalized.
struct AddedTokens: Sendable {
  private var raw = ByteTrie()
  private var normalized = ByteTrie()
  private var tokens: [Int: TokenizerConfiguration.AddedToken] = [:]

  /// A stretch of text, or a token.
  enum Part: Equatable {
    case text(Range<Int>)
    case token(Int)
  }

  /// The tokens, those with `isNormalized` under their normalized form.
  init(_ added: [TokenizerConfiguration.AddedToken], normalize: ([UInt8]) -> [UInt8]) {
    for token in added where !token.content.isEmpty {
      tokens[token.id] = token
      if token.isNormalized {
        normalized.insert(normalize(Array(token.content.utf8)), value: token.id)
      } else {
        raw.insert(Array(token.content.utf8), value: token.id)
      }
    }
  }

  /// The token with `id`, if it is an added one.
  subscript(id: Int) -> TokenizerConfiguration.AddedToken? { tokens[id] }

  /// Cuts the tokens that are matched in the text as it is out of `text`.
  func cutRaw(_ text: [UInt8]) -> [Part] { cut(text, raw) }
  /// Cuts the tokens that are matched in normalized text out of `text`.
  func cutNormalized(_ text: [UInt8]) -> [Part] { cut(text, normalized) }

  private func cut(_ text: [UInt8], _ trie: ByteTrie) -> [Part] {
    guard !trie.isEmpty else { return text.isEmpty ? [] : [.text(0..<text.count)] }
    var parts: [Part] = []
    text.withUnsafeBytes { buffer in
      var done = 0
      var place = 0
      while place < buffer.count {
        guard let match = trie.longestMatch(in: buffer, at: place), let token = tokens[match.value] else {
          place += 1
          continue
        }
        var start = place
        var end = place + match.length
        place = end
        if token.isSingleWord, isInsideWord(buffer, start, end) { continue }
        if token.stripsLeft { start = max(spaceStart(buffer, before: start), done) }
        if token.stripsRight { end = spaceEnd(buffer, after: end) }
        if done < start { parts.append(.text(done..<start)) }
        parts.append(.token(match.value))
        done = end
        place = max(place, end)
      }
      if done < buffer.count { parts.append(.text(done..<buffer.count)) }
    }
    return parts
  }

  private func isInsideWord(_ text: UnsafeRawBufferPointer, _ start: Int, _ end: Int) -> Bool {
    if start > 0, ScalarClasses.of(UTF8Text.scalar(text, previous(text, start)).scalar).contains(.word) {
      return true
    }
    return end < text.count && ScalarClasses.of(UTF8Text.scalar(text, end).scalar).contains(.word)
  }

  private func previous(_ text: UnsafeRawBufferPointer, _ place: Int) -> Int {
    var place = place - 1
    while place > 0, text[place] & 0xC0 == 0x80 { place -= 1 }
    return place
  }

  private func spaceStart(_ text: UnsafeRawBufferPointer, before place: Int) -> Int {
    var place = place
    while place > 0 {
      let before = previous(text, place)
      guard ScalarClasses.of(UTF8Text.scalar(text, before).scalar).contains(.space) else { break }
      place = before
    }
    return place
  }

  private func spaceEnd(_ text: UnsafeRawBufferPointer, after place: Int) -> Int {
    var place = place
    while place < text.count {
      let (scalar, length) = UTF8Text.scalar(text, place)
      guard ScalarClasses.of(scalar).contains(.space) else { break }
      place += length
    }
    return place
  }
}
