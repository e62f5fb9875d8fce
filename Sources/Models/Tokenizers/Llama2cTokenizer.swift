import ModelFiles
import TensorCore

/// The tokenizer of llama2.c: `tokenizer.bin` (longest length, then score, length and bytes of each piece), encoded as
/// `encode` in its `run.c` does.
///
/// It is SentencePiece's BPE over text with plain spaces, except that every pair is looked up by the text of its pieces (so
/// byte pieces are merged by their names, too) and that control pieces are not told apart.
struct Llama2cTokenizer: Tokenizer {
  private let pieces: [Piece]
  private let table: PieceTable
  private let canSplitAtSpaces: Bool
  /// The ids that run.c has built in.
  private static let (beginning, end, firstByte) = (1, 2, 3)

  /// Reads `contents`, called `path` in errors.
  init(_ contents: ByteRegion, path: String) throws(TokenizerError) {
    let bytes = contents.buffer
    func fail(_ message: String) -> TokenizerError { TokenizerError(path: path, message) }
    func number(_ place: Int) -> UInt32 {
      UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self))
    }
    guard bytes.count >= 4 else { throw fail("no llama2.c tokenizer: it has \(bytes.count) bytes") }
    let longest = Int(number(0))
    var pieces: [Piece] = []
    var place = 4
    while place < bytes.count {
      guard bytes.count - place >= 8 else { throw fail("piece \(pieces.count) is cut off at byte \(place)") }
      let score = Float(bitPattern: number(place))
      let length = Int(number(place + 4))
      place += 8
      guard length <= longest, length <= bytes.count - place else {
        throw fail(
          "piece \(pieces.count) has \(length) bytes, where \(min(longest, bytes.count - place)) can be")
      }
      guard !score.isNaN else { throw fail("the score of piece \(pieces.count) is not a number") }
      let text = Array(bytes[place..<place + length])
      pieces.append(Piece(bytes: text, score: score, type: Llama2cTokenizer.type(pieces.count, text)))
      place += length
    }
    guard pieces.count >= Llama2cTokenizer.firstByte + 256 else {
      throw fail("the vocabulary has \(pieces.count) pieces, it needs at least 3 special and 256 byte pieces")
    }
    self.init(pieces)
  }

  /// A tokenizer of `pieces`, with plain spaces.
  private init(_ pieces: [Piece]) {
    self.pieces = pieces
    var table = PieceTable(capacity: pieces.count)
    for (id, piece) in pieces.enumerated() where !piece.bytes.isEmpty { table.insert(piece.bytes, id: id) }
    self.table = table
    canSplitAtSpaces = !pieces.contains { Llama2cTokenizer.hasInnerSpace($0.bytes) }
  }

  private static func type(_ id: Int, _ text: [UInt8]) -> PieceType {
    if id == 0 { return .unknown }
    if id < firstByte || text.isEmpty { return .control }
    return UTF8Text.byteValue(text) == nil ? .normal : .byte
  }

  private static func hasInnerSpace(_ bytes: [UInt8]) -> Bool { bytes.drop { $0 == 0x20 }.contains(0x20) }

  var vocabularySize: Int { pieces.count }
  var beginningOfText: Int? { Llama2cTokenizer.beginning }
  var endOfText: Int? { Llama2cTokenizer.end }
  // llama2.c's own generation ends at either, since its training texts are separated by the beginning.
  var stopIDs: Set<Int> { [Llama2cTokenizer.beginning, Llama2cTokenizer.end] }
  var addsBeginningOfText: Bool { true }
}

// MARK: Encoding and decoding

extension Llama2cTokenizer {
  func encode(_ text: [UInt8], addSpecial: Bool) -> [Int] {
    var ids: [Int] = addSpecial ? [Llama2cTokenizer.beginning] : []
    guard !text.isEmpty else { return ids }
    let prefixed = [0x20] + text
    prefixed.withUnsafeBytes { buffer in
      var cache = WordCache(textLength: canSplitAtSpaces ? buffer.count : 0)
      var start = 0
      while start < buffer.count {
        let end = canSplitAtSpaces ? wordEnd(buffer, from: start) : buffer.count
        if start == 0 {
          mergeWord(buffer, start..<end, to: &ids)
        } else {
          cache.append(buffer, start..<end, to: &ids) { mergeWord(buffer, start..<end, to: &$0) }
        }
        start = end
      }
    }
    return ids
  }

  private func wordEnd(_ text: UnsafeRawBufferPointer, from start: Int) -> Int {
    var place = start
    while place < text.count, text[place] == 0x20 { place += 1 }
    while place < text.count, text[place] != 0x20 { place += 1 }
    return place
  }

