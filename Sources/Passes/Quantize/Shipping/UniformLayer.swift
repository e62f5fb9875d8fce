package import TensorCore
package import WeightCodecs

/// One matrix on its way to uniform codes: what it is rounded to, what errors cost, and how.
package struct UniformLayer {
  /// What is rounded, rows × columns.
  package let target: Matrix
  /// H of its inputs.
  package let inputs: LatticeFactor
  /// G of its outputs.
  package let outputs: OutputCost
  /// The weights whose codes are 0, row by row; nil for none.
  package let zeros: [Bool]?

  /// A layer of these parts.
  package init(target: Matrix, inputs: LatticeFactor, outputs: OutputCost, zeros: [Bool]? = nil) {
    self.target = target
    self.zeros = zeros
    self.inputs = inputs
    self.outputs = outputs
  }

  /// A rounded matrix.
  package struct Result {
    package let tensor: UniformTensor
    package let codes: [Int32]
    package let rowScales, columnScales: [Float]
    /// The bytes that codes take once compressed, about.
    package let entropyBytes: Double

    /// Q, decoded.
    package func values() -> Matrix {
      let columns = columnScales.count
      var elements = [Float](repeating: 0, count: codes.count)
      for place in codes.indices {
        elements[place] = rowScales[place / columns] * Float(codes[place]) * columnScales[place % columns]
      }
      return Matrix(rows: rowScales.count, columns: columns, elements: elements)
    }
  }

  /// The rows' scales: 1 / M_ii with few significant bits, at the scale of the matrix's own mean.
  private var rowScales: [Float] {
    outputs.diagonal.map { ShortScale.rounded(Float(1 / $0), bits: ShortScale.rowBits) }
  }

  /// Rounds with `step` for each coordinate of Mᵀ E L, then fits the columns' scales to the codes.
  ///
  /// - Throws: `CodingError` when a scale is beyond half precision.
  package func rounded(step: Double) throws -> Result {
    let wanted = (0..<inputs.count).map { column in
      ShortScale.rounded(
        Float(step / inputs.lower[column * inputs.count + column]), bits: ShortScale.columnBits)
    }
    var (rows, first) = UniformLayer.stored(rows: rowScales, columns: wanted)
    var codes = codes(rows: rows, columns: first)
    for _ in 0..<3 {
      guard let wider = UniformLayer.widened(rows, codes: codes) else { break }
      rows = wider
      codes = self.codes(rows: rows, columns: first)
    }
    let fitted = ColumnRescaling.scales(
      of: codes, target: target, rowScales: rows, columnScales: first, inputs: inputs, outputs: outputs
    ).map { ShortScale.rounded($0, bits: ShortScale.columnBits) }
    let columns = zip(fitted, first).map { $0 > 0 ? $0 : $1 }
    return Result(
      tensor: try UniformTensor(codes: codes.map { Int16($0) }, rowScales: rows, columnScales: columns),
      codes: codes,
      rowScales: rows, columnScales: columns,
      entropyBytes: CodeEntropy.bytes(of: codes, columns: target.columns))
  }

  private func codes(rows: [Float], columns: [Float]) -> [Int32] {
    SuccessiveRounding(inputs: inputs, outputs: outputs, rowScales: rows).codes(
      of: target, columnScales: columns, zeros: zeros)
  }

  /// Wider grids for the few rows whose codes one byte does not hold; nil where it holds all, or where so many rows are beyond
  /// it that wider grids would cost more than two-byte codes do.
  package static func widened(_ rowScales: [Float], codes: [Int32]) -> [Float]? {
    let columns = codes.count / max(1, rowScales.count)
    var (result, count) = (rowScales, 0)
    for row in rowScales.indices {
      var peak: UInt32 = 0
      for place in row * columns..<(row + 1) * columns { peak = max(peak, codes[place].magnitude) }
      // Scales of two bits are up to an eighth off.
      let wider = ShortScale.rounded(rowScales[row] * Float(peak) / 110, bits: ShortScale.rowBits)
      guard peak > 127, wider > rowScales[row], wider < 0x1p15 else { continue }
      result[row] = wider
      count += 1
    }
    return count > 0 && count <= max(1, rowScales.count / widenedRows) ? result : nil
  }

  /// One in so many of a matrix's rows may be put on a wider grid.
  private static let widenedRows = 48

  /// Scales as half precision holds them. None is zero: what would be becomes the smallest.
  package static func stored(rows: [Float], columns: [Float]) -> (rows: [Float], columns: [Float]) {
    let (first, second) = UniformTensor.storedScales(rows: rows, columns: columns)
    let range: ClosedRange<Float> = 0x1p-24...65504
    func inside(_ value: Float) -> Float { min(max(value, range.lowerBound), range.upperBound) }
    return (first.map(inside), second.map(inside))
  }

  /// Adds the spread of this matrix's columns to `curve`, by some of its rows.
  package func addRates(to curve: inout RateCurve) {
    let chosen = stride(from: 0, to: target.rows, by: max(1, target.rows / 128)).map { $0 }
    guard !chosen.isEmpty else { return }
    let (n, diagonal) = (target.columns, outputs.diagonal)
    var sample = [Double](repeating: 0, count: chosen.count * n)
    for (place, row) in chosen.enumerated() {
      for column in 0..<n { sample[place * n + column] = Double(target[row, column]) * diagonal[row] }
    }
    let projected = LinearAlgebra.multiply(sample, inputs.lower, rows: chosen.count, inner: n, columns: n)
    for column in 0..<n {
      let energy = (0..<chosen.count).reduce(0.0) {
        $0 + projected[$1 * n + column] * projected[$1 * n + column]
      }
      curve.add(spread: (energy / Double(chosen.count)).squareRoot(), rows: target.rows)
    }
  }
}
