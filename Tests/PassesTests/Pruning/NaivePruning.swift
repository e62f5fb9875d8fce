import Foundation
import TensorCore

/// SparseGPT and ALPS as their papers define them: in double precision, without blocking, one row after the other.
enum NaivePruning {
  /// SparseGPT, algorithm 1: `dropsPerGroup` of each `length` columns, or `share` of each 128 columns over all rows.
  static func sparseGPT(
    _ weights: Matrix, gram: [[Double]], share: Double?, dropsPerGroup: Int = 0, length: Int = 128
  ) -> [[Double]] {
    let n = weights.columns
    var rows = (0..<weights.rows).map { weights.row($0).map { Double($0) } }
    let steps = eliminations(gram)
    var dropped = rows.map { _ in [Bool](repeating: false, count: n) }
    for j in 0..<n {
      if j % length == 0 {
        let group = j..<min(j + length, n)
        let scores = rows.map { w in group.map { w[$0] * w[$0] / steps[$0][$0] } }
        if let share {
          let count = Int((share * Double(rows.count * group.count)).rounded(.toNearestOrAwayFromZero))
          let places = rows.indices.flatMap { row in group.indices.map { (row, $0 - group.lowerBound) } }
          let order = places.indices.sorted {
            let (a, b) = (scores[places[$0].0][places[$0].1], scores[places[$1].0][places[$1].1])
            return (a, $0) < (b, $1)
          }
          for index in order.prefix(count) { dropped[places[index].0][j + places[index].1] = true }
        } else {
          for row in rows.indices {
            let order = scores[row].indices.sorted { (scores[row][$0], $0) < (scores[row][$1], $1) }
            // A shorter rest of a row keeps its part, rounded up.
            let kept = (group.count * (length - dropsPerGroup) + length - 1) / length
            for place in order.prefix(group.count - kept) { dropped[row][j + place] = true }
          }
        }
      }
      for row in rows.indices where dropped[row][j] {
        let error = rows[row][j] / steps[j][j]
        for k in j..<n { rows[row][k] -= error * steps[j][k] }
        rows[row][j] = 0
      }
    }
    return rows
  }

  /// For each column its row of the inverse when all columns before it have been eliminated.
  private static func eliminations(_ gram: [[Double]]) -> [[Double]] {
    var inverse = NaiveFeedback.inverted(gram)
    var result: [[Double]] = []
    for j in gram.indices {
      result.append(inverse[j])
      let pivot = inverse[j]
      for i in gram.indices where i != j {
        let factor = inverse[i][j] / pivot[j]
        for k in gram.indices { inverse[i][k] -= factor * pivot[k] }
      }
    }
    return result
  }

  /// ALPS's support: scores |·| of W + U/ρ, the lowest `drop(scores)` dropped.
  static func alternating(
    _ weights: Matrix, pull: [Float]? = nil, gram: [Float], penalty rho: Double, steps: Int, ridge: Double,
    drop: ([[Double]]) -> [[Bool]]
  ) -> (mask: [[Bool]], weights: [[Double]]) {
    let (m, n) = (weights.rows, weights.columns)
    let scale = (0..<n).map { Double(gram[$0 * n + $0]).squareRoot() }
    let h = (0..<n).map { i in
      (0..<n).map { Double(gram[i * n + $0]) / scale[i] / scale[$0] + (i == $0 ? ridge : 0) }
    }
    func times(_ a: [[Double]], _ b: [[Double]]) -> [[Double]] {
      a.map { row in (0..<n).map { j in (0..<n).reduce(0.0) { $0 + row[$1] * b[$1][j] } } }
    }
    let w0 = (0..<m).map { row in (0..<n).map { Double(weights[row, $0]) * scale[$0] } }
    var fitted = times(w0, h)
    if let pull {
      for i in 0..<m { for j in 0..<n { fitted[i][j] += Double(pull[i * n + j]) / scale[j] } }
    }
    let inverse = NaiveFeedback.inverted(
      (0..<n).map { i in (0..<n).map { h[i][$0] + (i == $0 ? rho : 0) } })
    var mask = drop(w0.map { $0.map { abs($0) } })
    var d = zip(w0, mask).map { zip($0, $1).map { $1 ? 0 : $0 } }
    var u = w0.map { $0.map { _ in 0.0 } }
    for _ in 0..<steps {
      let right = (0..<m).map { i in (0..<n).map { fitted[i][$0] + rho * d[i][$0] - u[i][$0] } }
      let w = times(right, inverse)
      let candidate = (0..<m).map { i in (0..<n).map { w[i][$0] + u[i][$0] / rho } }
      mask = drop(candidate.map { $0.map { abs($0) } })
      for i in 0..<m {
        for j in 0..<n {
          d[i][j] = mask[i][j] ? 0 : candidate[i][j]
          u[i][j] += rho * (w[i][j] - d[i][j])
        }
      }
    }
    return (mask, d.map { row in zip(row, scale).map { $0 / $1 } })
  }
}
