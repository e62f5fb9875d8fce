import TensorCore

/// How far the weights that suit the compressed model's inputs lie from the original's: V − W = W (C − H)(H + λI)⁻¹ with
/// H = E[x′x′ᵀ] and C = E[x x′ᵀ], V being the least-squares weights for the inputs x′ that a layer will get in place of x.
///
/// Where outputs y = W x are fewer than inputs, W C = E[y x′ᵀ] is observed itself, which is smaller than C.
struct TargetMovement {
  /// (C − H)(H + λI)⁻¹, or nothing.
  private let shift: [Float]
  /// W C, or nothing.
  private let outputs: [Float]
  private let gram: [Float]
  private let factor: FeedbackFactor
  private let count: Int

  /// The movement of layers that saw `observation`; nil where inputs did not move.
  init?(_ observation: LayerObservation, factor: FeedbackFactor) {
    guard !observation.cross.isEmpty else { return nil }
    self.factor = factor
    count = observation.width
    if observation.crossesOutputs {
      (shift, outputs, gram) = ([], observation.cross, observation.gram)
      return
    }
    var rows = observation.cross
    let count = count
    rows.withUnsafeMutableBufferPointer { rows in
      observation.gram.withUnsafeBufferPointer { gram in
        guard let base = rows.baseAddress, let h = gram.baseAddress else { return }
        Kernels.addScaled(-1, h, to: base, count: count * count)
        factor.solve(base, rows: count)
      }
    }
    (shift, outputs, gram) = (rows, [], [])
  }

  /// V − W of `weights`, rows × columns.
  func movement(of weights: Matrix) -> [Float] {
    guard outputs.isEmpty else { return movementByOutputs(weights) }
    return product(weights, shift, scale: 1, onto: [Float](repeating: 0, count: weights.rows * count))
  }

  /// (W C − W H)(H + λI)⁻¹.
  private func movementByOutputs(_ weights: Matrix) -> [Float] {
    var result = product(weights, gram, scale: -1, onto: outputs)
    result.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress { factor.solve(base, rows: weights.rows) }
    }
    return result
  }

  /// start + scale · W · B.
  private func product(_ weights: Matrix, _ b: [Float], scale: Float, onto start: [Float]) -> [Float] {
    var result = start
    let (rows, columns, piece) = (weights.rows, count, 256)
    weights.elements.withUnsafeBufferPointer { w in
      b.withUnsafeBufferPointer { b in
        result.withUnsafeMutableBufferPointer { target in
          guard let w = w.baseAddress, let b = b.baseAddress, let target = target.baseAddress else { return }
          nonisolated(unsafe) let (left, right, sums) = (w, b, target)
          Parallel.forEach((rows + piece - 1) / piece) { index in
            let first = index * piece
            LinearAlgebra.product(
              left + first * columns, columns, right, columns, rows: min(piece, rows - first), inner: columns,
              columns: columns, alpha: scale, beta: 1, into: sums + first * columns, columns)
          }
        }
      }
    }
    return result
  }
}
