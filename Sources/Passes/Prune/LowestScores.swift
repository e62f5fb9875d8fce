import TensorCore

/// The lowest of many scores, exactly: of equal ones those that come first.
enum LowestScores {
  /// Marks the `count` lowest scores as dropped, ties from the first on; what is dropped already stays so and does not count.
  ///
  /// By digits of the floats' bits, which rise as non-negative floats do: three counts, no sorting.
  /// - Precondition: no score is negative; NaN counts as the highest.
  static func drop(
    _ count: Int, of scores: UnsafeBufferPointer<Float>, into dropped: UnsafeMutablePointer<Bool>
  ) {
    guard count > 0 else { return }
    guard count < scores.count else {
      dropped.update(repeating: true, count: scores.count)
      return
    }
    let (threshold, ties) = threshold(count, of: scores)
    nonisolated(unsafe) let (source, target) = (scores, dropped)
    // Ties from the first on: as many in each piece as those before leave.
    let found = perPiece(scores.count) { piece in
      guard let base = source.baseAddress else { return 0 }
      // Bytes and wrapping sums, which are done many at a time.
      let marks = UnsafeMutableRawPointer(target).assumingMemoryBound(to: UInt8.self)
      var found: UInt32 = 0
      for place in piece {
        let bits = base[place].magnitude.bitPattern
        marks[place] |= bits < threshold ? 1 : 0
        found &+= bits == threshold ? 1 : 0
      }
      return Int(found)
    }
    var rest = ties
    for (index, found) in found.enumerated() where rest > 0 && found > 0 {
      for place in piece(index, of: scores.count) where rest > 0 {
        guard scores[place].magnitude.bitPattern == threshold else { continue }
        dropped[place] = true
        rest -= 1
      }
    }
  }

  /// The scores that are looked at together.
  private static let pieceSize = 1 << 18

  private static func piece(_ index: Int, of count: Int) -> Range<Int> {
    index * pieceSize..<min(count, (index + 1) * pieceSize)
  }

  private static func perPiece<Result: Sendable>(
    _ count: Int, _ body: @Sendable (Range<Int>) -> Result
  ) -> [Result] {
    let pieces = (count + pieceSize - 1) / pieceSize
    return [Result](unsafeUninitializedCapacity: pieces) { results, size in
      size = pieces
      guard let base = results.baseAddress else { return }
      nonisolated(unsafe) let target = base
      Parallel.forEach(size) { (target + $0).initialize(to: body(piece($0, of: count))) }
    }
  }

  /// The bits of the `count`-th lowest score, and how many scores of just these bits are among the `count`.
  ///
  /// The upper 11 bits of all scores are counted, then the lower 20 of those few that share the threshold's upper ones.
  static func threshold(_ count: Int, of scores: UnsafeBufferPointer<Float>) -> (bits: UInt32, ties: Int) {
    nonisolated(unsafe) let source = scores
    let upper = perPiece(scores.count) { piece in
      counts(bins: 1 << 11, piece.count) { source[piece.lowerBound + $0].magnitude.bitPattern >> 20 }
    }
    var rest = count
    let first = digit(upper, &rest)
    var candidates: [UInt32] = []
    for piece in perPiece(scores.count, { lower(of: source[$0], upper: first) }) { candidates += piece }
    let second = digit([counts(bins: 1 << 10, candidates.count) { candidates[$0] >> 10 }], &rest)
    candidates.removeAll { $0 >> 10 != second }
    let third = digit([counts(bins: 1 << 10, candidates.count) { candidates[$0] & 1023 }], &rest)
    return (first << 20 | second << 10 | third, rest)
  }

  /// How many of `count` numbers there are of each value below `bins`. Neighbours, which are often alike, are counted apart: a counter
  /// that is raised twice in a row has to be waited for.
  private static func counts(bins: Int, _ count: Int, _ value: (Int) -> UInt32) -> [Int] {
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 4 * bins) { counts in
      counts.initialize(repeating: 0)
      for place in 0..<count { counts[place & 3 &* bins &+ Int(value(place))] &+= 1 }
      return (0..<bins).map { bin in (0..<4).reduce(0) { $0 + Int(counts[$1 * bins + bin]) } }
    }
  }

  /// The value that holds the `rest`-th number; `rest` becomes its place among those of this value.
  private static func digit(_ pieces: [[Int]], _ rest: inout Int) -> UInt32 {
    var value = 0
    let last = (pieces.first?.count ?? 1) - 1
    func total(_ value: Int) -> Int { pieces.reduce(0) { $0 + $1[value] } }
    var here = total(0)
    while rest > here, value < last {
      rest -= here
      value += 1
      here = total(value)
    }
    return UInt32(value)
  }

  /// The lower 20 bits of the scores whose upper ones are these.
  private static func lower(of scores: Slice<UnsafeBufferPointer<Float>>, upper: UInt32) -> [UInt32] {
    var found: [UInt32] = []
    for score in scores {
      let bits = score.magnitude.bitPattern
      if bits >> 20 == upper { found.append(bits & 0xF_FFFF) }
    }
    return found
  }

  /// Marks the lowest of each group of neighbours: in a group of `length`, all but `kept`; in a shorter rest all but its part of
  /// them, rounded up. Ties from the first on.
  static func dropInGroups(
    keeping kept: Int, of length: Int, _ scores: UnsafeBufferPointer<Float>,
    into dropped: UnsafeMutablePointer<Bool>
  ) {
    for start in stride(from: 0, to: scores.count, by: length) {
      let size = min(length, scores.count - start)
      let most = (size * kept + length - 1) / length
      for _ in 0..<size - most {
        var lowest: Int?
        for place in start..<start + size where !dropped[place] {
          guard let old = lowest else {
            lowest = place
            continue
          }
          if scores[place].magnitude.bitPattern < scores[old].magnitude.bitPattern { lowest = place }
        }
        if let lowest { dropped[lowest] = true }
      }
    }
  }
}
