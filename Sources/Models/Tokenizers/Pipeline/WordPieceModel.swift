/// WordPiece: the longest piece first, from left to right; a word with a gap is unknown as a whole (Devlin et al. 2018).
struct WordPieceModel: Sendable {
  private let starts: PieceTable
  private let continuations: PieceTable
  private let unknown: Int
  private let longestWord: Int

  /// A model of `tokens`, of which those with `prefix` go on with a word.
  init(tokens: [(bytes: [UInt8], id: Int)], prefix: [UInt8], unknown: Int, longestWord: Int) {
    var starts = PieceTable(capacity: tokens.count)
    var continuations = PieceTable(capacity: tokens.count / 2)
    for token in tokens {
      starts.insert(token.bytes, id: token.id)
      if token.bytes.starts(with: prefix) {
        continuations.insert(Array(token.bytes[prefix.count...]), id: token.id)
      }
    }
    self.starts = starts
    self.continuations = continuations
    self.unknown = unknown
    self.longestWord = longestWord
  }

  /// Appends the ids of the word `text[range]`.
  func encode(_ text: UnsafeRawBufferPointer, _ range: Range<Int>, to ids: inout [Int]) {
    let characters = range.reduce(0) { $0 + (text[$1] & 0xC0 == 0x80 ? 0 : 1) }
    guard characters <= longestWord else { return ids.append(unknown) }
    let first = ids.count
    var start = range.lowerBound
    while start < range.upperBound {
      let table = start == range.lowerBound ? starts : continuations
      var end = min(range.upperBound, start + table.longest)
      var found: Int?
      while end > start {
        let isBoundary = end == range.upperBound || text[end] & 0xC0 != 0x80
        if isBoundary, let id = table.id(of: UnsafeRawBufferPointer(rebasing: text[start..<end])) {
          found = id
          break
        }
        end -= 1
      }
      guard let found else {
        ids.removeSubrange(first...)
        ids.append(unknown)
        return
      }
      ids.append(found)
      start = end
    }
  }
}
