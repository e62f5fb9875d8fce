import Models
package import TensorCore
import WeightCodecs

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
  /// The steps where weights compete over a whole matrix: one more changes nothing there.
  package static let shareSteps = 3
  /// What is added to the scaled diagonal.
  package static let ridge = 0.01

  /// √H_jj.
  private let scales: [Float]
  /// K without its diagonal, in 8 bits where rows have whole blocks: it only says which weights stay.
  private let inverse: WeightMatrix
  /// K_jj, which is far larger than the rest of its row.
  private let diagonal: [Float]

  /// What masks for inputs with the covariance `gram` have in common.
  ///
  /// - Parameter gram: columns × columns.
  /// - Throws: ``PassError`` when the covariance is not finite.
  package init(gram: [Float], columns n: Int) throws {
    let scales = (0..<n).map { max(gram[$0 * n + $0], .leastNormalMagnitude).squareRoot() }
    self.scales = scales
    var h = [Float](unsafeUninitializedCapacity: n * n) { target, count in
      nonisolated(unsafe) let target = target
      let factors = scales.map { 1 / $0 }
      Parallel.forEach(n) { i in
        for j in 0..<n { target[i * n + j] = gram[i * n + j] * factors[i] * factors[j] }
        target[i * n + i] += Float(Self.ridge + Self.penalty)
      }
      count = n * n
    }
    do { try LinearAlgebra.invert(&h, count: n) } catch {
      throw PassError("a covariance of activations has no Cholesky factor: calibrate on more text")
    }
    diagonal = (0..<n).map { h[$0 * n + $0] * Float(Self.penalty) }
    h.withUnsafeMutableBufferPointer { h in
      guard let base = h.baseAddress else { return }
      nonisolated(unsafe) let numbers = base
      Parallel.forEach(n) { row in
        Kernels.scale(numbers + row * n, by: Float(Self.penalty), count: n)
        numbers[row * n + row] = 0
      }
    }
    let format = n % TensorFormat.q8_0.blockSize == 0 ? TensorFormat.q8_0 : .bf16
    let bytes = try TensorCoding.encode(Matrix(rows: n, columns: n, elements: h), format: format)
    inverse = WeightMatrix(rows: n, columns: n, format: format, bytes: bytes, roundsActivations: true)
  }

  /// The mask of weights and the weights that came with it, zero where it drops.
  ///
  /// Where V is to be W + R H⁻¹, V need not be known: V H = W H + R, so C ← W − (T − R / ρ) K + …, with W in place of V in T.
  ///
  /// - Parameters:
  ///   - weights: W, rows × columns.
  ///   - pull: R, as many numbers, or nothing.
  ///   - steps: how many are made.
  ///   - choose: the mask of scores, of which only sizes count.
  package func solve(
    _ weights: Matrix, pull: [Float] = [], steps: Int = AlternatingMask.steps, choose: (Matrix) -> PruneMask
  ) -> (mask: PruneMask, weights: Matrix) {
    let (m, n, size) = (weights.rows, weights.columns, weights.elements.count)
    var candidate = weights
    Self.forEachRow(of: &candidate) { _, c in
      scales.withUnsafeBufferPointer { s in for column in 0..<n { c[column] *= s[column] } }
    }
    let (v, work, change, scratch) = (
      FloatBuffer(count: size, isZeroed: false), FloatBuffer(count: size, isZeroed: false),
      FloatBuffer(count: size, isZeroed: false), ActivationScratch()
    )
    candidate.elements.withUnsafeBufferPointer {
      if let base = $0.baseAddress { v.base.update(from: base, count: size) }
    }
    let pulled = scaled(pull)
    var mask = choose(candidate)
    // T before there is a U: what is dropped.
    mask.forEachRow { row, marks in
      let (t, v) = (work.base + row * n, v.base + row * n)
      for column in 0..<n { t[column] = Self.kept(marks[column], v[column]) }
      pulled?.subtract(row, from: t, count: n)
    }
    for step in 0..<steps {
      inverse.multiply(work.base, tokens: m, into: change.base, scratch: scratch)
      candidate.elements.withUnsafeMutableBufferPointer {
        guard let base = $0.baseAddress else { return }
        nonisolated(unsafe) let candidate = base
        let diagonal = diagonal
        mask.forEachRow { row, marks in
          let c = candidate + row * n
          let (v, t, change) = (v.base + row * n, work.base + row * n, change.base + row * n)
          for column in 0..<n {
            let old = step > 0 ? Self.kept(marks[column], c[column]) : 0
            c[column] = v[column] - change[column] - t[column] * diagonal[column] + old
          }
        }
      }
      mask = choose(candidate)
      guard step + 1 < steps else { break }
      candidate.elements.withUnsafeBufferPointer {
        guard let base = $0.baseAddress else { return }
        nonisolated(unsafe) let candidate = base
        mask.forEachRow { row, marks in
          let (t, v, c) = (work.base + row * n, v.base + row * n, candidate + row * n)
          // C's sign is turned where it stays.
          for column in 0..<n {
            let sign = (UInt32(marks[column]) &- 1) & 0x8000_0000
            t[column] = v[column] + Float(bitPattern: c[column].bitPattern ^ sign)
          }
          pulled?.subtract(row, from: t, count: n)
        }
      }
    }
    let back = scales.map { 1 / $0 }
    Self.forEachRow(of: &candidate) { _, c in
      back.withUnsafeBufferPointer { s in for column in 0..<n { c[column] *= s[column] } }
    }
    mask.clear(&candidate.elements)
    return (mask, candidate)
  }

  /// R / ρ in scaled coordinates.
  private func scaled(_ pull: [Float]) -> FloatBuffer? {
    guard !pull.isEmpty else { return nil }
    let (n, result) = (scales.count, FloatBuffer(count: pull.count, isZeroed: false))
    let factors = scales.map { Float(1 / Self.penalty) / $0 }
    Parallel.forEach(pull.count / n) { row in
      for column in 0..<n { result.base[row * n + column] = pull[row * n + column] * factors[column] }
    }
    return result
  }

  /// `value` where a mark is 1, else zero; without a jump.
  private static func kept(_ mark: UInt8, _ value: Float) -> Float {
    Float(bitPattern: value.bitPattern & (0 &- UInt32(mark)))
  }

  private static func forEachRow(
    of matrix: inout Matrix, _ body: @Sendable (_ row: Int, _ numbers: UnsafeMutablePointer<Float>) -> Void
  ) {
    let (rows, columns) = (matrix.rows, matrix.columns)
    matrix.elements.withUnsafeMutableBufferPointer {
      guard let base = $0.baseAddress else { return }
      nonisolated(unsafe) let numbers = base
      Parallel.forEach(rows) { row in body(row, numbers + row * columns) }
    }
  }
}

extension FloatBuffer {
  fileprivate func subtract(_ row: Int, from line: UnsafeMutablePointer<Float>, count: Int) {
    Kernels.addScaled(-1, base + row * count, to: line, count: count)
  }
}
