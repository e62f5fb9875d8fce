package import TensorCore

/// Weights for what is left of a layer's inputs, by least squares: the layer's outputs stay as near to the original's as they can.
///
/// With x the original's inputs, x′ the smaller model's and S the columns that are left, V minimises
/// E‖W((1 − a) x′ + a x) − V x′_S‖² + λ‖V − W_S‖²: V = (W((1 − a) H + a C)_S + λ W_S)(H_SS + λI)⁻¹, H = E[x′x′ᵀ], C = E[x x′ᵀ].
package struct InputRepair {
  /// A choice of a and of λ as a part of the mean of H's diagonal.
  package struct Choice: Sendable, Equatable {
    package var blend: Double
    package var ridge: Double

    package init(blend: Double, ridge: Double) {
      self.blend = blend
      self.ridge = ridge
    }
  }

  /// The result: V with zeros in the columns that are cut.
  package struct Result {
    package var weights: Matrix
    /// Nil where the original weights were best.
    package var choice: Choice?
    /// The errors on held-out tokens, of the result and of the plain cut.
    package var error, plainError: Double?
  }

  let weights: Matrix
  let observation: LayerObservation
  let kept: [Int]

  /// A repair of `weights`, whose columns `kept` are left.
  package init(_ weights: Matrix, observation: LayerObservation, kept: [Int]) {
    self.weights = weights
    self.observation = observation
    self.kept = kept
  }

  /// The choices that are tried.
  private static let choices = [0.01, 0.1].flatMap { ridge in
    [0, 0.5, 1].map { Choice(blend: $0, ridge: ridge) }
  }

  /// The plain cut.
  package var plain: Matrix {
    var result = Matrix(rows: weights.rows, columns: weights.columns)
    for row in 0..<weights.rows { for column in kept { result[row, column] = weights[row, column] } }
    return result
  }

  /// The best on held-out tokens, the plain cut included; without any, the plain least squares.
  package func best() throws -> Result {
    let plain = plain
    let isWhole = kept.count == weights.columns
    guard observation.tokens > 0, !(isWhole && observation.cross.isEmpty) else {
      return Result(weights: plain)
    }
    let products = (own: product(observation.gram), other: otherProduct())
    let reference = RoundingSample.outputs(weights, inputs: observation.heldOut.original)
    let energy = reference.reduce(0.0) { $0 + Double($1) * Double($1) }
    func error(_ matrix: Matrix) -> Double? {
      guard energy > 0 else { return nil }
      let outputs = RoundingSample.outputs(matrix, inputs: observation.heldOut.compressed)
      return zip(reference, outputs).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) } / energy
    }
    let plainError = error(plain)
    guard plainError != nil else {
      let choice = Choice(blend: products.other == nil ? 0 : 1, ridge: 0.01)
      return Result(weights: try solved(choice, products), choice: choice)
    }
    var best = Result(weights: plain, error: plainError, plainError: plainError)
    for choice in Self.choices where products.other != nil || choice.blend == 0 {
      if isWhole, choice.blend == 0 { continue }
      let matrix = try solved(choice, products)
      if let found = error(matrix), let old = best.error, found < old {
        best = Result(weights: matrix, choice: choice, error: found, plainError: plainError)
      }
    }
    return best
  }

  /// V of one choice.
  package func solved(_ choice: Choice) throws -> Matrix {
    try solved(choice, (own: product(observation.gram), other: otherProduct()))
  }

  private func solved(_ choice: Choice, _ products: (own: [Float], other: [Float]?)) throws -> Matrix {
    let (n, s, rows) = (weights.columns, kept.count, weights.rows)
    guard s > 0 else { return plain }
    let mean = observation.diagonal.reduce(0.0) { $0 + Double($1) } / Double(max(1, n))
    let ridge = mean > 0 ? choice.ridge * mean : 1
    var system = [Double](repeating: 0, count: s * s)
    for (i, a) in kept.enumerated() {
      for (j, b) in kept.enumerated() { system[i * s + j] = Double(observation.gram[a * n + b]) }
      system[i * s + i] += ridge
    }
    do { try LinearAlgebra.cholesky(&system, count: s) } catch {
      throw PassError("the activations' covariance has no Cholesky factor: calibrate on more text")
    }
    var right = [Double](repeating: 0, count: rows * s)
    let a = products.other == nil ? 0 : choice.blend
    for row in 0..<rows {
      for (j, column) in kept.enumerated() {
        let place = row * n + column
        right[row * s + j] =
          (1 - a) * Double(products.own[place]) + a * Double(products.other?[place] ?? 0)
          + ridge * Double(weights.elements[place])
      }
    }
    right.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress {
        LinearAlgebra.solve(cholesky: system, count: s, rows: base, rowCount: rows)
      }
    }
    var result = Matrix(rows: rows, columns: n)
    for row in 0..<rows {
      for (j, column) in kept.enumerated() { result[row, column] = Float(right[row * s + j]) }
    }
    return result
  }

  /// W C, or nil where inputs are the original's.
  private func otherProduct() -> [Float]? {
    guard !observation.cross.isEmpty else { return nil }
    return observation.crossesOutputs ? observation.cross : product(observation.cross)
  }

  private func product(_ b: [Float]) -> [Float] {
    let (rows, n) = (weights.rows, weights.columns)
    return [Float](unsafeUninitializedCapacity: rows * n) { target, count in
      weights.elements.withUnsafeBufferPointer { w in
        b.withUnsafeBufferPointer { b in
          guard let w = w.baseAddress, let b = b.baseAddress, let target = target.baseAddress else { return }
          LinearAlgebra.multiply(w, b, transposed: false, rows: rows, inner: n, columns: n, into: target)
        }
      }
      count = rows * n
    }
  }
}
