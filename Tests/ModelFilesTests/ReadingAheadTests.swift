import ModelFiles
import Testing

struct ReadingAheadTests {
  private let megabyte = 1 << 20

  private func megabytes(_ range: Range<Int>) -> Range<Int> {
    range.lowerBound * megabyte..<range.upperBound * megabyte
  }

  @Test func partsInOrderAreAskedForOnce() {
    var ahead = ReadingAhead(size: 100 * megabyte)
    var asked: [Range<Int>] = []
    for part in 0..<100 {
      if let range = ahead.next(for: megabytes(part..<part + 1)) { asked.append(range) }
      #expect((asked.last?.upperBound ?? 0) > part * megabyte, "a part is asked for before it is read")
    }
    #expect(asked.first?.lowerBound == 0 && asked.last?.upperBound == 100 * megabyte)
    for (one, next) in zip(asked, asked.dropFirst()) { #expect(one.upperBound == next.lowerBound) }
    #expect(asked.count < 30, "not a request for each part")
  }

  @Test func whatIsPassedOverIsNotAskedForYet() {
    var ahead = ReadingAhead(size: 100 * megabyte)
    _ = ahead.next(for: megabytes(0..<2))
    #expect(ahead.next(for: megabytes(90..<95)) == megabytes(90..<100))
    #expect(ahead.next(for: megabytes(2..<16)) == megabytes(2..<32))
  }

  @Test func aLargePartIsAskedForWhole() {
    var ahead = ReadingAhead(size: 100 * megabyte)
    #expect(ahead.next(for: megabytes(1..<60)) == megabytes(0..<76))
    #expect(ahead.next(for: megabytes(60..<61)) == nil)
  }

  @Test func whoBeginsAnewIsServedAnew() {
    var ahead = ReadingAhead(size: 100 * megabyte)
    _ = ahead.next(for: megabytes(0..<100))
    #expect(ahead.next(for: megabytes(1..<3)) == megabytes(1..<19))
  }
}
