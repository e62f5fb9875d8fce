package import TensorCore

/// Rounds a matrix to unclipped integer codes, one weight after the other, each error made up for by what is rounded later.
///
/// The loss is tr G E H Eᵀ = ‖Mᵀ E L‖² with E = V − Q, G = M·Mᵀ over the outputs and H = L·Lᵀ over the inputs. Columns are
/// rounded from the last to the first and, where G is a full matrix, rows from the last to the first within a column. Then
/// the part of Mᵀ E L that a weight decides alone is M_ii L_jj (q_ij − v̂_ij): with the grid q = r_i·c_j·z, c_j = step / L_jj
/// and r_i about 1 / M_ii, every coordinate of Mᵀ E L is rounded with the same step, which spends bits where they are worth
/// most, as water-filling would: WaterSIC (arXiv 2603.04956) on both sides of the weights.
package struct SuccessiveRounding: Sendable {
  /// H = L·Lᵀ.
  package let inputs: LatticeFactor
  /// G.
  package let outputs: OutputCost
  /// r, one a row; above zero.
  package let rowScales: [Float]

  /// A rounding with these factors.
  package init(inputs: LatticeFactor, outputs: OutputCost, rowScales: [Float]) {
    self.inputs = inputs
    self.outputs = outputs
    self.rowScales = rowScales
  }

  /// No code is larger: what two bytes hold in the formats of uniform codes.
  package static let highestCode = 32639.0
  /// The columns whose errors are spread at once to those before them.
  private static let block = 64
  /// The rows that a thread works on at a time.
  private static let piece = 64

  /// The codes of `target`, row by row.
  ///
  /// - Parameters:
  ///   - target: V, rows × columns.
  ///   - columnScales: c, one a column, as they will be stored; above zero.
  ///   - zeros: the weights whose code is 0 whatever is fed back to them, row by row; nil for none.
  package func codes(of target: Matrix, columnScales: [Float], zeros: [Bool]? = nil) -> [Int32] {
    let (rows, columns) = (target.rows, target.columns)
    precondition(
      columnScales.count == columns && rowScales.count == rows && inputs.count == columns
        && outputs.count == rows,
      "scales and factors of another matrix")
    var codes = [Int32](repeating: 0, count: rows * columns)
    guard rows > 0, columns > 0 else { return codes }
    codes.withUnsafeMutableBufferPointer { codes in
      inputs.lower.withUnsafeBufferPointer { lower in
        guard let codes = codes.baseAddress, let lower = lower.baseAddress else { return }
        switch outputs {
        case .rows:
          nonisolated(unsafe) let (codes, lower) = (codes, lower)
          Parallel.forEach((rows + Self.piece - 1) / Self.piece) { index in
            let range = index * Self.piece..<min(rows, (index + 1) * Self.piece)
            roundRows(
              range, of: target, columnScales, lower, zeros, into: codes + range.lowerBound * columns)
          }
        case .full(let factor):
          roundTogether(target, columnScales, lower, factor, zeros, into: codes)
        }
      }
    }
    return codes
  }

  /// The nearest code of a place on the grid; nothing for what is no number.
  private static func nearest(_ place: Double) -> Double {
    let code = place.rounded(.toNearestOrEven)
    return code.isNaN ? 0 : min(max(code, -highestCode), highestCode)
  }

  // MARK: Independent rows

  /// Rows that do not see each other: Y = V·L, column j of it rounded with the step r_i c_j L_jj, its part taken off.
  private func roundRows(
    _ range: Range<Int>, of target: Matrix, _ columnScales: [Float], _ lower: UnsafePointer<Double>,
    _ zeros: [Bool]?, into codes: UnsafeMutablePointer<Int32>
  ) {
    let (rows, n) = (range.count, target.columns)
    let y = Self.projected(target, range, lower)
    defer { y.deallocate() }
    let rounded = UnsafeMutablePointer<Double>.allocate(capacity: rows * Self.block)
    defer { rounded.deallocate() }
    for end in stride(from: n, to: 0, by: -Self.block) {
      let start = max(0, end - Self.block)
      for row in 0..<rows {
        let line = y + row * n
        let scale = Double(rowScales[range.lowerBound + row])
        for j in stride(from: end - 1, through: start, by: -1) {
          let step = scale * Double(columnScales[j])
          let isZero = zeros.map { $0[(range.lowerBound + row) * n + j] } ?? false
          let code = isZero ? 0 : Self.nearest(line[j] / (step * lower[j * n + j]))
          codes[row * n + j] = Int32(code)
          let value = code * step
          rounded[row * Self.block + j - start] = value
          Self.subtract(value, lower + j * n + start, from: line + start, count: j - start)
        }
      }
      LinearAlgebra.product(
        rounded, Self.block, lower + start * n, n, rows: rows, inner: end - start, columns: start, alpha: -1,
        beta: 1,
        into: y, n)
    }
  }

  // MARK: Rows that make up for each other

  private func roundTogether(
    _ target: Matrix, _ columnScales: [Float], _ lower: UnsafePointer<Double>, _ factor: LatticeFactor,
    _ zeros: [Bool]?, into codes: UnsafeMutablePointer<Int32>
  ) {
    let (m, n) = (target.rows, target.columns)
    let y = UnsafeMutablePointer<Double>.allocate(capacity: m * n)
    let rounded = UnsafeMutablePointer<Double>.allocate(capacity: m * Self.block)
    defer {
      y.deallocate()
      rounded.deallocate()
    }
    nonisolated(unsafe) let (shared, blockValues, factorBase) = (y, rounded, lower)
    let pieces = (m + Self.piece - 1) / Self.piece
    Parallel.forEach(pieces) { index in
      let range = index * Self.piece..<min(m, (index + 1) * Self.piece)
      let part = Self.projected(target, range, factorBase)
      (shared + range.lowerBound * n).update(from: part, count: range.count * n)
      part.deallocate()
    }
    var (column, pushed) = ([Double](repeating: 0, count: m), [Double](repeating: 0, count: m))
    for end in stride(from: n, to: 0, by: -Self.block) {
      let start = max(0, end - Self.block)
      for j in stride(from: end - 1, through: start, by: -1) {
        let scale = Double(columnScales[j])
        for row in 0..<m { column[row] = y[row * n + j] / lower[j * n + j] }
        let isZero = { (row: Int) in zeros.map { $0[row * n + j] } ?? false }
        roundColumn(column, scale: scale, factor, &pushed, isZero) { row, code, value in
          codes[row * n + j] = Int32(code)
          rounded[row * Self.block + j - start] = value
        }
        for row in 0..<m {
          Self.subtract(
            rounded[row * Self.block + j - start], lower + j * n + start, from: y + row * n + start,
            count: j - start)
        }
      }
      Parallel.forEach(pieces) { index in
        let first = index * Self.piece
        LinearAlgebra.product(
          blockValues + first * Self.block, Self.block, factorBase + start * n, n,
          rows: min(Self.piece, m - first),
          inner: end - start, columns: start, alpha: -1, beta: 1, into: shared + first * n, n)
      }
    }
  }

  /// One column against M: row i to v_i + Σ_{k>i} M_ki (v_k − q_k) / M_ii, from the last row to the first.
  private func roundColumn(
    _ column: [Double], scale: Double, _ factor: LatticeFactor, _ pushed: inout [Double],
    _ isZero: (Int) -> Bool, _ store: (_ row: Int, _ code: Double, _ value: Double) -> Void
  ) {
    let m = factor.count
    factor.lower.withUnsafeBufferPointer { lower in
      pushed.withUnsafeMutableBufferPointer { pushed in
        guard let lower = lower.baseAddress, let pushed = pushed.baseAddress else { return }
        pushed.update(repeating: 0, count: m)
        for row in stride(from: m - 1, through: 0, by: -1) {
          let step = Double(rowScales[row]) * scale
          let weights = lower + row * m
          let code = isZero(row) ? 0 : Self.nearest((column[row] + pushed[row] / weights[row]) / step)
          let value = code * step
          store(row, code, value)
          Self.subtract(value - column[row], weights, from: pushed, count: row)
        }
      }
    }
  }

  // MARK: Arithmetic

  /// V·L of some rows.
  private static func projected(
    _ target: Matrix, _ range: Range<Int>, _ lower: UnsafePointer<Double>
  ) -> UnsafeMutablePointer<Double> {
    let n = target.columns
    let wide = target.elements[range.lowerBound * n..<range.upperBound * n].map { Double($0) }
    let y = UnsafeMutablePointer<Double>.allocate(capacity: max(1, range.count * n))
    wide.withUnsafeBufferPointer { wide in
      guard let v = wide.baseAddress else { return }
      LinearAlgebra.product(v, n, lower, n, rows: range.count, inner: n, columns: n, into: y, n)
    }
    return y
  }

  /// target −= factor · source.
  @inline(__always)
  private static func subtract(
    _ factor: Double, _ source: UnsafePointer<Double>, from target: UnsafeMutablePointer<Double>, count: Int
  ) {
    guard factor != 0 else { return }
    for place in 0..<count { target[place] -= factor * source[place] }
  }
}
