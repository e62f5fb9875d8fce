import Models
import Passes
import TensorCore
import Testing

/// Choosing options within a budget, against trying all of them.
@Suite("Allocation")
struct AllocationTests {
  private func items(seed: UInt64) -> [[Allocation.Option]] {
    var generator = SeededGenerator(seed: seed)
    return (0..<5).map { _ in
      let scale = generator.uniform() * 10
      return (0..<4).map { place in
        Allocation.Option(
          bytes: 10 + 10 * place + Int(generator.uniform() * 8),
          loss: scale * (0.2 + generator.uniform()) / Double(1 << (2 * place)))
      }
    }
  }

  /// The least loss within `budget`, by trying every combination.
  private func best(_ items: [[Allocation.Option]], budget: Int) -> Double? {
    var best: Double?
    var places = [Int](repeating: 0, count: items.count)
    while true {
      let chosen = zip(items, places).map { $0[$1] }
      if chosen.reduce(0, { $0 + $1.bytes }) <= budget {
        best = min(best ?? .infinity, chosen.reduce(0) { $0 + $1.loss })
      }
      var place = 0
      while place < items.count {
        places[place] += 1
        if places[place] < items[place].count { break }
        places[place] = 0
        place += 1
      }
      if place == items.count { return best }
    }
  }

  @Test(
    "the choice fits and is the best, where the budget ends at a step of the hull", arguments: UInt64(1)...20)
  func optimal(_ seed: UInt64) throws {
    let items = items(seed: seed)
    for budget in stride(from: 40, through: 260, by: 7) {
      guard let choice = Allocation.best(items, budget: budget) else {
        #expect(best(items, budget: budget) == nil)
        continue
      }
      let bytes = zip(items, choice.choices).reduce(0) { $0 + $1.0[$1.1].bytes }
      #expect(bytes == choice.bytes && bytes <= budget)
      // Between steps it may be off by less than one item's step; at its own bytes it must be near the best.
      let ideal = try #require(best(items, budget: choice.bytes))
      let slack = items.map { $0.map(\.loss).max() ?? 0 }.max() ?? 0
      #expect(choice.loss <= ideal + slack)
    }
  }

  @Test("a hull leaves out what costs more for less")
  func hull() {
    let options: [Allocation.Option] = [
      .init(bytes: 10, loss: 8), .init(bytes: 20, loss: 7), .init(bytes: 30, loss: 2),
      .init(bytes: 40, loss: 2.5), .init(bytes: 50, loss: 1), .init(bytes: 10, loss: 9),
    ]
    #expect(Allocation.hull(of: options) == [0, 2, 4])
  }

  @Test("nothing fits")
  func impossible() { #expect(Allocation.best([[.init(bytes: 10, loss: 1)]], budget: 9) == nil) }

  @Test(
    "sizes as people write them",
    arguments: [
      ("40MB", 40_000_000), ("38MiB", 39_845_888), ("1.5GB", 1_500_000_000), ("800kB", 800_000),
      ("123456", 123_456), ("2 kib", 2048),
    ])
  func sizes(_ text: String, _ bytes: Int) { #expect(SizeGoal(size: text) == .bytes(bytes)) }

  @Test("what is no size", arguments: ["", "MB", "-3MB", "nan", "1e400", "4 apples", "0"])
  func noSizes(_ text: String) { #expect(SizeGoal(size: text) == nil) }

  @Test("bits a weight become bytes, rounded down")
  func bits() { #expect(SizeGoal.bitsPerWeight(3.8).bytes(parameters: 7_344_384) == 3_488_582) }
}
