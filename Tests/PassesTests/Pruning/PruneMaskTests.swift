import Passes
import TensorCore
import Testing

/// Which weights are dropped, against the definition: sorted by score, ties by place.
@Suite("Pruning masks")
struct PruneMaskTests {
  /// Scores with many ties, zeros and both ends of the range.
  private func scores(rows: Int, columns: Int, seed: UInt64) -> Matrix {
    var generator = SeededGenerator(seed: seed)
    let elements = (0..<rows * columns).map { _ in
      let value = generator.uniform()
      return value < 0.2
        ? 0
        : value < 0.6
          ? Float(Int(value * 16)) : value < 0.61 ? .greatestFiniteMagnitude : Float(value) * 1e-30
    }
    return Matrix(rows: rows, columns: columns, elements: elements)
  }

  /// The places of the `count` lowest, by sorting.
  private func lowest(_ scores: ArraySlice<Float>, _ count: Int) -> Set<Int> {
    Set(scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }.prefix(count))
  }

  @Test("a share over the whole matrix", arguments: [0, 0.1, 0.5, 0.9, 1])
  func tensor(share: Double) {
    for (rows, columns) in [(1, 1), (7, 13), (64, 33)] {
      let scores = scores(rows: rows, columns: columns, seed: 3)
      let mask = PruneMask(lowest: scores, .share(share), scope: .tensor)
      let count = Int((share * Double(rows * columns)).rounded(.toNearestOrAwayFromZero))
      let expected = lowest(scores.elements[...], count)
      #expect(Set(mask.dropped.indices.filter { mask.dropped[$0] }) == expected)
      #expect(mask.count == count)
    }
  }

  @Test("a share of each row", arguments: [0, 0.3, 0.5, 1])
  func rows(share: Double) {
    let scores = scores(rows: 9, columns: 50, seed: 5)
    let mask = PruneMask(lowest: scores, .share(share), scope: .row)
    let count = Int((share * 50).rounded(.toNearestOrAwayFromZero))
    for row in 0..<9 {
      let expected = lowest(scores.row(row), count)
      #expect(Set((row * 50..<row * 50 + 50).filter { mask.dropped[$0] }) == expected)
    }
  }

  @Test(
    "N of M, and a rest of a row that is no whole group", arguments: [(2, 4), (4, 8), (1, 3), (0, 4), (4, 4)])
  func groups(kept: Int, length: Int) {
    for columns in [length, 2 * length, 2 * length + 1, 3 * length - 1] {
      let scores = scores(rows: 5, columns: columns, seed: 7)
      let mask = PruneMask(lowest: scores, .groups(kept: kept, of: length), scope: .tensor)
      for row in 0..<5 {
        for start in stride(from: 0, to: columns, by: length) {
          let places = row * columns + start..<row * columns + min(start + length, columns)
          // A rest keeps its part, rounded up.
          let most = (places.count * kept + length - 1) / length
          let expected = lowest(scores.elements[places], places.count - most)
          #expect(Set(places.filter { mask.dropped[$0] }) == expected)
        }
      }
    }
  }

  @Test("what was pruned once is pruned to the same by the same pattern")
  func idempotent() {
    for pattern in [SparsityPattern.share(0.5), .share(0.37), .groups(kept: 2, of: 4)] {
      for scope in PruneMask.Scope.allCases {
        let scores = scores(rows: 6, columns: 22, seed: 11)
        let once = PruneMask(lowest: scores, pattern, scope: scope).applied(to: scores)
        #expect(PruneMask(lowest: once, pattern, scope: scope).applied(to: once) == once)
      }
    }
  }

  @Test("patterns are read from words")
  func words() {
    #expect(SparsityPattern("0.5") == .share(0.5))
    #expect(SparsityPattern("50%") == .share(0.5))
    #expect(SparsityPattern("0") == .share(0))
    #expect(SparsityPattern("2:4") == .groups(kept: 2, of: 4))
    for word in ["", "1.5", "-0.1", "2:", ":4", "5:4", "2:0", "nan", "2:4:8", "1:1000", "x"] {
      #expect(SparsityPattern(word) == nil, "\(word)")
    }
    #expect(SparsityPattern.share(0.375).word == "0.375")
    #expect(PrunePass(.share(0.375)).label == "prune37.5" && PrunePass(.share(0.5)).label == "prune50")
    #expect(PrunePass(.groups(kept: 2, of: 4)).label == "prune2of4")
  }
}
