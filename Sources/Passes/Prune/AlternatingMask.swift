package import TensorCore

/// Masks by alternating directions (ALPS, arXiv 2406.07831), stopped early: weights that fit and weights that are sparse are drawn together.
///
/// In coordinates scaled by √H_jj, with a penalty ρ that stays: W ← (V H + ρ D − U)(H + ρI)⁻¹, D ← the largest of W + U/ρ,
/// U ← U + ρ (W − D), from D = the largest of V and U = 0. As U is ρ (W + U/ρ) where D is zero and zero elsewhere, and
/// V H (H + ρI)⁻¹ = V − ρ V (H + ρI)⁻¹, a step is one product: C ← V − T K + (C where it was dropped), with K = ρ (H + ρI)⁻¹ and
/// T = V + C where dropped, V − C where kept. Few steps find what many do: the weights are fitted to the mask afterwards.
package struct AlternatingMask {
  /// ρ: of the order of the scaled covariance's diagonal, which is 1. A tenth of it never settles.
  package static let penalty = 1.0
  /// The steps that are made.
  package static let steps = 6
  /// What is added to the scaled diagonal.
  package static let ridge = 0.01

  /// √H_jj.
  private let scales: [Float]
  /// K: in half as many bits as the weights, for it only says which of them stay.
  private let inverse: WeightMatrix

  /// What masks for inputs with the covariance `gram` have in common.
  ///
  /// - Parameter gram: columns × columns.
  /// - Throws: ``PassError`` when the covariance is not finite.
  package init(gram: [Float], columns n: Int) throws {
    let scales = (0..<n).map { max(gram[$0 * n + $0], .leastNormalMagnitude).squareRoot() }
    self.scales = scales
    var h = [Double](unsafeUninitializedCapacity: n * n) { target, count in
      nonisolated(unsafe) let target = target
      Parallel.forEach(n) { i in
        for j in 0..<n {
          target[i * n + j] = Double(gram[i * n + j]) / (Double(scales[i]) * Double(scales[j]))
        }
        target[i * n + i] += Self.ridge + Self.penalty
      }
      count = n * n
    }
    do {
      try LinearAlgebra.cholesky(&h, count: n)
      h = try LinearAlgebra.inverse(ofCholesky: h, count: n)
    } catch {
      throw PassError("a covariance of activations has no Cholesky factor: calibrate on more text")
    }
    let numbers = h.map { Float(Self.penalty * $0) }
    let bytes = ByteRegion(count: 2 * n * n) { target in
      if let base = target.baseAddress { Kernels.encode(numbers, as: .bf16, into: base, count: n * n) }
    }
    inverse = WeightMatrix(rows: n, columns: n, format: .bf16, bytes: bytes, roundsActivations: true)
  }

  /// The mask of `target` and the weights that came with it, zero where it drops.
  ///
  /// - Parameter choose: the mask of scores, none negative.
  package func solve(_ target: Matrix, choose: (Matrix) -> PruneMask) -> (mask: PruneMask, weights: Matrix) {
    let (m, n) = (target.rows, target.columns)
    let v = target.scalingColumns(by: scales)
    var candidate = v
    var mask = choose(Self.sizes(v))
    var work = Matrix(rows: m, columns: n)
    let scratch = ActivationScratch()
    for step in 0..<Self.steps {
      // What the first step starts from has no U yet.
      Self.update(&work, v, candidate, mask) { v, c, isDropped in
        isDropped ? (step == 0 ? v : v + c) : v - c
      }
      var change = Matrix(rows: m, columns: n)
      work.elements.withUnsafeBufferPointer { x in
        change.elements.withUnsafeMutableBufferPointer { y in
          if let x = x.baseAddress, let y = y.baseAddress {
            inverse.multiply(x, tokens: m, into: y, scratch: scratch)
          }
        }
      }
      Self.update(&work, v, candidate, mask) { v, c, isDropped in isDropped && step > 0 ? v + c : v }
      Self.subtract(change, from: &work)
      swap(&work, &candidate)
      mask = choose(Self.sizes(candidate))
    }
    return (mask, mask.applied(to: candidate.scalingColumns(by: scales.map { 1 / $0 })))
  }

  private static func sizes(_ matrix: Matrix) -> Matrix {
    var result = matrix
    forEachRow(&result) { line, row in
      for column in 0..<matrix.columns { line[column] = abs(line[column]) }
    }
    return result
  }

  private static func subtract(_ matrix: Matrix, from result: inout Matrix) {
    matrix.elements.withUnsafeBufferPointer { x in
      guard let x = x.baseAddress else { return }
      nonisolated(unsafe) let source = x
      forEachRow(&result) { line, row in
        Kernels.addScaled(-1, source + row * matrix.columns, to: line, count: matrix.columns)
      }
    }
  }

  private static func update(
    _ result: inout Matrix, _ v: Matrix, _ c: Matrix, _ mask: PruneMask,
    _ value: @Sendable (_ v: Float, _ c: Float, _ isDropped: Bool) -> Float
  ) {
    let n = v.columns
    v.elements.withUnsafeBufferPointer { v in
      c.elements.withUnsafeBufferPointer { c in
        mask.dropped.withUnsafeBufferPointer { dropped in
          nonisolated(unsafe) let (v, c, dropped) = (v, c, dropped)
          forEachRow(&result) { line, row in
            for column in 0..<n {
              let place = row * n + column
              line[column] = value(v[place], c[place], dropped[place])
            }
          }
        }
      }
    }
  }

  private static func forEachRow(
    _ matrix: inout Matrix, _ body: @Sendable (UnsafeMutablePointer<Float>, Int) -> Void
  ) {
    let (rows, columns) = (matrix.rows, matrix.columns)
    matrix.elements.withUnsafeMutableBufferPointer {
      guard let base = $0.baseAddress else { return }
      nonisolated(unsafe) let target = base
      Parallel.forEach(rows) { body(target + $0 * columns, $0) }
    }
  }
}
