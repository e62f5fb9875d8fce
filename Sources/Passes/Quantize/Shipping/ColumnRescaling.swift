package import TensorCore

/// The column scales that fit codes best once these are final.
package enum ColumnRescaling {
  /// Solves for c in tr G (V − Q) H (V − Q)ᵀ → min, Q_ij = r_i z_ij c_j: (H ∘ Zᵀ G Z) c = diag(Zᵀ G V H), rows scaled into Z.
  ///
  /// A column of zeros keeps its scale, and so does one whose best scale would leave `limits` times the old one: least squares
  /// that strays so far follows the noise of the sample that H was taken from.
  /// - Returns: the scales; the old ones when there is nothing to solve.
  package static func scales(
    of codes: [Int32], target: Matrix, rowScales: [Float], columnScales: [Float], inputs: LatticeFactor,
    outputs: OutputCost, limits: ClosedRange<Double> = 0.5...1.5
  ) -> [Float] {
    let (m, n) = (target.rows, target.columns)
    precondition(
      codes.count == m * n && rowScales.count == m && columnScales.count == n, "a matrix of other sizes")
    var values = [Double](repeating: 0, count: m * n)
    var alive = [Bool](repeating: false, count: n)
    for row in 0..<m {
      for column in 0..<n {
        let code = codes[row * n + column]
        values[row * n + column] = Double(code) * Double(rowScales[row])
        if code != 0 { alive[column] = true }
      }
    }
    guard alive.contains(true) else { return columnScales }
    let weighed = outputs.times(values, columns: n)
    var system = LinearAlgebra.multiply(values, transposedA: true, weighed, rows: n, inner: m, columns: n)
    for place in system.indices { system[place] *= inputs.matrix[place] }
    let projected = LinearAlgebra.multiply(
      target.elements.map { Double($0) }, inputs.matrix, rows: m, inner: n, columns: n)
    var right = [Double](repeating: 0, count: n)
    for place in weighed.indices { right[place % n] += weighed[place] * projected[place] }
    let mean = (0..<n).reduce(0.0) { $0 + system[$1 * n + $1] } / Double(n)
    for column in 0..<n {
      system[column * n + column] += alive[column] ? 1e-9 * mean : mean
    }
    guard mean.isFinite, mean > 0, (try? LinearAlgebra.cholesky(&system, count: n)) != nil else {
      return columnScales
    }
    right.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress {
        LinearAlgebra.solve(cholesky: system, count: n, rows: base, rowCount: 1)
      }
    }
    return (0..<n).map { column in
      let old = Double(columnScales[column])
      guard alive[column], right[column].isFinite, limits.contains(right[column] / old) else {
        return columnScales[column]
      }
      return Float(right[column])
    }
  }
}
