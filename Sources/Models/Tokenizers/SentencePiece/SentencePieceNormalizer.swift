/// SentencePiece's normalization: rules, whitespace, and the dummy prefix.
struct SentencePieceNormalizer: Sendable {
  var charsMap: CharsMap?
  var addsDummyPrefix: Bool
  var removesExtraWhitespace: Bool
  var escapesWhitespace: Bool
  var treatsWhitespaceAsSuffix: Bool
  /// Pieces that normalization leaves alone.
  var userDefined: ByteTrie

  /// The normalized form of `text`.
  func normalize(_ text: UnsafeRawBufferPointer, addsPrefix: Bool) -> [UInt8] {
    var output: [UInt8] = []
    var place = 0
    var step: [UInt8] = []
    if removesExtraWhitespace {
      while place < text.count {
        let length = prefix(text, place, into: &step)
        guard step == [0x20] else { break }
        place += length
      }
    }
    guard place < text.count else { return [] }
    output.reserveCapacity(text.count + text.count / 2 + 3)
    let space = escapesWhitespace ? UTF8Text.metaspace : [0x20]
    if !treatsWhitespaceAsSuffix, addsPrefix { output += space }
    appendBody(text, from: place, space: space, to: &output)
    if removesExtraWhitespace {
      while output.count >= space.count, output.suffix(space.count).elementsEqual(space) {
        output.removeLast(space.count)
      }
    }
    if treatsWhitespaceAsSuffix, addsPrefix { output += space }
    return output
  }

  private func appendBody(
    _ text: UnsafeRawBufferPointer, from start: Int, space: [UInt8], to output: inout [UInt8]
  ) {
    var place = start
    var step: [UInt8] = []
    var afterSpace = removesExtraWhitespace
    let isPlain = charsMap == nil && userDefined.isEmpty
    while place < text.count {
      if isPlain, text[place] < 0x80, text[place] != 0x20 {
        output.append(text[place])
        afterSpace = false
        place += 1
        continue
      }
      place += prefix(text, place, into: &step)
      var first = 0
      if afterSpace { while first < step.count, step[first] == 0x20 { first += 1 } }
      if first < step.count {
        for byte in step[first...] {
          if byte == 0x20 { output += space } else { output.append(byte) }
        }
        afterSpace = step.last == 0x20
      }
      if !removesExtraWhitespace { afterSpace = false }
    }
  }

  /// Normalizes what stands at `place` into `step`, and returns how many bytes of `text` that was.
  private func prefix(_ text: UnsafeRawBufferPointer, _ place: Int, into step: inout [UInt8]) -> Int {
    step.removeAll(keepingCapacity: true)
    if let match = userDefined.longestMatch(in: text, at: place) {
      step.append(contentsOf: text[place..<place + match.length])
      return match.length
    }
    if let map = charsMap, let match = map.match(text, at: place) {
      map.appendReplacement(match.replacement, to: &step)
      return match.length
    }
    guard let length = UTF8Text.validLength(text, place) else {
      step += UTF8Text.replacement
      return 1
    }
    step.append(contentsOf: text[place..<place + length])
    return length
  }
}