  /// Merges over pieces rather than text: each symbol is an id.
  private func mergeWord(_ text: UnsafeRawBufferPointer, _ range: Range<Int>, to output: inout [Int]) {
    var ids: [Int] = []
    var place = range.lowerBound
    while place < range.upperBound {
      var length = 1
      // run.c gathers continuation bytes behind any byte, up to four in all; but not behind the space it puts in front.
      while place > 0, length < 4, place + length < range.upperBound, text[place + length] & 0xC0 == 0x80 {
        length += 1
      }
      if let id = table.id(of: UnsafeRawBufferPointer(rebasing: text[place..<place + length])) {
        ids.append(id)
      } else {
        for byte in text[place..<place + length] { ids.append(Int(byte) + Llama2cTokenizer.firstByte) }
      }
      place += length
    }
    merge(&ids)
    output += ids
  }

  private func merge(_ ids: inout [Int]) {
    var next = ids.indices.map { $0 + 1 }
    var previous = ids.indices.map { $0 - 1 }
    var version = [Int32](repeating: 0, count: ids.count)
    var queue = MergeQueue()
    var joined: [UInt8] = []
    func consider(_ left: Int) {
      guard left >= 0, next[left] < ids.count else { return }
      joined.removeAll(keepingCapacity: true)
      joined += pieces[ids[left]].bytes
      joined += pieces[ids[next[left]]].bytes
      guard let id = table.id(of: joined), pieces[id].score > -1e10 else { return }
      let stamp = version[left] &+ version[next[left]]
      queue.push(
        .init(
          key: MergeQueue.key(score: pieces[id].score, place: left), left: Int32(truncatingIfNeeded: left),
          right: Int32(truncatingIfNeeded: id), witness: stamp))
    }
    for left in ids.indices { consider(left) }
    while let top = queue.pop() {
      let left = Int(top.left)
      // A removed symbol has no version; any change of either side changes the sum.
      guard version[left] >= 0, next[left] < ids.count, version[left] &+ version[next[left]] == top.witness
      else {
        continue
      }
      let right = next[left]
      ids[left] = Int(top.right)
      version[left] += version[right] + 1
      version[right] = -1
      next[left] = next[right]
      if next[left] < ids.count { previous[next[left]] = left }
      consider(previous[left])
      consider(left)
    }
    var place = 0
    var merged: [Int] = []
    while place < ids.count {
      merged.append(ids[place])
      place = next[place]
    }
    ids = merged
  }

  func decode(_ ids: [Int]) -> [UInt8] {
    var output: [UInt8] = []
    var isAtStart = true
    for id in ids {
      var bytes = piece(id)
      // run.c drops the space that follows the beginning of a text; without the mark the first piece has it, too.
      if isAtStart, bytes.first == 0x20 { bytes.removeFirst() }
      if id != Llama2cTokenizer.beginning { isAtStart = false }
      output += bytes
    }
    return output
  }

  func piece(_ id: Int) -> [UInt8] {
    guard pieces.indices.contains(id) else { return [] }
    switch pieces[id].type {
    case .control, .unknown: return []
    case .byte: return UTF8Text.byteValue(pieces[id].bytes).map { [$0] } ?? []
    default: return pieces[id].bytes
    }
  }
}

// MARK: GGUF

extension Llama2cTokenizer {
  private static let controlNames = ["<unk>", "<s>", "</s>"]
  private static let controlTexts = ["<unk>", "\n<s>\n", "\n</s>\n"]

  /// As a "llama" vocabulary: the same pieces with U+2581 for spaces, whose ids llama.cpp finds alike. (But for U+2581 in a
  /// text, which is a space there and a character here; an entry of our own says which it is.)
  var ggufEntries: [GGUFEntry] {
    let escaped = pieces.enumerated().map { id, piece in
      var piece = piece
      let names = Llama2cTokenizer.controlNames
      piece.bytes = id < names.count ? Array(names[id].utf8) : UTF8Text.escapingSpaces(piece.bytes)
      return piece
    }
    let special = SpecialIDs(beginning: Llama2cTokenizer.beginning, end: Llama2cTokenizer.end, unknown: 0)
    return [
      GGUFEntry(GGUFTokenizerKey.model, .string("llama")),
      GGUFEntry(GGUFTokenizerKey.pre, .string("default")),
    ] + Models.ggufEntries(of: escaped) + special.ggufEntries + [
      GGUFEntry(GGUFTokenizerKey.addsBeginning, .bool(true)),
      GGUFEntry(GGUFTokenizerKey.addsEnd, .bool(false)),
      GGUFEntry(GGUFTokenizerKey.addsSpacePrefix, .bool(true)),
      GGUFEntry(GGUFTokenizerKey.own, .string(#"{"type":"llama2c"}"#)),
    ]
  }

  /// The tokenizer that wrote these entries.
  static func fromGGUF(_ entries: GGUFTokenizerEntries) throws(TokenizerError) -> Llama2cTokenizer {
    let pieces = try entries.pieces()
    guard pieces.count >= firstByte + 256 else {
      throw TokenizerError(
        path: entries.path, "a llama2.c vocabulary of \(pieces.count) pieces lacks the bytes")
    }
    return Llama2cTokenizer(
      pieces.enumerated().map { id, piece in
        var piece = piece
        piece.bytes =
          id < controlTexts.count ? Array(controlTexts[id].utf8) : UTF8Text.unescapingSpaces(piece.bytes)
        return piece
      })
  }
}
