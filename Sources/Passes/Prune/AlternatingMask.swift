package import TensorCore

/// Masks by alternating directions (ALPS, arXiv 2406.07831): weights that fit and weights that are sparse are drawn together until the
/// support stands still.
///
/// In coordinates scaled by √H_jj. W ← (V H + ρ D − U)(H + ρI)⁻¹, D ← the largest of W + U/ρ, U ← U + ρ (W − D); ρ begins at 0.1 and grows
/// every third step by 1.3, 1.2 or 1.1 as more than 10 %, more than 0.5 % or less of the support changed.
package enum AlternatingMask {
  private static let firstPenalty = 0.1
  private static let mostSteps = 120
  /// What is added to the scaled diagonal, which is 1.
  private static let ridge = 0.01

  /// The mask of `target` for inputs with the covariance `gram`.
  ///
  /// - Parameters:
  ///   - gram: columns × columns.
  ///   - rowWeights: what an error in each row's outputs costs, where rows compete.
  ///   - choose: the mask of scores, none negative.
  /// - Throws: ``PassError`` when the covariance is not finite.
  package static func mask(
    of target: Matrix, gram: [Float], rowWeights: [Float]? = nil, choose: (Matrix) -> PruneMask
  ) throws -> PruneMask {
    let (m, n) = (target.rows, target.columns)
    let scales = (0..<n).map { max(gram[$0 * n + $0], .leastNormalMagnitude).squareRoot() }
    var h = [Double](repeating: 0, count: n * n)
    for i in 0..<n {
      for j in 0..<n { h[i * n + j] = Double(gram[i * n + j]) / (Double(scales[i]) * Double(scales[j])) }
      h[i * n + i] += ridge
    }
    let scaled = target.scalingColumns(by: scales)
    let fitted = product(scaled.elements, h.map { Float($0) }, m, n)
    func chosen(_ w: [Float]) -> PruneMask {
      var scores = Matrix(rows: m, columns: n, elements: w.map { abs($0) })
      if let rowWeights {
        for place in scores.elements.indices { scores.elements[place] *= rowWeights[place / n] }
      }
      return choose(scores)
    }
    var mask = chosen(scaled.elements)
    var d = mask.applied(to: scaled).elements
    var u = [Float](repeating: 0, count: m * n)
    var (rho, last) = (firstPenalty, mask)
    let kept = max(1, m * n - mask.count)
    var inverse = try inverse(h, n, adding: rho)
    for step in 1...mostSteps {
      let penalty = Float(rho)
      var right = fitted
      for place in right.indices { right[place] += penalty * d[place] - u[place] }
      let w = product(right, inverse, m, n)
      var candidate = w
      for place in candidate.indices { candidate[place] += u[place] / penalty }
      mask = chosen(candidate)
      for place in d.indices {
        d[place] = mask.dropped[place] ? 0 : candidate[place]
        u[place] += penalty * (w[place] - d[place])
      }
      guard step % 3 == 0 else { continue }
      let changes = zip(mask.dropped, last.dropped).reduce(0) { $0 + ($1.0 != $1.1 && $1.1 ? 1 : 0) }
      if changes == 0 { break }
      last = mask
      let share = Double(changes) / Double(kept)
      rho *= share > 0.1 ? 1.3 : share > 0.005 ? 1.2 : 1.1
      if share < 0.001 { break }
      inverse = try Self.inverse(h, n, adding: rho)
    }
    return mask
  }

  private static func inverse(_ h: [Double], _ n: Int, adding rho: Double) throws -> [Float] {
    var matrix = h
    for place in 0..<n { matrix[place * n + place] += rho }
    do {
      try LinearAlgebra.cholesky(&matrix, count: n)
      return try LinearAlgebra.inverse(ofCholesky: matrix, count: n).map { Float($0) }
    } catch {
      throw PassError("a covariance of activations has no Cholesky factor: calibrate on more text")
    }
  }

  private static func product(_ a: [Float], _ b: [Float], _ rows: Int, _ n: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: rows * n) { target, count in
      a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
          guard let a = a.baseAddress, let b = b.baseAddress, let c = target.baseAddress else { return }
          LinearAlgebra.multiply(a, b, transposed: false, rows: rows, inner: n, columns: n, into: c)
        }
      }
      count = rows * n
    }
  }
}
