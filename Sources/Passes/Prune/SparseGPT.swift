package import TensorCore

/// SparseGPT (arXiv 2301.00774, algorithm 1): columns from the first to the last, masks chosen when their block is reached, and what a
/// dropped weight did is made up for by the columns behind it.
package enum SparseGPT {
  /// The columns of a block, whose masks are chosen together where there are no groups.
  package static let blockColumns = 128
  private static let pieceRows = 64

  /// `weights` pruned for inputs with the covariance `gram`.
  ///
  /// - Parameters:
  ///   - gram: columns × columns, with its ridge.
  ///   - pattern: a share is taken of each block, over all rows; groups in each row.
  /// - Throws: ``PassError`` when the covariance has no Cholesky factor.
  package static func pruned(_ weights: Matrix, gram: [Double], pattern: SparsityPattern) throws -> Matrix {
    let (rows, n) = (weights.rows, weights.columns)
    let upper = try upperFactor(gram, count: n)
    var work = weights.elements.map { Double($0) }
    var block = blockColumns
    if case .groups(_, let length) = pattern { block = max(length, block / length * length) }
    for start in stride(from: 0, to: n, by: block) {
      let end = min(start + block, n)
      let shared = try shared(pattern, work, upper, rows: rows, columns: n, start..<end)
      work.withUnsafeMutableBufferPointer { work in
        upper.withUnsafeBufferPointer { upper in
          guard let w = work.baseAddress, let u = upper.baseAddress else { return }
          nonisolated(unsafe) let (weights, factor) = (w, u)
          Parallel.forEach((rows + pieceRows - 1) / pieceRows) { piece in
            let first = piece * pieceRows
            prune(
              weights + first * n, first..<min(rows, first + pieceRows), factor, columns: n, start..<end,
              shared,
              pattern)
          }
        }
      }
    }
    return Matrix(rows: rows, columns: n, elements: work.map { Float($0) })
  }

  /// U with Uᵀ U = H⁻¹, row-major upper triangular.
  private static func upperFactor(_ gram: [Double], count: Int) throws -> [Double] {
    var lower = gram
    do {
      try LinearAlgebra.cholesky(&lower, count: count)
      var inverse = try LinearAlgebra.inverse(ofCholesky: lower, count: count)
      try LinearAlgebra.cholesky(&inverse, count: count)
      var upper = [Double](repeating: 0, count: count * count)
      for i in 0..<count { for j in i..<count { upper[i * count + j] = inverse[j * count + i] } }
      return upper
    } catch {
      throw PassError("a covariance of activations has no Cholesky factor: calibrate on more text")
    }
  }

  /// The mask of a block where a share of it goes; nil for groups, which are chosen row by row.
  private static func shared(
    _ pattern: SparsityPattern, _ work: [Double], _ upper: [Double], rows: Int, columns n: Int,
    _ block: Range<Int>
  ) throws -> PruneMask? {
    guard case .share = pattern else { return nil }
    var scores = Matrix(rows: rows, columns: block.count)
    for row in 0..<rows {
      for (place, j) in block.enumerated() {
        let value = work[row * n + j] / upper[j * n + j]
        scores[row, place] = Float(value * value)
      }
    }
    return PruneMask(lowest: scores, pattern, scope: .tensor)
  }

  private static func prune(
    _ w: UnsafeMutablePointer<Double>, _ range: Range<Int>, _ upper: UnsafePointer<Double>, columns n: Int,
    _ block: Range<Int>, _ shared: PruneMask?, _ pattern: SparsityPattern
  ) {
    var errors = [Double](repeating: 0, count: range.count * block.count)
    for row in 0..<range.count {
      let line = w + row * n
      var own = [Bool](repeating: false, count: block.count)
      for j in block {
        let place = j - block.lowerBound
        if case .groups(let kept, let length) = pattern, place % length == 0 {
          choose(kept, length, line, upper, n, j..<min(j + length, block.upperBound), block, &own)
        }
        let isDropped =
          shared.map { $0.dropped[(range.lowerBound + row) * block.count + place] } ?? own[place]
        guard isDropped else { continue }
        let error = line[j] / upper[j * n + j]
        errors[row * block.count + place] = error
        for k in j..<block.upperBound { line[k] -= error * upper[j * n + k] }
        line[j] = 0
      }
    }
    errors.withUnsafeBufferPointer {
      guard let e = $0.baseAddress, block.upperBound < n else { return }
      LinearAlgebra.product(
        e, block.count, upper + block.lowerBound * n + block.upperBound, n, rows: range.count,
        inner: block.count, columns: n - block.upperBound, alpha: -1, beta: 1, into: w + block.upperBound, n)
    }
  }

  private static func choose(
    _ kept: Int, _ length: Int, _ line: UnsafePointer<Double>, _ upper: UnsafePointer<Double>, _ n: Int,
    _ group: Range<Int>, _ block: Range<Int>, _ dropped: inout [Bool]
  ) {
    let scores = group.map { j in
      let value = line[j] / upper[j * n + j]
      return Float(value * value)
    }
    var marks = [Bool](repeating: false, count: group.count)
    scores.withUnsafeBufferPointer { scores in
      marks.withUnsafeMutableBufferPointer {
        if let base = $0.baseAddress {
          LowestScores.dropInGroups(keeping: kept, of: length, scores, into: base)
        }
      }
    }
    for (place, mark) in marks.enumerated() { dropped[group.lowerBound - block.lowerBound + place] = mark }
  }
}
