import ModelFiles

/// A SentencePiece tokenizer: normalization, BPE or unigram segmentation, byte fallback.
struct SentencePieceTokenizer: Tokenizer {
  /// What surrounds the model file: who adds special ids and how.
  struct Settings: Sendable, Equatable {
    var addsBeginning = true
    var addsEnd = false
    /// Whether text after an added token gets the dummy prefix too (Hugging Face's `legacy`).
    var prefixesEveryPart = true
    var chatTemplate: String?
  }

  let pieces: [Piece]
  let special: SpecialIDs
  let settings: Settings
  let algorithm: SentencePieceModel.Algorithm
  let normalizer: SentencePieceNormalizer
  /// Tokens that are cut out of the text before anything else; text → id.
  let addedTokens: ByteTrie
  let unknownSurface: [UInt8]
  let fallsBackToBytes: Bool
  /// The ids of `addedTokens`, and how many pieces the model file itself has.
  let addedTokenIDs: [Int]
  let basePieceCount: Int

  private let normal: PieceTable
  private let reserved: PieceTable
  private let lattice: UnigramLattice?
  private let byteIDs: [Int]
  private let canSplitAtSpaces: Bool
  private let scores: [Float]
  private let isUnused: [Bool]

  /// A tokenizer of `model` with extra pieces (ids from `model.pieces.count` on) and tokens that are cut out of the text.
  init(
    _ model: SentencePieceModel, extra: [Piece] = [], addedTokens: [(bytes: [UInt8], id: Int)] = [],
    settings: Settings, special: SpecialIDs, path: String
  ) throws(TokenizerError) {
    pieces = model.pieces + extra
    basePieceCount = model.pieces.count
    addedTokenIDs = addedTokens.map(\.id)
    self.special = special
    self.settings = settings
    algorithm = model.algorithm
    unknownSurface = model.unknownSurface
    fallsBackToBytes = model.byteFallback
    var normal = PieceTable(capacity: model.pieces.count)
    var reserved = PieceTable(capacity: 512)
    var userDefined = ByteTrie()
    var byteIDs = [Int](repeating: special.unknown ?? 0, count: 256)
    for (id, piece) in model.pieces.enumerated() {
      switch piece.type {
      case .normal, .userDefined, .unused: normal.insert(piece.bytes, id: id)
      case .unknown, .control, .byte: reserved.insert(piece.bytes, id: id)
      }
      if piece.type == .userDefined { userDefined.insert(piece.bytes, value: id) }
      if piece.type == .byte, let byte = UTF8Text.byteValue(piece.bytes) { byteIDs[Int(byte)] = id }
    }
    self.normal = normal
    scores = model.pieces.map(\.score)
    isUnused = model.pieces.map { $0.type == .unused }
    self.reserved = reserved
    self.byteIDs = byteIDs
    normalizer = SentencePieceNormalizer(
      charsMap: try CharsMap(model.charsMap, path: path), addsDummyPrefix: model.addsDummyPrefix,
      removesExtraWhitespace: model.removesExtraWhitespace, escapesWhitespace: model.escapesWhitespace,
      treatsWhitespaceAsSuffix: model.treatWhitespaceAsSuffix, userDefined: userDefined)
    var trie = ByteTrie()
    for token in addedTokens { trie.insert(token.bytes, value: token.id) }
    self.addedTokens = trie
    lattice =
      model.algorithm == .unigram
      ? UnigramLattice(
        pieces: model.pieces, scores: model.pieces.map { Double($0.score) }, unknown: special.unknown ?? 0,
        arithmetic: .sentencePiece) : nil
    canSplitAtSpaces = SentencePieceTokenizer.splitsAtSpaces(model.pieces)
  }

  /// Whether no merge can reach over the place before a U+2581 that follows something else: then words are independent,
  /// and their ids can be remembered. True of almost every vocabulary. (Unused pieces are taken apart in a way that
  /// depends on the whole text, so with them the answer is no.)
  private static func splitsAtSpaces(_ pieces: [Piece]) -> Bool {
    pieces.allSatisfy { piece in
      piece.type != .unused && (piece.type == .control || !hasInnerSpace(piece.bytes))
    }
  }

