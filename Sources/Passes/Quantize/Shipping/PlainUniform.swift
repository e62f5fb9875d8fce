package import TensorCore
package import WeightCodecs

/// Uniform codes without calibration: each row on a grid of its own, a part of the row's root mean square apart, unclipped.
package enum PlainUniform {
  /// The codes of `weights` at `step` of each row's root mean square.
  package static func rounded(_ weights: Matrix, step: Double) throws -> UniformTensor {
    let (m, n) = (weights.rows, weights.columns)
    let scales = spreads(of: weights).map { ShortScale.rounded(Float($0), bits: ShortScale.rowBits) }
    let column = ShortScale.rounded(Float(step), bits: ShortScale.columnBits)
    let (rows, columns) = UniformLayer.stored(rows: scales, columns: [Float](repeating: column, count: n))
    var codes = [Int16](repeating: 0, count: m * n)
    for place in codes.indices {
      let code = (Double(weights.elements[place]) / (Double(rows[place / n]) * Double(columns[place % n])))
        .rounded(.toNearestOrEven)
      codes[place] = Int16(max(-SuccessiveRounding.highestCode, min(SuccessiveRounding.highestCode, code)))
    }
    return try UniformTensor(codes: codes, rowScales: rows, columnScales: columns)
  }

  /// Adds the spread of the matrix's codes to `curve`.
  package static func addRates(of weights: Matrix, to curve: inout RateCurve) {
    for spread in spreads(of: weights) where spread > 0 { curve.add(spread: 1, rows: weights.columns) }
  }

  /// The root mean square of each row; 1 for a row of zeros.
  private static func spreads(of weights: Matrix) -> [Double] {
    (0..<weights.rows).map { row in
      let energy = weights.row(row).reduce(0.0) { $0 + Double($1) * Double($1) }
      return energy > 0 ? (energy / Double(weights.columns)).squareRoot() : 1
    }
  }
}
