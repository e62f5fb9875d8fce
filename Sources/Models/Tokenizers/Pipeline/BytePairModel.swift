/// Byte-pair encoding over pairs of ids with ranks, as Hugging Face's tokenizers do it.
struct BytePairModel: Sendable {
  /// What a model's JSON says besides vocabulary and merges.
  struct Options: Sendable {
    var unknown: Int?
    var fusesUnknown = false
    var byteFallback = false
    var ignoresMerges = false
    var continuingPrefix: [UInt8] = []
    var endOfWordSuffix: [UInt8] = []
    /// Whether words are raw bytes, each with a piece of its own (after ByteLevel).
    var isByteLevel = false
  }

  private struct Symbol {
    var id: Int32
    var length: Int32
    var previous: Int32
    var next: Int32
  }

  private let options: Options
  private let table: PieceTable
  private let merges: PairTable
  private let byteIDs: [Int]
  /// Whether words may be cut before U+2581 (see `SentencePieceTokenizer`).
  let canSplitAtSpaces: Bool

  /// A model of `tokens` (raw bytes if byte-level) and merges of ids in order of rank.
  init(
    tokens: [(bytes: [UInt8], id: Int)], merges pairs: [(left: Int, right: Int, merged: Int)],
    options: Options
  ) {
    self.options = options
    var table = PieceTable(capacity: tokens.count)
    for token in tokens { table.insert(token.bytes, id: token.id) }
    var merges = PairTable(capacity: pairs.count)
    for (rank, pair) in pairs.enumerated() {
      merges[BytePairModel.key(pair.left, pair.right)] = UInt64(rank) << 32 | UInt64(pair.merged)
    }
    byteIDs = (0..<256).map { byte in
      let piece = options.isByteLevel ? [UInt8(byte)] : UTF8Text.bytePiece(UInt8(byte))
      return table.id(of: piece) ?? -1
    }
    canSplitAtSpaces =
      !options.isByteLevel && options.continuingPrefix.isEmpty && options.endOfWordSuffix.isEmpty
      && !options.ignoresMerges && table.id(of: UTF8Text.metaspace) != nil
      && !tokens.contains { SentencePieceTokenizer.hasInnerSpace($0.bytes) }
    self.table = table
    self.merges = merges
  }

  @inline(__always)
  private static func key(_ left: Int, _ right: Int) -> UInt64 {
    UInt64(UInt32(truncatingIfNeeded: left)) << 32 | UInt64(UInt32(truncatingIfNeeded: right))
  }

  /// Appends the ids of the word `text[range]`.
  func encode(_ text: UnsafeRawBufferPointer, _ range: Range<Int>, to ids: inout [Int]) {
    let word = UnsafeRawBufferPointer(rebasing: text[range])
    if options.ignoresMerges, let id = table.id(of: word) {
      ids.append(id)
      return
    }
    var symbols = options.isByteLevel ? byteSymbols(word) : characterSymbols(word)
    merge(&symbols)
    var place = symbols.isEmpty ? -1 : 0
    while place >= 0 {
      ids.append(Int(symbols[place].id))
      place = Int(symbols[place].next)
    }
  }

  // MARK: First symbols

  private func append(_ id: Int, _ length: Int, to symbols: inout [Symbol]) {
    let place = Int32(truncatingIfNeeded: symbols.count)
    if let last = symbols.indices.last { symbols[last].next = place }
    symbols.append(
      Symbol(
        id: Int32(truncatingIfNeeded: id), length: Int32(truncatingIfNeeded: length), previous: place - 1,
        next: -1))
  }

  private func byteSymbols(_ word: UnsafeRawBufferPointer) -> [Symbol] {
    var symbols: [Symbol] = []
    symbols.reserveCapacity(word.count)
    for byte in word {
      // A byte without a piece is dropped where there is no unknown piece: the library does that.
      let id = byteIDs[Int(byte)]
      if id >= 0 {
        append(id, 1, to: &symbols)
      } else if let unknown = options.unknown {
        append(unknown, 1, to: &symbols)
      }
    }
    return symbols
  }

  private func characterSymbols(_ word: UnsafeRawBufferPointer) -> [Symbol] {
    var symbols: [Symbol] = []
    symbols.reserveCapacity(word.count)
    var unknownLength = 0
    var place = 0
    var text: [UInt8] = []
    while place < word.count {
      let length = min(UTF8Text.length(leading: word[place]), word.count - place)
      defer { place += length }
      text.removeAll(keepingCapacity: true)
      if place > 0 { text += options.continuingPrefix }
      text.append(contentsOf: word[place..<place + length])
      if place + length == word.count { text += options.endOfWordSuffix }
      if let id = table.id(of: text) {
        flush(&unknownLength, to: &symbols)
        append(id, length, to: &symbols)
      } else if options.byteFallback, text.allSatisfy({ byteIDs[Int($0)] >= 0 }) {
        // The library lets waiting unknowns wait on here.
        for byte in text { append(byteIDs[Int(byte)], 1, to: &symbols) }
      } else if options.unknown != nil {
        if !options.fusesUnknown { flush(&unknownLength, to: &symbols) }
        unknownLength += length
      }
    }
    flush(&unknownLength, to: &symbols)
    return symbols
  }

  private func flush(_ unknownLength: inout Int, to symbols: inout [Symbol]) {
    guard unknownLength > 0, let unknown = options.unknown else { return }
    append(unknown, unknownLength, to: &symbols)
    unknownLength = 0
  }

  // MARK: Merging

  private func consider(_ left: Int, _ symbols: [Symbol], _ queue: inout MergeQueue) {
    guard left >= 0, symbols[left].next >= 0 else { return }
    let right = Int(symbols[left].next)
    guard let merge = merges[BytePairModel.key(Int(symbols[left].id), Int(symbols[right].id))] else { return }
    queue.push(
      .init(
        key: MergeQueue.key(rank: UInt32(truncatingIfNeeded: merge >> 32), place: left),
        left: Int32(truncatingIfNeeded: left), right: Int32(truncatingIfNeeded: right),
        witness: Int32(truncatingIfNeeded: merge & 0xFFFF_FFFF)))
  }

  private func merge(_ symbols: inout [Symbol]) {
    guard symbols.count > 1 else { return }
    var queue = MergeQueue()
    for left in 0..<symbols.count - 1 { consider(left, symbols, &queue) }
    while let top = queue.pop() {
      let left = Int(top.left)
      guard symbols[left].length > 0, symbols[left].next >= 0 else { continue }
      let right = Int(symbols[left].next)
      // Still good if what stands there now merges into the same id; that is the library's test.
      guard let now = merges[BytePairModel.key(Int(symbols[left].id), Int(symbols[right].id))],
        Int32(truncatingIfNeeded: now & 0xFFFF_FFFF) == top.witness
      else { continue }
      symbols[left].id = top.witness
      symbols[left].length += symbols[right].length
      symbols[left].next = symbols[right].next
      symbols[right].length = 0
      let after = Int(symbols[left].next)
      if after >= 0 { symbols[after].previous = top.left }
      consider(Int(symbols[left].previous), symbols, &queue)
      consider(left, symbols, &queue)
    }
  }
}
