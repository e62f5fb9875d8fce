import Foundation

/// The entropy of rounded Gaussian numbers: what a column of codes takes, before any code was chosen.
package enum GaussianRate {
  /// The entropy, in bits, of a Gaussian number of standard deviation `spread` rounded to integers.
  package static func bits(spread: Double) -> Double {
    guard spread > 0 else { return 0 }
    let place = (log2(spread) - first) * perOctave
    if place <= 0 { return table[0] * spread / exp2(first) }
    // From here on it is that of a density: log2(σ √(2πe)).
    guard place < Double(table.count - 1) else { return log2(spread) + 0.5 * log2(2 * Double.pi * M_E) }
    let (low, part) = (Int(place), place - place.rounded(.down))
    return table[low] * (1 - part) + table[low + 1] * part
  }

  private static let first = -5.0
  private static let perOctave = 8.0
  private static let table: [Double] = (0...64).map { exact(spread: exp2(first + Double($0) / perOctave)) }

  private static func exact(spread: Double) -> Double {
    func below(_ x: Double) -> Double { 0.5 * erfc(-x / (spread * 2.0.squareRoot())) }
    var (sum, code) = (0.0, 0.0)
    while code <= 8 * spread + 2 {
      let p = below(code + 0.5) - below(code - 0.5)
      if p > 0 { sum -= (code == 0 ? 1 : 2) * p * log2(p) }
      code += 1
    }
    return sum
  }
}

/// What the codes of a model's matrices take at any step, by the spread of each column.
package struct RateCurve: Sendable {
  /// The standard deviation of each column's places on a grid of step 1, and the rows that share it.
  package private(set) var columns: [(spread: Double, rows: Double)] = []

  /// No columns.
  package init() {}

  /// Adds a column: `rows` codes at `spread` / step.
  package mutating func add(spread: Double, rows: Int) { columns.append((spread, Double(rows))) }

  /// The bytes of all codes at `step`.
  package func bytes(step: Double) -> Double {
    columns.reduce(0) { $0 + $1.rows * GaussianRate.bits(spread: $1.spread / step) } / 8
  }

  /// The step at which codes take `bytes`, by bisection; nil when none from 2⁻⁴⁰ to 2⁴⁰ times the columns' scale does.
  package func step(bytes: Double) -> Double? {
    let spreads = columns.map(\.spread).filter { $0 > 0 }
    guard let top = spreads.max(), bytes > 0 else { return nil }
    var (low, high) = (log2(top) - 40, log2(top) + 40)
    guard self.bytes(step: exp2(low)) > bytes, self.bytes(step: exp2(high)) < bytes else { return nil }
    for _ in 0..<60 {
      let middle = (low + high) / 2
      if self.bytes(step: exp2(middle)) > bytes { low = middle } else { high = middle }
    }
    return exp2(high)
  }
}
