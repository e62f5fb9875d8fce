package import TensorCore

/// Masks by alternating directions (ALPS, arXiv 2406.07831), stopped early: weights that fit and weights that are sparse are drawn together.
///
/// In coordinates scaled by √H_jj, with a penalty ρ that stays: W ← (V H + ρ D − U)(H + ρI)⁻¹, D ← the largest of W + U/ρ,
/// U ← U + ρ (W − D), from D = the largest of V and U = 0. As U is ρ (W + U/ρ) where D is zero and zero elsewhere, and
/// V H (H + ρI)⁻¹ = V − ρ V (H + ρI)⁻¹, a step is one product: C ← V − T K + (C where it was dropped), with K = ρ (H + ρI)⁻¹ and
/// T = V + C where dropped, V − C where kept. Few steps find what many do: the weights are fitted to the mask afterwards.
package struct AlternatingMask {
  /// ρ: of the order of the scaled covariance's diagonal, which is 1. Masks that begin at a fifth of it and go on do not settle.
  package static let penalty = 0.5
  /// The steps that are made.
  package static let steps = 4
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
    // C, and T; there is no U before the first step.
    var (candidate, mask) = (v, choose(Self.sizes(v)))
    var work = v
    mask.inverted.clear(&work.elements)
    let scratch = ActivationScratch()
    for step in 0..<Self.steps {
      let change = Matrix(
        rows: m, columns: n,
        elements: [Float](unsafeUninitializedCapacity: m * n) { y, count in
          count = m * n
          work.elements.withUnsafeBufferPointer { x in
            guard let x = x.baseAddress, let y = y.baseAddress else { return }
            inverse.multiply(x, tokens: m, into: y, scratch: scratch)
          }
        })
      Self.forEachRow(&candidate, v, change, mask) { c, v, change, marks in
        for column in 0..<n {
          let old = step > 0 ? Self.kept(marks[column], c[column]) : 0
          c[column] = v[column] - change[column] + old
        }
      }
      mask = choose(Self.sizes(candidate))
      guard step + 1 < Self.steps else { break }
      Self.forEachRow(&work, v, candidate, mask) { t, v, c, marks in
        // C's sign is turned where it stays.
        for column in 0..<n {
          t[column] =
            v[column]
            + Float(bitPattern: c[column].bitPattern ^ (UInt32(marks[column]) &- 1) & 0x8000_0000)
        }
      }
    }
    let back = scales.map { 1 / $0 }
    return (mask, mask.applied(to: candidate.scalingColumns(by: back)))
  }

  /// `value` where a mark is 1, else zero; without a jump.
  private static func kept(_ mark: UInt8, _ value: Float) -> Float {
    Float(bitPattern: value.bitPattern & (0 &- UInt32(mark)))
  }

  private static func sizes(_ matrix: Matrix) -> Matrix {
    var result = matrix
    let columns = matrix.columns
    result.elements.withUnsafeMutableBufferPointer {
      guard let base = $0.baseAddress else { return }
      nonisolated(unsafe) let target = base
      Parallel.forEach(matrix.rows) { row in
        for place in row * columns..<(row + 1) * columns { target[place] = abs(target[place]) }
      }
    }
    return result
  }

  /// Calls `body` with each row of three matrices and of a mask.
  private static func forEachRow(
    _ result: inout Matrix, _ first: Matrix, _ second: Matrix, _ mask: PruneMask,
    _ body:
      @Sendable (
        _ result: UnsafeMutablePointer<Float>, _ first: UnsafePointer<Float>, _ second: UnsafePointer<Float>,
        _ marks: UnsafePointer<UInt8>
      ) -> Void
  ) {
    let (rows, columns) = (result.rows, result.columns)
    result.elements.withUnsafeMutableBufferPointer { result in
      first.elements.withUnsafeBufferPointer { first in
        second.elements.withUnsafeBufferPointer { second in
          mask.withMarks { marks in
            guard let r = result.baseAddress, let a = first.baseAddress, let b = second.baseAddress else {
              return
            }
            nonisolated(unsafe) let (target, left, right, marks) = (r, a, b, marks)
            Parallel.forEach(rows) { row in
              let start = row * columns
              body(target + start, left + start, right + start, marks + start)
            }
          }
        }
      }
    }
  }
}
