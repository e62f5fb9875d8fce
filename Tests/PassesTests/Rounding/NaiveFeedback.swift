import Foundation
import Passes
import TensorCore
import WeightCodecs

/// Rounding with error feedback as its papers define it, in double precision and without any blocking.
enum NaiveFeedback {
  /// Optimal brain quantization with a fixed order (GPTQ): a column is rounded, its error spread over the columns that are left by
  /// their part of the inverse, and the column taken out of the inverse by elimination.
  static func round(
    _ weights: [Double], gram: [[Double]], order: [Int], nearest: (Double, Int) -> Double
  ) -> [Double] {
    var (w, inverse) = (weights, inverted(gram))
    var result = weights
    for column in order {
      result[column] = nearest(w[column], column)
      let error = (w[column] - result[column]) / inverse[column][column]
      for j in w.indices { w[j] -= error * inverse[column][j] }
      let pivot = inverse[column]
      for i in w.indices where i != column {
        let factor = inverse[i][column] / pivot[column]
        for j in w.indices { inverse[i][j] -= factor * pivot[j] }
      }
      for j in w.indices where j != column {
        inverse[column][j] = 0
        inverse[j][column] = 0
      }
    }
    return result
  }

  /// Gauss–Jordan with pivots from the diagonal; for positive definite matrices.
  static func inverted(_ matrix: [[Double]]) -> [[Double]] {
    let count = matrix.count
    var (a, b) = (matrix, (0..<count).map { i in (0..<count).map { $0 == i ? 1.0 : 0 } })
    for pivot in 0..<count {
      let scale = 1 / a[pivot][pivot]
      for j in 0..<count {
        a[pivot][j] *= scale
        b[pivot][j] *= scale
      }
      for i in 0..<count where i != pivot {
        let factor = a[i][pivot]
        for j in 0..<count {
          a[i][j] -= factor * a[pivot][j]
          b[i][j] -= factor * b[pivot][j]
        }
      }
    }
    return b
  }

  /// e G eᵀ.
  static func error(_ e: [Double], _ gram: [[Double]]) -> Double {
    var sum = 0.0
    for i in e.indices { for j in e.indices { sum += e[i] * gram[i][j] * e[j] } }
    return sum
  }
}

/// A layer's weights and the covariance of inputs with some large and correlated columns.
struct RoundingCase {
  let weights: Matrix
  let gram: [Float]

  init(rows: Int, columns: Int, tokens: Int, seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    func normal() -> Float {
      let (u, v) = (generator.uniform(), generator.uniform())
      return Float((-2 * log(1 - u)).squareRoot() * cos(2 * .pi * v))
    }
    weights = Matrix(
      rows: rows, columns: columns, elements: (0..<rows * columns).map { _ in 0.05 * normal() })
    let scales = (0..<columns).map { _ in exp(0.7 * normal()) }
    var sums = [Float](repeating: 0, count: columns * columns)
    for _ in 0..<tokens {
      let common = normal()
      let x = scales.map { $0 * (0.6 * common + normal()) }
      for i in 0..<columns { for j in 0..<columns { sums[i * columns + j] += x[i] * x[j] / Float(tokens) } }
    }
    gram = sums
  }

  /// The covariance with the factor's ridge, in double precision.
  func wide(_ ridge: Double) -> [[Double]] {
    let count = weights.columns
    let mean = (0..<count).reduce(0.0) { $0 + Double(gram[$1 * count + $1]) } / Double(count)
    return (0..<count).map { i in
      (0..<count).map { j in Double(gram[i * count + j]) + (i == j ? ridge * mean : 0) }
    }
  }
}
