import TensorCore

extension FeedbackFactor {
  /// Rows that are solved for together, and columns of a block between two products with the others.
  private static let (pieceRows, blockColumns) = (128, 128)

  /// Replaces each row r of `rows` by r (H + λI)⁻¹, in the columns' own order.
  ///
  /// With H + λI = M D² Mᵀ, D = diag(L): first z Mᵀ = r, from the first block of columns to the last, then y M = z D⁻², from
  /// the last to the first. Single precision throughout: what is off is off where H says that it hardly counts.
  ///
  /// - Parameter rows: `count` numbers each.
  package func solve(_ rows: UnsafeMutablePointer<Float>, rows rowCount: Int) {
    let inverses = stride(from: 0, to: count, by: Self.blockColumns).map { inverse(ofBlock: $0) }
    let pivots = order.map { 1 / residual[$0] }
    nonisolated(unsafe) let base = rows
    Parallel.forEach((rowCount + Self.pieceRows - 1) / Self.pieceRows) { index in
      let (first, height) = (index * Self.pieceRows, min(Self.pieceRows, rowCount - index * Self.pieceRows))
      withUnsafeTemporaryAllocation(of: Float.self, capacity: height * (count + Self.blockColumns)) {
        memory in
        guard let x = memory.baseAddress else { return }
        for row in 0..<height {
          for place in 0..<count { x[row * count + place] = base[(first + row) * count + order[place]] }
        }
        substitute(x, height, scratch: x + height * count, inverses, forwards: true)
        for row in 0..<height {
          for place in 0..<count { x[row * count + place] *= pivots[place] }
        }
        substitute(x, height, scratch: x + height * count, inverses, forwards: false)
        for row in 0..<height {
          for place in 0..<count { base[(first + row) * count + order[place]] = x[row * count + place] }
        }
      }
    }
  }

  /// z Mᵀ = x, or y M = x, in place.
  private func substitute(
    _ x: UnsafeMutablePointer<Float>, _ height: Int, scratch: UnsafeMutablePointer<Float>,
    _ inverses: [[Float]], forwards: Bool
  ) {
    let (count, size) = (count, Self.blockColumns)
    feedback.withUnsafeBufferPointer { feedback in
      guard let m = feedback.baseAddress else { return }
      for index in forwards ? Array(inverses.indices) : inverses.indices.reversed() {
        let start = index * size
        let width = min(size, count - start)
        let done = forwards ? 0..<start : start + width..<count
        if !done.isEmpty {
          // M[block, done]ᵀ, or M[done, block].
          LinearAlgebra.product(
            x + done.lowerBound, count,
            forwards ? m + start * count : m + done.lowerBound * count + start, count, transposed: forwards,
            rows: height, inner: done.count, columns: width, alpha: -1, beta: 1, into: x + start, count)
        }
        inverses[index].withUnsafeBufferPointer { inverse in
          guard let inverse = inverse.baseAddress else { return }
          LinearAlgebra.product(
            x + start, count, inverse, width, transposed: forwards, rows: height, inner: width,
            columns: width, into: scratch, width)
        }
        for row in 0..<height { (x + row * count + start).update(from: scratch + row * width, count: width) }
      }
    }
  }

  /// The inverse of a block on M's diagonal, which is unit lower triangular; in double precision on the way.
  private func inverse(ofBlock start: Int) -> [Float] {
    let width = min(Self.blockColumns, count - start)
    var inverse = [Double](repeating: 0, count: width * width)
    for row in 0..<width {
      inverse[row * width + row] = 1
      for k in 0..<row {
        let factor = Double(feedback[(start + row) * count + start + k])
        guard factor != 0 else { continue }
        for column in 0...k { inverse[row * width + column] -= factor * inverse[k * width + column] }
      }
    }
    return inverse.map { Float($0) }
  }
}
