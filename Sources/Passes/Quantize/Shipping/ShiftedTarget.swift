package import TensorCore

/// The weights that suit the compressed model's inputs: V = W + a·W·(C − H)(H + λI)⁻¹ with H = E[x′x′ᵀ] and C = E[x x′ᵀ].
///
/// a = 1 gives the least-squares weights for the inputs x′ that the layer will get in place of x. Less follows the sample less.
package struct ShiftedTarget: Sendable {
  /// How far targets are moved.
  package static let blend = 0.5
  /// λ as a part of the mean of H's diagonal.
  private static let ridge = 0.03

  /// (C − H)(H + λI)⁻¹, row-major.
  private let shift: [Double]
  private let count: Int

  /// The shift of layers that saw `gram` and `cross`, each `count` × `count`.
  package init(gram: [Float], cross: [Float], count: Int) throws {
    let factor = try LatticeFactor(gram.map { Double($0) }, count: count, ridge: ShiftedTarget.ridge)
    var rows = zip(cross, gram).map { Double($0) - Double($1) }
    rows.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress {
        LinearAlgebra.solve(cholesky: factor.lower, count: count, rows: base, rowCount: count)
      }
    }
    shift = rows
    self.count = count
  }

  /// V of `weights`.
  package func target(_ weights: Matrix) -> Matrix {
    let moved = LinearAlgebra.multiply(
      weights.elements.map { Double($0) }, shift, rows: weights.rows, inner: count, columns: count)
    var result = weights
    for place in moved.indices { result.elements[place] += Float(ShiftedTarget.blend * moved[place]) }
    return result
  }
}