  /// Whether `bytes` have a U+2581 after something that is none.
  static func hasInnerSpace(_ bytes: [UInt8]) -> Bool {
    guard bytes.count > 3 else { return false }
    var place = 0
    while bytes[place...].starts(with: UTF8Text.metaspace) { place += 3 }
    while place + 3 <= bytes.count {
      if bytes[place...].starts(with: UTF8Text.metaspace) { return true }
      place += 1
    }
    return false
  }

  var vocabularySize: Int { pieces.count }
  var beginningOfText: Int? { special.beginning }
  var endOfText: Int? { special.end }
  var stopIDs: Set<Int> { special.stops.union(special.end.map { [$0] } ?? []) }
  var addsBeginningOfText: Bool { settings.addsBeginning && special.beginning != nil }
}

// MARK: Encoding

extension SentencePieceTokenizer {
  func encode(_ text: [UInt8], addSpecial: Bool) -> [Int] {
    var output: [Int] = []
    output.reserveCapacity(text.count / 3 + 2)
    if addSpecial, settings.addsBeginning, let id = special.beginning { output.append(id) }
    text.withUnsafeBytes { buffer in
      var start = 0
      var place = 0
      var isFirst = true
      while !addedTokens.isEmpty, place < buffer.count {
        guard let match = addedTokens.longestMatch(in: buffer, at: place) else {
          place += 1
          continue
        }
        encodePart(UnsafeRawBufferPointer(rebasing: buffer[start..<place]), isFirst: isFirst, to: &output)
        output.append(match.value)
        place += match.length
        start = place
        isFirst = false
      }
      encodePart(UnsafeRawBufferPointer(rebasing: buffer[start...]), isFirst: isFirst, to: &output)
    }
    if addSpecial, settings.addsEnd, let id = special.end { output.append(id) }
    return output
  }

  private func encodePart(_ text: UnsafeRawBufferPointer, isFirst: Bool, to output: inout [Int]) {
    guard !text.isEmpty else { return }
    let addsPrefix = normalizer.addsDummyPrefix && (isFirst || settings.prefixesEveryPart)
    let normalized = normalizer.normalize(text, addsPrefix: addsPrefix)
    var ids: [Int] = []
    ids.reserveCapacity(normalized.count / 3 + 1)
    normalized.withUnsafeBytes { buffer in
      if let lattice {
        for (id, range) in lattice.segments(buffer) { emit(id, buffer, range, to: &ids) }
      } else {
        mergePairs(buffer, to: &ids)
      }
    }
    // A run of unknown characters is one unknown piece.
    var last: Int?
    for id in ids {
      if fallsBackToBytes || id != special.unknown || last != id { output.append(id) }
      last = id
    }
  }

  /// Appends `id`, or its bytes when it is unknown.
  private func emit(_ id: Int, _ text: UnsafeRawBufferPointer, _ range: Range<Int>, to ids: inout [Int]) {
    if fallsBackToBytes, pieces[id].type == .unknown {
      for byte in text[range] { ids.append(byteIDs[Int(byte)]) }
    } else {
      ids.append(id)
    }
  }

  private func mergePairs(_ text: UnsafeRawBufferPointer, to ids: inout [Int]) {
    var merger = BytePairMerger()
    var cache = WordCache(textLength: canSplitAtSpaces ? text.count : 0)
    var start = 0
    while start < text.count {
      let end = canSplitAtSpaces ? wordEnd(text, from: start) : text.count
      cache.append(text, start..<end, to: &ids) { ids in mergeWord(text, start..<end, &merger, to: &ids) }
      start = end
    }
  }

  /// Where the word at `start` ends: before the next U+2581 that follows something else.
  private func wordEnd(_ text: UnsafeRawBufferPointer, from start: Int) -> Int {
    var place = start
    var isInside = false
    while place < text.count {
      let isSpace =
        text[place] == 0xE2 && place + 2 < text.count && text[place + 1] == 0x96 && text[place + 2] == 0x81
      if isSpace, isInside { return place }
      isInside = !isSpace
      place += isSpace ? 3 : 1
    }
    return text.count
  }

