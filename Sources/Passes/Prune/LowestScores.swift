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
      var found = 0
      for place in piece {
        let bits = source[place].magnitude.bitPattern
        target[place] = target[place] || bits < threshold
        found += bits == threshold ? 1 : 0
      }
      return found
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
  static func threshold(_ count: Int, of scores: UnsafeBufferPointer<Float>) -> (bits: UInt32, ties: Int) {
    var (prefix, rest): (UInt32, Int) = (0, count)
    var mask: UInt32 = 0
    nonisolated(unsafe) let source = scores
    for (shift, width) in [(20, 11), (10, 10), (0, 10)] {
      let (known, fixed, digits) = (mask, prefix, UInt32(1 << width - 1))
      let pieces = perPiece(scores.count) { piece in
        var counts = [Int](repeating: 0, count: 1 << width)
        for place in piece {
          let bits = source[place].magnitude.bitPattern
          guard bits & known == fixed else { continue }
          counts[Int(bits >> UInt32(shift) & digits)] += 1
        }
        return counts
      }
      func total(_ digit: Int) -> Int { pieces.reduce(0) { $0 + $1[digit] } }
      var (digit, here) = (0, total(0))
      while rest > here, digit + 1 < 1 << width {
        rest -= here
        digit += 1
        here = total(digit)
      }
      prefix |= UInt32(digit) << UInt32(shift)
      mask |= digits << UInt32(shift)
    }
    return (prefix, rest)
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
