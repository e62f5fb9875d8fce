package import TensorCore

/// Which units of a layer's inputs to give up: neurons, or heads.
package struct UnitElimination: Sendable {
  /// How units are judged.
  package enum Importance: String, Sendable, CaseIterable {
    /// The root mean square of a unit's activations: Minitron's (arXiv 2407.14679).
    case activation
    /// The squared error that is left in the layer's outputs when the other units make up for it as well as they can.
    case loss
  }

  /// What reads the units, rows × columns.
  package let weights: Matrix
  /// E[x xᵀ] of the inputs, columns × columns.
  package let gram: [Float]
  /// The columns of a unit.
  package let length: Int

  /// An elimination among the columns of `weights`.
  package init(weights: Matrix, gram: [Float], length: Int) {
    self.weights = weights
    self.gram = gram
    self.length = length
  }

  private var columns: Int { weights.columns }
  private var units: Int { columns / length }
  /// What is added to the diagonal, as a part of its mean.
  private static let ridge = 0.01

  /// The `count` units to keep, ascending.
  ///
  /// - Throws: ``PassError`` when the covariance is not finite.
  package func kept(_ count: Int, by importance: Importance) throws -> [Int] {
    guard count < units else { return Array(0..<units) }
    switch importance {
    case .activation:
      let scores = (0..<units).map { unit in
        (unit * length..<(unit + 1) * length).reduce(0.0) { $0 + Double(gram[$1 * columns + $1]) }
      }
      return Array((0..<units).sorted { (scores[$1], $0) < (scores[$0], $1) }.prefix(count)).sorted()
    case .loss: return try eliminated(to: count)
    }
  }

  /// Optimal brain surgery on whole units: the one whose loss costs least goes, what it did is spread over the others, and so on.
  ///
  /// With P = H⁻¹, losing the columns B costs tr W_B (P_BB)⁻¹ W_Bᵀ at best; W and P lose what belonged to B. A few units go at a
  /// time where there are many.
  private func eliminated(to count: Int) throws -> [Int] {
    let n = columns
    var inverse = try LatticeFactor(gram.map { Double($0) }, count: n, ridge: Self.ridge).inverse()
    var w = weights.elements.map { Double($0) }
    var alive = Array(0..<units)
    let batch = length > 1 ? 1 : max(1, units / 256)
    while alive.count > count {
      let costs = try alive.map { try cost(of: $0, inverse, w) }
      let order = alive.indices.sorted { (costs[$0], $0) < (costs[$1], $1) }
      let gone = order.prefix(min(batch, alive.count - count)).map { alive[$0] }.sorted()
      try eliminate(gone.flatMap { $0 * length..<($0 + 1) * length }, &inverse, &w)
      alive.removeAll { gone.contains($0) }
    }
    return alive
  }

  private func cost(of unit: Int, _ inverse: [Double], _ w: [Double]) throws -> Double {
    let (n, rows, first) = (columns, weights.rows, unit * length)
    if length == 1 {
      let energy = (0..<rows).reduce(0.0) { $0 + w[$1 * n + first] * w[$1 * n + first] }
      return energy / max(inverse[first * n + first], .leastNormalMagnitude)
    }
    var block = [Double](repeating: 0, count: length * length)
    for i in 0..<length {
      for j in 0..<length { block[i * length + j] = inverse[(first + i) * n + first + j] }
    }
    try Self.factor(&block, count: length)
    var part = [Double](repeating: 0, count: rows * length)
    for row in 0..<rows { for i in 0..<length { part[row * length + i] = w[row * n + first + i] } }
    let original = part
    part.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress {
        LinearAlgebra.solve(cholesky: block, count: length, rows: base, rowCount: rows)
      }
    }
    return zip(part, original).reduce(0.0) { $0 + $1.0 * $1.1 }
  }

  private static func factor(_ matrix: inout [Double], count: Int) throws {
    do { try LinearAlgebra.cholesky(&matrix, count: count) } catch {
      throw PassError("a covariance of activations has no Cholesky factor: calibrate on more text")
    }
  }

  /// Takes the columns `gone` out of P and W.
  private func eliminate(_ gone: [Int], _ inverse: inout [Double], _ w: inout [Double]) throws {
    let (n, b) = (columns, gone.count)
    var block = [Double](repeating: 0, count: b * b)
    for i in 0..<b { for j in 0..<b { block[i * b + j] = inverse[gone[i] * n + gone[j]] } }
    try Self.factor(&block, count: b)
    // T = (P_BB)⁻¹ P_B, first as its transpose.
    var side = [Double](repeating: 0, count: n * b)
    for row in 0..<n { for j in 0..<b { side[row * b + j] = inverse[row * n + gone[j]] } }
    let left = side
    side.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress { LinearAlgebra.solve(cholesky: block, count: b, rows: base, rowCount: n) }
    }
    var spread = [Double](repeating: 0, count: b * n)
    for row in 0..<n { for j in 0..<b { spread[j * n + row] = side[row * b + j] } }
    Self.subtract(left, spread, rows: n, inner: b, columns: n, from: &inverse)
    var part = [Double](repeating: 0, count: weights.rows * b)
    for row in 0..<weights.rows { for j in 0..<b { part[row * b + j] = w[row * n + gone[j]] } }
    Self.subtract(part, spread, rows: weights.rows, inner: b, columns: n, from: &w)
  }

  /// c −= a · b, in pieces of rows.
  private static func subtract(
    _ a: [Double], _ b: [Double], rows: Int, inner: Int, columns: Int, from c: inout [Double]
  ) {
    a.withUnsafeBufferPointer { a in
      b.withUnsafeBufferPointer { b in
        c.withUnsafeMutableBufferPointer { c in
          guard let a = a.baseAddress, let b = b.baseAddress, let c = c.baseAddress else { return }
          nonisolated(unsafe) let (left, right, target) = (a, b, c)
          Parallel.forEach((rows + 63) / 64) { piece in
            let first = piece * 64
            LinearAlgebra.product(
              left + first * inner, inner, right, columns, rows: min(64, rows - first), inner: inner,
              columns: columns, alpha: -1, beta: 1, into: target + first * columns, columns)
          }
        }
      }
    }
  }
}

extension LatticeFactor {
  /// (A + λI)⁻¹, row-major.
  func inverse() throws -> [Double] {
    do { return try LinearAlgebra.inverse(ofCholesky: lower, count: count) } catch {
      throw PassError("a covariance of activations has no inverse: calibrate on more text")
    }
  }
}