  private func mergeWord(
    _ text: UnsafeRawBufferPointer, _ range: Range<Int>, _ merger: inout BytePairMerger, to ids: inout [Int]
  ) {
    merger.begin()
    var place = range.lowerBound
    while place < range.upperBound {
      if let match = normalizer.userDefined.longestMatch(in: text, at: place) {
        merger.add(start: place, length: match.length, isFrozen: true)
        place += match.length
      } else {
        let length = min(UTF8Text.length(leading: text[place]), range.upperBound - place)
        merger.add(start: place, length: length, isFrozen: false)
        place += length
      }
    }
    var found: [Range<Int>] = []
    merger.merge(text, table: normal, scores: scores, isUnused: isUnused) { found.append($0) }
    for range in found {
      let piece = UnsafeRawBufferPointer(rebasing: text[range])
      let id = reserved.id(of: piece) ?? normal.id(of: piece) ?? special.unknown ?? 0
      if pieces[id].type == .unused, let parts = merger.parts(of: Array(piece)) {
        takeApart(parts, merger, to: &ids)
      } else {
        emit(id, text, range, to: &ids)
      }
    }
  }

  /// The ids of an unused piece's parts, which may be unused themselves.
  private func takeApart(
    _ parts: (left: [UInt8], right: [UInt8]), _ merger: BytePairMerger, to ids: inout [Int]
  ) {
    var waiting = [parts.right, parts.left]
    while let bytes = waiting.popLast() {
      let id = reserved.id(of: bytes) ?? normal.id(of: bytes) ?? special.unknown ?? 0
      if pieces[id].type == .unused, let parts = merger.parts(of: bytes) {
        waiting += [parts.right, parts.left]
      } else {
        bytes.withUnsafeBytes { emit(id, $0, 0..<bytes.count, to: &ids) }
      }
    }
  }
}

// MARK: Decoding

extension SentencePieceTokenizer {
  func decode(_ ids: [Int]) -> [UInt8] {
    var output: [UInt8] = []
    var pending: [UInt8] = []
    var expectsPrefix = true
    var sawPrefix = false
    for id in ids {
      guard pieces.indices.contains(id) else { continue }
      if pieces[id].type == .byte, let byte = UTF8Text.byteValue(pieces[id].bytes) {
        pending.append(byte)
        continue
      }
      output += SentencePieceTokenizer.repaired(pending)
      pending.removeAll()
      if sawPrefix || !output.isEmpty { expectsPrefix = false }
      switch pieces[id].type {
      case .control: sawPrefix = false
      case .unknown:
        output += unknownSurface
        sawPrefix = false
      default:
        let (bytes, isPrefixed) = surface(id, expectsPrefix: expectsPrefix)
        output += bytes
        sawPrefix = isPrefixed && !normalizer.removesExtraWhitespace
      }
    }
    return output + SentencePieceTokenizer.repaired(pending)
  }

  /// `bytes` with U+FFFD for each byte that is no part of a character: SentencePiece replaces byte by byte.
  private static func repaired(_ bytes: [UInt8]) -> [UInt8] {
    guard !UTF8Text.isValid(bytes) else { return bytes }
    var output: [UInt8] = []
    bytes.withUnsafeBytes { buffer in
      var place = 0
      while place < buffer.count {
        let length = UTF8Text.validLength(buffer, place)
        output += length.map { Array(buffer[place..<place + $0]) } ?? UTF8Text.replacement
        place += length ?? 1
      }
    }
    return output
  }

  func piece(_ id: Int) -> [UInt8] {
    guard pieces.indices.contains(id) else { return [] }
    switch pieces[id].type {
    case .control: return []
    case .unknown: return unknownSurface
    case .byte: return UTF8Text.byteValue(pieces[id].bytes).map { [$0] } ?? []
    default: return surface(id, expectsPrefix: false).bytes
    }
  }

  /// The text of a piece, without a leading space where that is the dummy prefix; and whether it was.
  private func surface(_ id: Int, expectsPrefix: Bool) -> (bytes: [UInt8], isPrefixed: Bool) {
    var bytes = pieces[id].bytes
    let stripsPrefix = normalizer.addsDummyPrefix || normalizer.removesExtraWhitespace
    let isPrefixed = expectsPrefix && stripsPrefix && bytes.starts(with: UTF8Text.metaspace)
    if isPrefixed { bytes.removeFirst(3) }
    return (UTF8Text.unescapingSpaces(bytes), isPrefixed)
  }
}
