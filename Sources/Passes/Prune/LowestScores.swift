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
    var rest = ties
    for (place, score) in scores.enumerated() {
      let bits = score.magnitude.bitPattern
      if bits < threshold {
        dropped[place] = true
      } else if bits == threshold, rest > 0 {
        dropped[place] = true
        rest -= 1
      }
    }
  }

  /// The bits of the `count`-th lowest score, and how many scores of just these bits are among the `count`.
  static func threshold(_ count: Int, of scores: UnsafeBufferPointer<Float>) -> (bits: UInt32, ties: Int) {
    var (prefix, rest): (UInt32, Int) = (0, count)
    var mask: UInt32 = 0
    for (shift, width) in [(20, 11), (10, 10), (0, 10)] {
      var counts = [Int](repeating: 0, count: 1 << width)
      for score in scores {
        let bits = score.magnitude.bitPattern
        guard bits & mask == prefix else { continue }
        counts[Int(bits >> UInt32(shift)) & (1 << width - 1)] += 1
      }
      var digit = 0
      while rest > counts[digit], digit + 1 < counts.count {
        rest -= counts[digit]
        digit += 1
      }
      prefix |= UInt32(digit) << UInt32(shift)
      mask |= UInt32(1 << width - 1) << UInt32(shift)
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
