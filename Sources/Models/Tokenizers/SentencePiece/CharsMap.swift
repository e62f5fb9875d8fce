/// SentencePiece's precompiled normalization rules: a double-array trie (Darts-clone) over source bytes whose values are
/// places in a block of NUL-terminated replacements.
struct CharsMap: Sendable {
  /// The blob it was read from, for writing it again.
  let blob: [UInt8]
  private let units: [UInt32]
  private let replacements: [UInt8]
  /// The bytes of the longest replacement: what a character can become.
  let longestReplacement: Int
  private static let longestAllowed = 4096

  /// Reads the blob: the trie's size in bytes (little endian), the trie, the replacements. An empty blob is no map.
  init?(_ blob: [UInt8], path: String) throws(TokenizerError) {
    guard !blob.isEmpty else { return nil }
    guard blob.count > 4 else { throw TokenizerError(path: path, "the normalization rules are cut off") }
    let size = blob.withUnsafeBytes { Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self))) }
    guard size >= 4, size % 4 == 0, size < blob.count - 4 else {
      throw TokenizerError(
        path: path, "the normalization rules claim a trie of \(size) bytes, the block has \(blob.count - 4)")
    }
    self.blob = blob
    units = blob.withUnsafeBytes { buffer in
      (0..<size / 4).map {
        UInt32(littleEndian: buffer.loadUnaligned(fromByteOffset: 4 + 4 * $0, as: UInt32.self))
      }
    }
    replacements = Array(blob[(4 + size)...])
    guard replacements.last == 0 else {
      throw TokenizerError(path: path, "the normalization rules' last replacement does not end")
    }
    var (longest, length) = (0, 0)
    for byte in replacements {
      length = byte == 0 ? 0 : length + 1
      longest = max(longest, length)
    }
    guard longest <= CharsMap.longestAllowed else {
      throw TokenizerError(
        path: path, "the normalization rules replace a character by \(longest) bytes; is the file damaged?")
    }
    longestReplacement = longest
  }

  /// The longest rule (the shortest if `longest` is false) that `text` has at `start`: the matched length and the place
  /// of the replacement.
  func match(_ text: UnsafeRawBufferPointer, at start: Int, longest: Bool = true) -> (
    length: Int, replacement: Int
  )? {
    var found: (Int, Int)?
    var node = CharsMap.offset(units[0])
    var place = start
    while place < text.count {
      node ^= Int(text[place])
      guard node < units.count else { break }
      let unit = units[node]
      guard unit & 0x8000_00FF == UInt32(text[place]) else { break }
      node ^= CharsMap.offset(unit)
      place += 1
      guard node < units.count else { break }
      if unit >> 8 & 1 == 1 {
        let value = Int(units[node] & 0x7FFF_FFFF)
        if value < replacements.count { found = (place - start, value) }
        if !longest { break }
      }
    }
    return found
  }

  /// Appends the replacement at `place`.
  func appendReplacement(_ place: Int, to output: inout [UInt8]) {
    var place = place
    while replacements[place] != 0 {
      output.append(replacements[place])
      place += 1
    }
  }

  private static func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & (1 << 9)) >> 6)) }
}
