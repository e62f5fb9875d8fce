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
  /// L_jj² for each column in its own place: what error feedback in this order leaves of E[x_j²].
  package let residual: [Float]
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
  package init(gram: [Float], count: Int, ridges: [Double] = FeedbackFactor.ridges) throws {
    let diagonal = (0..<count).map { gram[$0 * count + $0] }
    let mean = diagonal.reduce(0.0) { $0 + Double($1) } / Double(max(1, count))
    let order = (0..<count).sorted { (diagonal[$0], $1) < (diagonal[$1], $0) }
    for ridge in ridges {
      let added = mean > 0 ? ridge * mean : 1
      var matrix = FeedbackFactor.ordered(gram, order, adding: added)
      guard (try? LinearAlgebra.cholesky(&matrix, count: count)) != nil,
        (0..<count).allSatisfy({ matrix[$0 * count + $0].isFinite })
      else { continue }
      self.count = count
      self.order = order
      self.ridge = ridge
      var residual = [Float](repeating: 0, count: count)
      for i in 0..<count { residual[order[i]] = Float(matrix[i * count + i] * matrix[i * count + i]) }
      self.residual = residual
      feedback = FeedbackFactor.scaled(matrix, count: count)
      // What takes the most memory goes before the next matrix comes.
      matrix = []
      self.gram = FeedbackFactor.ordered(gram, order, adding: Float(added))
      return
    }
    throw PassError(
      "the activations' covariance has no Cholesky factor, whatever is added to its diagonal: use --method rtn"
    )
  }

  /// A symmetric matrix in another order, with something added to its diagonal.
  private static func ordered<Number: BinaryFloatingPoint & Sendable>(
    _ gram: [Float], _ order: [Int], adding: Number
  ) -> [Number] {
    let count = order.count
    return square(count, gram, order) { i, target, gram, order in
      let row = order[i] * count
      for j in 0..<count { target[j] = Number(gram[row + order[j]]) }
      target[i] += adding
    }
  }

  /// L diag(L)⁻¹.
  private static func scaled(_ lower: [Double], count: Int) -> [Float] {
    let inverse = (0..<count).map { 1 / lower[$0 * count + $0] }
    return square(count, lower, inverse) { i, target, lower, inverse in
      for j in 0..<count { target[j] = Float(lower[i * count + j] * inverse[j]) }
    }
  }

  /// A `count` × `count` matrix whose rows `fill` writes on several threads, from two arrays.
  private static func square<Number: Sendable, A: Sendable, B: Sendable>(
    _ count: Int, _ first: [A], _ second: [B],
    fill:
      @Sendable (
        _ row: Int, UnsafeMutablePointer<Number>, UnsafeBufferPointer<A>, UnsafeBufferPointer<B>
      ) -> Void
  ) -> [Number] {
    [Number](unsafeUninitializedCapacity: count * count) { target, size in
      size = count * count
      guard let base = target.baseAddress else { return }
      first.withUnsafeBufferPointer { first in
        second.withUnsafeBufferPointer { second in
          nonisolated(unsafe) let (base, first, second) = (base, first, second)
          Parallel.forEach(count) { row in fill(row, base + row * count, first, second) }
        }
      }
    }
  }
}
