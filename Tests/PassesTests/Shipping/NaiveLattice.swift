import Passes
import TensorCore

/// Small matrices and what the definitions say about them, in double precision, by dense elimination.
enum NaiveLattice {
  static func random(_ count: Int, _ generator: inout SeededGenerator) -> [Double] {
    (0..<count).map { _ in generator.uniform() * 2 - 1 }
  }

  /// A covariance of `samples` random vectors; singular where there are fewer than `count`.
  static func covariance(_ count: Int, samples: Int, _ generator: inout SeededGenerator) -> [Double] {
    let x = random(samples * count, &generator)
    var result = [Double](repeating: 0, count: count * count)
    for i in 0..<count {
      for j in 0..<count {
        for t in 0..<samples {
          result[i * count + j] += x[t * count + i] * x[t * count + j] / Double(samples)
        }
      }
    }
    return result
  }

  /// tr G E H Eᵀ for E = V − Q, rows × columns.
  static func loss(_ error: [Double], _ g: [Double], _ h: [Double], rows: Int, columns: Int) -> Double {
    var sum = 0.0
    for a in 0..<rows {
      for b in 0..<rows where g[a * rows + b] != 0 {
        for i in 0..<columns {
          for j in 0..<columns {
            sum += g[a * rows + b] * error[b * columns + i] * h[i * columns + j] * error[a * columns + j]
          }
        }
      }
    }
    return sum
  }

  /// G as a full matrix.
  static func full(_ cost: OutputCost) -> [Double] {
    switch cost {
    case .full(let factor): return factor.matrix
    case .rows(let weights):
      var result = [Double](repeating: 0, count: weights.count * weights.count)
      for (place, weight) in weights.enumerated() { result[place * weights.count + place] = weight }
      return result
    }
  }

  /// Codes from the definition: weights are taken from the last column to the first, rows from the last to the first, and each
  /// becomes the code nearest to where it would be best if all that are not yet rounded were free to follow.
  static func codes(
    _ target: [Double], _ cost: OutputCost, _ h: [Double], rows: Int, columns: Int, rowScales: [Float],
    columnScales: [Float]
  ) -> [Int32] {
    let count = rows * columns
    let g = full(cost)
    // The quadratic form over all weights: K[(a,i),(b,j)] = G_ab H_ij.
    func k(_ p: Int, _ q: Int) -> Double {
      g[p / columns * rows + q / columns] * h[p % columns * columns + q % columns]
    }
    let order = (0..<columns).reversed().flatMap { column in
      (0..<rows).reversed().map { row in row * columns + column }
    }
    var (codes, errors) = ([Int32](repeating: 0, count: count), [Double](repeating: 0, count: count))
    for (step, place) in order.enumerated() {
      let decided = Array(order[..<step])
      let open = Array(order[step...])
      // K_oo e_o = −K_od e_d: the errors that would be best for all that is open; the first is this weight's.
      var system = open.map { p in open.map { k(p, $0) } }
      var right = open.map { p in -decided.reduce(0.0) { $0 + k(p, $1) * errors[$1] } }
      solve(&system, &right)
      let scale = Double(rowScales[place / columns]) * Double(columnScales[place % columns])
      let code = ((target[place] - right[0]) / scale).rounded(.toNearestOrEven)
      codes[place] = Int32(code)
      errors[place] = target[place] - code * scale
    }
    return codes
  }

  /// Gaussian elimination with pivots; the solution replaces `right`.
  static func solve(_ matrix: inout [[Double]], _ right: inout [Double]) {
    let n = right.count
    for column in 0..<n {
      let pivot = (column..<n).max { abs(matrix[$0][column]) < abs(matrix[$1][column]) } ?? column
      matrix.swapAt(column, pivot)
      right.swapAt(column, pivot)
      for row in column + 1..<n {
        let factor = matrix[row][column] / matrix[column][column]
        for place in column..<n { matrix[row][place] -= factor * matrix[column][place] }
        right[row] -= factor * right[column]
      }
    }
    for row in (0..<n).reversed() {
      for column in row + 1..<n { right[row] -= matrix[row][column] * right[column] }
      right[row] /= matrix[row][row]
    }
  }
}
