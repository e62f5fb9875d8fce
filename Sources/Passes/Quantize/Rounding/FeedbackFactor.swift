import TensorCore

/// How rounding errors of one column are made up for by columns that are rounded later: H = E[x xᵀ] factored.
///
/// With H = L·Lᵀ in the order of rounding reversed, E (W − Q) H (W − Q)ᵀ = ‖(W − Q) L‖², and column j of (W − Q) L is
/// L_jj (e_j + Σ_{i>j} e_i M_ij) with e = w − q and M = L diag(L)⁻¹. So columns are rounded from the last to the first,
/// each to w_j + Σ_{i>j} e_i M_ij: GPTQ (arXiv 2210.17323) in its form as Babai's nearest plane (arXiv 2507.18553),
/// which needs no inverse of H.
package struct FeedbackFactor: Sendable {
  /// The number of columns.
  package let count: Int
  /// The column that stands at each place; the last place is rounded first.
  package let order: [Int]
  /// M in the order's coordinates: unit lower triangular, row-major.
  package let feedback: [Float]
  /// H with its ridge, in the order's coordinates.
  package let gram: [Float]
  /// 1 / (H⁻¹)_jj for each column in its own place: the error that a column's rounding leaves when later columns help.
  package let conditional: [Float]
  /// L_jj² for each column in its own place: what error feedback in this order leaves of E[x_j²].
  package let residual: [Float]
  /// (C − H)(H + λI)⁻¹ with C = E[x x′ᵀ], in the columns' own order: W + a·W·shift is the target that makes up for the
  /// inputs x′ having moved away from x (a = 1: the least-squares weights for x′). Empty without a cross-Gram matrix.
  package let shift: [Float]
  /// What was added to the diagonal, as a part of its mean.
  package let ridge: Double

  /// The ridges that are tried, one after the other, as parts of the mean of the diagonal.
  package static let ridges = [0.01, 0.1, 1, 10]

  /// Factors `gram`.
  ///
  /// Columns are rounded from the largest diagonal element to the smallest ("activation order"). Columns that were never
  /// active have nothing to do with the others, so they are rounded plainly.
  ///
  /// - Parameter gram: `count` × `count`, symmetric, means over tokens.
  /// - Throws: ``PassError`` when even the largest ridge leaves the matrix without a factor: it holds NaN.
  package init(gram: [Float], cross: [Float]? = nil, count: Int, ridges: [Double] = FeedbackFactor.ridges)
    throws
  {
    let diagonal = (0..<count).map { gram[$0 * count + $0] }
    let mean = diagonal.reduce(0.0) { $0 + Double($1) } / Double(max(1, count))
    let order = (0..<count).sorted { (diagonal[$0], $1) < (diagonal[$1], $0) }
    for ridge in ridges {
      var matrix = [Double](repeating: 0, count: count * count)
      let added = mean > 0 ? ridge * mean : 1
      for i in 0..<count {
        for j in 0..<count { matrix[i * count + j] = Double(gram[order[i] * count + order[j]]) }
        matrix[i * count + i] += added
      }
      let full = matrix.map { Float($0) }
      guard (try? LinearAlgebra.cholesky(&matrix, count: count)) != nil,
        (0..<count).allSatisfy({ matrix[$0 * count + $0].isFinite })
      else { continue }
      self.count = count
      self.order = order
      self.ridge = ridge
      self.gram = full
      var residual = [Float](repeating: 0, count: count)
      for i in 0..<count { residual[order[i]] = Float(matrix[i * count + i] * matrix[i * count + i]) }
      self.residual = residual
      let inverse = (0..<count).map { 1 / matrix[$0 * count + $0] }
      feedback = [Float](unsafeUninitializedCapacity: count * count) { target, size in
        for i in 0..<count {
          for j in 0..<count { target[i * count + j] = Float(matrix[i * count + j] * inverse[j]) }
        }
        size = count * count
      }
      conditional = FeedbackFactor.conditional(matrix, count: count, order: order)
      shift =
        cross.map { FeedbackFactor.shift(gram: gram, cross: $0, factor: matrix, count: count, order: order) }
        ?? []
      return
    }
    throw PassError(
      "the activations' covariance has no Cholesky factor, whatever is added to its diagonal: use --method rtn"
    )
  }

  private static func shift(
    gram: [Float], cross: [Float], factor: [Double], count: Int, order: [Int]
  ) -> [Float] {
    var rows = [Double](repeating: 0, count: count * count)
    for i in 0..<count {
      for j in 0..<count {
        let place = i * count + order[j]
        rows[i * count + j] = Double(cross[place]) - Double(gram[place])
      }
    }
    rows.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress {
        LinearAlgebra.solve(cholesky: factor, count: count, rows: base, rowCount: count)
      }
    }
    var result = [Float](repeating: 0, count: count * count)
    for i in 0..<count {
      for j in 0..<count { result[i * count + order[j]] = Float(rows[i * count + j]) }
    }
    return result
  }

  /// 1 / (H⁻¹)_jj from the factor: H⁻¹ = L⁻ᵀ L⁻¹, so its diagonal is the columns' squares of L⁻¹.
  private static func conditional(_ factor: [Double], count: Int, order: [Int]) -> [Float] {
    var result = [Float](repeating: 0, count: count)
    guard let inverse = try? LinearAlgebra.inverse(ofLowerTriangle: factor, count: count) else {
      return result
    }
    for j in 0..<count {
      var sum = 0.0
      for i in j..<count { sum += inverse[i * count + j] * inverse[i * count + j] }
      result[order[j]] = Float(1 / sum)
    }
    return result
  }
}
