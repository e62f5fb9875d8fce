/// Byte-pair encoding as SentencePiece does it: neighbours whose joined text is a piece are merged, highest score first,
/// leftmost first among equals.
///
/// Works in O(n log n): symbols are a linked list, candidates wait in a heap, stale ones are dropped when they come up.
struct BytePairMerger {
  private struct Symbol {
    var start: Int
    var length: Int
    var previous: Int
    var next: Int
    var isFrozen: Bool
  }

  private var symbols: [Symbol] = []
  private var queue = MergeQueue()
  /// For pieces of type unused: how each was put together, to take it apart again.
  private var parts: [[UInt8]: (left: [UInt8], right: [UInt8])] = [:]

  /// Forgets the symbols of the last text.
  mutating func begin() {
    symbols.removeAll(keepingCapacity: true)
    parts.removeAll()
  }

  /// Adds the next symbol: `length` bytes at `start`. Frozen ones are never merged.
  mutating func add(start: Int, length: Int, isFrozen: Bool) {
    let index = symbols.count
    if index > 0 { symbols[index - 1].next = index }
    symbols.append(Symbol(start: start, length: length, previous: index - 1, next: -1, isFrozen: isFrozen))
  }

  /// Merges until nothing merges, and hands each remaining symbol's range to `body`.
  mutating func merge(
    _ text: UnsafeRawBufferPointer, table: PieceTable, scores: [Float], isUnused: [Bool],
    body: (Range<Int>) -> Void
  ) {
    for index in symbols.indices.dropFirst() { consider(index - 1, index, text, table, scores, isUnused) }
    while let top = queue.pop() {
      let (left, right) = (Int(top.left), Int(top.right))
      guard symbols[left].length > 0, symbols[right].length > 0,
        symbols[left].length + symbols[right].length == Int(top.witness)
      else { continue }
      symbols[left].length += symbols[right].length
      symbols[right].length = 0
      let after = symbols[right].next
      symbols[left].next = after
      if after >= 0 { symbols[after].previous = left }
      consider(symbols[left].previous, left, text, table, scores, isUnused)
      consider(left, after, text, table, scores, isUnused)
    }
    var index = symbols.isEmpty ? -1 : 0
    while index >= 0 {
      let symbol = symbols[index]
      body(symbol.start..<symbol.start + symbol.length)
      index = symbol.next
    }
  }

  /// How the unused piece `bytes` was made, if it was.
  func parts(of bytes: [UInt8]) -> (left: [UInt8], right: [UInt8])? { parts[bytes] }

  private mutating func consider(
    _ left: Int, _ right: Int, _ text: UnsafeRawBufferPointer, _ table: PieceTable, _ scores: [Float],
    _ isUnused: [Bool]
  ) {
    guard left >= 0, right >= 0, !symbols[left].isFrozen, !symbols[right].isFrozen else { return }
    let start = symbols[left].start
    let length = symbols[left].length + symbols[right].length
    guard length <= table.longest else { return }
    guard let id = table.id(of: UnsafeRawBufferPointer(rebasing: text[start..<start + length])) else {
      return
    }
    queue.push(
      .init(
        key: MergeQueue.key(score: scores[id], place: left), left: Int32(truncatingIfNeeded: left),
        right: Int32(truncatingIfNeeded: right), witness: Int32(truncatingIfNeeded: length)))
    if isUnused[id] {
      let middle = start + symbols[left].length
      parts[Array(text[start..<start + length])] = (
        Array(text[start..<middle]), Array(text[middle..<start + length])
      )
    }
  }
}
