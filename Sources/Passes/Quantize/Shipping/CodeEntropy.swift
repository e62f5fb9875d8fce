import Foundation

/// What codes take when each class of columns has a table of its own.
package enum CodeEntropy {
  /// The most classes of columns.
  private static let classes = 16
  /// Bytes that a class's frame and table take, about.
  private static let classBytes = 60.0

  /// The bytes of `codes` (rows × columns, row by row) after entropy coding, columns of like energy together.
  package static func bytes(of codes: [Int32], columns: Int) -> Double {
    guard columns > 0, !codes.isEmpty else { return 0 }
    let rows = codes.count / columns
    var energies = [Double](repeating: 0, count: columns)
    for row in 0..<rows {
      for column in 0..<columns {
        let code = Double(codes[row * columns + column])
        energies[column] += code * code
      }
    }
    let order = energies.indices.sorted { (-energies[$0], $0) < (-energies[$1], $1) }
    let length = max(1, (columns + classes - 1) / classes)
    var (split, all) = (0.0, [Int32: Int]())
    for start in stride(from: 0, to: columns, by: length) {
      var counts: [Int32: Int] = [:]
      for column in order[start..<min(columns, start + length)] {
        for row in 0..<rows { counts[codes[row * columns + column], default: 0] += 1 }
      }
      split += bits(of: counts) / 8 + classBytes
      all.merge(counts, uniquingKeysWith: +)
    }
    return min(split, bits(of: all) / 8 + classBytes)
  }

  /// The bits of symbols with these counts at their entropy.
  package static func bits(of counts: [Int32: Int]) -> Double {
    let total = Double(counts.values.reduce(0, +))
    return counts.sorted { $0.key < $1.key }.reduce(0.0) {
      $0 - Double($1.value) * log2(Double($1.value) / total)
    }
  }
}
