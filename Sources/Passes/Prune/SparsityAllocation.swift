package import TensorCore

/// How many weights each matrix loses, so that as many are gone in all: more where they matter less.
package struct SparsityAllocation: Sendable {
  /// How the losses of matrices are weighed against each other.
  package enum Rule: String, Sendable, CaseIterable {
    /// Each matrix loses the same share.
    case uniform
    /// Blocks with more outliers keep more: OWL (arXiv 2310.05175).
    case owl
    /// Weights go where predictions change least, by gradients.
    case loss
  }

  /// A matrix's losses: how many weights have a loss in each step of a logarithmic scale.
  private struct Entry {
    var name: String
    var count: Int
    var histogram: [Int]
  }

  private var entries: [Entry] = []
  /// The bits of a float that are left aside: 16 steps an octave remain, and rise as numbers do.
  private static let (left, bins) = (UInt32(19), 4096)

  /// Nothing yet.
  package init() {}

  /// Adds a matrix by what losing each weight costs.
  package mutating func add(_ name: String, losses: Matrix) {
    let (rows, columns) = (losses.rows, losses.columns)
    // A few rows at a time, each with counts of its own.
    let piece = max(1, (1 << 18) / max(1, columns))
    let found = Locked([Int](repeating: 0, count: Self.bins))
    losses.elements.withUnsafeBufferPointer { losses in
      nonisolated(unsafe) let losses = losses
      Parallel.forEach((rows + piece - 1) / piece) { index in
        let places = index * piece * columns..<min(rows, (index + 1) * piece) * columns
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 2 * Self.bins) { counts in
          counts.initialize(repeating: 0)
          for place in places {
            let bin = losses[place] > 0 ? Int(losses[place].bitPattern >> Self.left) : 0
            counts[place & 1 &* Self.bins &+ bin] &+= 1
          }
          found.withLock { sums in
            for bin in 0..<Self.bins { sums[bin] += Int(counts[bin]) + Int(counts[Self.bins + bin]) }
          }
        }
      }
    }
    let histogram = found.withLock { $0 }
    entries.append(Entry(name: name, count: losses.elements.count, histogram: histogram))
  }

  /// The weights that each matrix loses: all that are worth less than one threshold, but in each matrix a share within `spread` of
  /// `share`; in all round(share · weights).
  package func counts(_ share: Double, spread: Double) -> [String: Int] {
    let total = SparsityPattern.dropped(share, of: entries.reduce(0) { $0 + $1.count })
    let least = entries.map { SparsityPattern.dropped(max(0, share - spread), of: $0.count) }
    let most = entries.map { SparsityPattern.dropped(min(1, share + spread), of: $0.count) }
    var below = [Int](repeating: 0, count: entries.count)
    var counts = zip(least, below).map { max($0, $1) }
    for bin in 0..<Self.bins {
      var next = below
      for place in entries.indices { next[place] += entries[place].histogram[bin] }
      let reached = entries.indices.map { min(max(next[$0], least[$0]), most[$0]) }
      guard reached.reduce(0, +) < total else {
        fill(&counts, to: reached, total: total)
        break
      }
      (below, counts) = (next, reached)
    }
    return Dictionary(zip(entries.map(\.name), counts), uniquingKeysWith: { first, _ in first })
  }

  /// Raises counts towards `reached`, evenly, until they add up to `total`.
  private func fill(_ counts: inout [Int], to reached: [Int], total: Int) {
    let (now, then) = (counts.reduce(0, +), reached.reduce(0, +))
    guard then > now else { return }
    let part = Double(total - now) / Double(then - now)
    for place in counts.indices {
      counts[place] += Int((Double(reached[place] - counts[place]) * part).rounded(.down))
    }
    var rest = total - counts.reduce(0, +)
    for place in counts.indices where rest > 0 {
      let more = min(rest, reached[place] - counts[place])
      counts[place] += more
      rest -= more
    }
  }

  /// OWL's share for each block: lower by up to `spread` where more scores are above five times their mean, the mean being `share`.
  package static func owl(outliers: [Double], share: Double, spread: Double) -> [Double] {
    guard let low = outliers.min(), let high = outliers.max(), high > low, !outliers.isEmpty else {
      return outliers.map { _ in share }
    }
    let scaled = outliers.map { 2 * spread * (1 - ($0 - low) / (high - low)) }
    let mean = scaled.reduce(0, +) / Double(scaled.count)
    return scaled.map { min(1, max(0, share + $0 - mean)) }
  }
}
