/// Chooses one option for each item so that the loss is least within a budget of bytes: a multiple-choice knapsack.
///
/// Options off the lower convex hull of (bytes, loss) are never chosen by a Lagrange multiplier; on the hull, steps are taken in
/// the order of what they save a byte, which is optimal for every total that the steps end at (Shoham and Gersho, 1988).
/// What is left of the budget is filled by the steps that still fit.
package struct Allocation: Sendable {
  /// What an option costs.
  package struct Option: Sendable, Equatable {
    package var bytes: Int
    package var loss: Double

    package init(bytes: Int, loss: Double) {
      self.bytes = bytes
      self.loss = loss
    }
  }

  /// The option of each item.
  package var choices: [Int]
  /// Their bytes.
  package var bytes: Int
  /// Their losses' sum.
  package var loss: Double

  /// The best choices within `budget`, or nil when even the smallest options exceed it.
  ///
  /// - Parameter items: at least one option each, in any order.
  package static func best(_ items: [[Option]], budget: Int) -> Allocation? {
    let hulls = items.map { hull(of: $0) }
    var places = [Int](repeating: 0, count: items.count)
    func option(_ item: Int) -> Option { items[item][hulls[item][places[item]]] }
    var bytes = items.indices.reduce(0) { $0 + option($1).bytes }
    guard bytes <= budget else { return nil }
    // Steps along each hull get less steep, so sorting all of them by slope keeps each item's in order.
    var steps: [(item: Int, place: Int, slope: Double, bytes: Int)] = []
    for (item, hull) in hulls.enumerated() {
      for place in hull.indices.dropFirst() {
        let (a, b) = (items[item][hull[place - 1]], items[item][hull[place]])
        steps.append((item, place, (a.loss - b.loss) / Double(b.bytes - a.bytes), b.bytes - a.bytes))
      }
    }
    steps.sort { ($1.slope, $0.item, $0.place) < ($0.slope, $1.item, $1.place) }
    // A step that does not fit ends its item's row; smaller ones of other items may still fit.
    for step in steps where places[step.item] == step.place - 1 && bytes + step.bytes <= budget {
      places[step.item] = step.place
      bytes += step.bytes
    }
    let choices = items.indices.map { hulls[$0][places[$0]] }
    return Allocation(
      choices: choices, bytes: bytes, loss: items.indices.reduce(0) { $0 + items[$1][choices[$1]].loss })
  }

  /// The options on the lower convex hull, by ascending bytes and descending loss.
  package static func hull(of options: [Option]) -> [Int] {
    let sorted = options.indices.sorted {
      (options[$0].bytes, options[$0].loss, $0) < (options[$1].bytes, options[$1].loss, $1)
    }
    var hull: [Int] = []
    for index in sorted {
      let new = options[index]
      if let last = hull.last, new.loss >= options[last].loss { continue }
      if let last = hull.last, options[last].bytes == new.bytes { continue }
      while hull.count >= 2 {
        let (a, b) = (options[hull[hull.count - 2]], options[hull[hull.count - 1]])
        let left = (a.loss - b.loss) * Double(new.bytes - b.bytes)
        let right = (b.loss - new.loss) * Double(b.bytes - a.bytes)
        if left > right { break }
        hull.removeLast()
      }
      hull.append(index)
    }
    return hull
  }
}
