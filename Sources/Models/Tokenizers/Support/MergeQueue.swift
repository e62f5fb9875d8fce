/// Pairs of neighbouring symbols that may be merged, best first: a binary heap.
///
/// The order is that of `key`: rank or inverted score in the upper half, place in the lower, so that equal ranks merge from
/// left to right, as every byte-pair library does.
struct MergeQueue {
  /// A pair.
  struct Candidate {
    var key: UInt64
    var left: Int32
    var right: Int32
    /// What tells whether the pair still is what it was: the merged length, or the merged id.
    var witness: Int32
  }

  private var heap: [Candidate] = []

  /// Whether nothing is waiting.
  var isEmpty: Bool { heap.isEmpty }

  /// A key that puts higher `score`s first, and then smaller places.
  static func key(score: Float, place: Int) -> UInt64 {
    let bits = (score == 0 ? Float(0) : score).bitPattern
    let ascending = bits & 0x8000_0000 == 0 ? bits | 0x8000_0000 : ~bits
    return key(rank: ~ascending, place: place)
  }

  /// A key that puts lower `rank`s first, and then smaller places.
  static func key(rank: UInt32, place: Int) -> UInt64 {
    UInt64(rank) << 32 | UInt64(UInt32(truncatingIfNeeded: place))
  }

  /// Adds a pair.
  mutating func push(_ candidate: Candidate) {
    heap.append(candidate)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard candidate.key < heap[parent].key else { break }
      heap[child] = heap[parent]
      child = parent
    }
    heap[child] = candidate
  }

  /// Takes the best pair.
  mutating func pop() -> Candidate? {
    guard let best = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return best }
    let count = heap.count
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < count else { break }
      if child + 1 < count, heap[child + 1].key < heap[child].key { child += 1 }
      guard heap[child].key < last.key else { break }
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = last
    return best
  }
}

/// The ids of words that a text had before: natural text repeats most of its words.
///
/// Keys are places in the text itself, values are places in the output, so nothing is copied.
struct WordCache {
  private struct Slot {
    var hash: UInt32
    var start: Int
    var length: Int
    var output: Int
    var count: Int
  }
  private var slots: [Slot] = []
  private var mask = 0
  /// Longer words are not worth remembering.
  static let longestWord = 64

  /// A cache for a text of `length` bytes; none for a short one.
  init(textLength length: Int) {
    guard length >= 512 else { return }
    var size = 64
    while size < length / 16, size < 1 << 14 { size *= 2 }
    slots = Array(repeating: Slot(hash: 0, start: 0, length: 0, output: 0, count: 0), count: size)
    mask = size - 1
  }

  /// Appends the ids of `text[range]`: those of an earlier equal word, or else what `encode` appends.
  mutating func append(
    _ text: UnsafeRawBufferPointer, _ range: Range<Int>, to output: inout [Int], encode: (inout [Int]) -> Void
  ) {
    guard !slots.isEmpty, range.count <= WordCache.longestWord, !range.isEmpty else { return encode(&output) }
    let word = UnsafeRawBufferPointer(rebasing: text[range])
    let hash = PieceTable.hash(word)
    let slot = slots[Int(hash) & mask]
    if slot.length == word.count, slot.hash == hash, WordCache.same(text, slot.start, word) {
      for place in slot.output..<slot.output + slot.count { output.append(output[place]) }
      return
    }
    let start = output.count
    encode(&output)
    slots[Int(hash) & mask] = Slot(
      hash: hash, start: range.lowerBound, length: word.count, output: start, count: output.count - start)
  }

  private static func same(_ text: UnsafeRawBufferPointer, _ start: Int, _ word: UnsafeRawBufferPointer)
    -> Bool
  {
    for place in 0..<word.count where text[start + place] != word[place] { return false }
    return true
  }
}
