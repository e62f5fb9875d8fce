/// What the system is asked to read of a file in the background, as its parts are asked for one after the other.
///
/// Parts are mostly wanted in the file's order. What was asked for before is left out, since the system looks at every page of a
/// request, and requests are not made for a few pages each.
package struct ReadingAhead: Sendable {
  /// How far behind a part the system is to read, and the least that it is asked for.
  package static let (distance, least) = (16 << 20, 4 << 20)

  /// The file's length.
  let size: Int
  /// Where the stretch ends that was asked for.
  private var asked = 0

  package init(size: Int) { self.size = size }

  /// What to read now that the bytes at `range` are wanted; nil where enough was asked for.
  package mutating func next(for range: Range<Int>) -> Range<Int>? {
    // Far behind what was asked for, somebody begins anew; threads that take parts in turn are near to each other.
    if range.lowerBound < min(asked / 2, asked - 4 * Self.distance) { asked = range.lowerBound }
    // What is passed over may come later, or not at all.
    if range.lowerBound > asked + Self.least { asked = range.lowerBound }
    let end = min(range.upperBound + Self.distance, size)
    guard range.upperBound > asked || end - asked >= Self.least else { return nil }
    defer { asked = end }
    return asked..<end
  }
}
