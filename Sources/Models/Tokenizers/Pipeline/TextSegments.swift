/// A normalized text cut into pieces that pre-tokenizers cut further.
struct TextSegments {
  /// The text; pre-tokenizers that insert something replace it.
  var bytes: [UInt8]
  /// The pieces, in order, none empty.
  var ranges: [Range<Int>]
  /// Whether the first piece begins where the input began (nothing was cut out before it).
  var startsInput: Bool

  /// How the parts that a pattern matches are kept.
  enum Behavior: String, Sendable {
    case removed = "Removed", isolated = "Isolated", contiguous = "Contiguous"
    case mergedWithPrevious = "MergedWithPrevious", mergedWithNext = "MergedWithNext"
  }

  /// The whole of `bytes` as one piece.
  init(_ bytes: [UInt8], startsInput: Bool) {
    self.bytes = bytes
    ranges = bytes.isEmpty ? [] : [0..<bytes.count]
    self.startsInput = startsInput
  }

  /// Cuts every piece at the matches of `find`, which hands over disjoint ranges inside a piece, from left to right.
  mutating func split(
    _ behavior: Behavior, inverted: Bool = false,
    find: (UnsafeRawBufferPointer, Range<Int>, (Range<Int>) -> Void) -> Void
  ) {
    var result: [Range<Int>] = []
    result.reserveCapacity(max(ranges.count, bytes.count / 4))
    bytes.withUnsafeBytes { buffer in
      var items: [(range: Range<Int>, isMatch: Bool)] = []
      for range in ranges {
        items.removeAll(keepingCapacity: true)
        var place = range.lowerBound
        find(buffer, range) { match in
          if match.lowerBound > place { items.append((place..<match.lowerBound, inverted)) }
          items.append((match, !inverted))
          place = match.upperBound
        }
        if place < range.upperBound { items.append((place..<range.upperBound, inverted)) }
        TextSegments.append(items, behavior, to: &result)
      }
    }
    ranges = result
  }

  private static func append(
    _ items: [(range: Range<Int>, isMatch: Bool)], _ behavior: Behavior, to result: inout [Range<Int>]
  ) {
    switch behavior {
    case .isolated: for item in items { result.append(item.range) }
    case .removed: for item in items where !item.isMatch { result.append(item.range) }
    case .contiguous:
      var previous: Bool?
      for item in items { join(item.range, when: item.isMatch == previous, &result, &previous, item.isMatch) }
    case .mergedWithPrevious:
      var previous: Bool?
      for item in items {
        join(item.range, when: item.isMatch && previous == false, &result, &previous, item.isMatch)
      }
    case .mergedWithNext:
      var next = false
      var reversed: [Range<Int>] = []
      for item in items.reversed() {
        if item.isMatch, !next, let last = reversed.last {
          reversed[reversed.count - 1] = item.range.lowerBound..<last.upperBound
        } else {
          reversed.append(item.range)
        }
        next = item.isMatch
      }
      result += reversed.reversed()
    }
  }

  private static func join(
    _ range: Range<Int>, when isJoined: Bool, _ result: inout [Range<Int>], _ previous: inout Bool?,
    _ isMatch: Bool
  ) {
    if isJoined, let last = result.last {
      result[result.count - 1] = last.lowerBound..<range.upperBound
    } else {
      result.append(range)
    }
    previous = isMatch
  }

  /// Cuts every piece at each scalar that `isMatch` picks.
  mutating func split(_ behavior: Behavior, at isMatch: (Unicode.Scalar) -> Bool) {
    split(behavior) { text, range, body in
      var place = range.lowerBound
      while place < range.upperBound {
        let (scalar, length) = UTF8Text.scalar(text, place)
        if isMatch(scalar) { body(place..<place + length) }
        place += length
      }
    }
  }

  /// Replaces the text of every piece; `change` gets the piece and whether the input begins with it.
  mutating func rewrite(_ change: (ArraySlice<UInt8>, Bool) -> [UInt8]?) {
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count + bytes.count / 2)
    var result: [Range<Int>] = []
    for (place, range) in ranges.enumerated() {
      let start = text.count
      text += change(bytes[range], place == 0 && startsInput) ?? Array(bytes[range])
      result.append(start..<text.count)
    }
    bytes = text
    ranges = result
  }
}
