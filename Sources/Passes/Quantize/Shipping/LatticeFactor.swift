import TensorCore

/// A symmetric matrix that weighs errors, with a ridge and its Cholesky factor: A + λI = L·Lᵀ, in double precision.
package struct LatticeFactor: Sendable {
  /// The number of rows and columns.
  package let count: Int
  /// A + λI, row-major.
  package let matrix: [Double]
  /// L, row-major, zeros above the diagonal.
  package let lower: [Double]
  /// λ as a part of the mean of A's diagonal.
  package let ridge: Double

  /// Factors `matrix`; a ridge that is too small for a factor grows tenfold until there is one.
  ///
  /// A matrix of zeros (dead inputs, a tensor that nothing depends on) becomes the identity times `ridge`.
  /// - Parameters:
  ///   - matrix: `count` × `count`, symmetric.
  ///   - ridge: what is added to the diagonal at least, as a part of its mean; positive.
  /// - Throws: ``PassError`` when the matrix holds NaN or infinity.
  package init(_ matrix: consuming [Double], count: Int, ridge: Double) throws {
    precondition(matrix.count == count * count && ridge > 0, "a square matrix and a ridge are needed")
    var full = matrix
    let diagonal = (0..<count).map { full[$0 * count + $0] }
    guard diagonal.reduce(0, +).isFinite else {
      throw PassError("a covariance of activations is not finite: use --method rtn")
    }
    var part = ridge
    while part <= 1e3 {
      for (place, value) in LatticeFactor.ridged(diagonal, part).enumerated() {
        full[place * count + place] = value
      }
      var lower = full
      if (try? LinearAlgebra.cholesky(&lower, count: count)) != nil,
        (0..<count).allSatisfy({ lower[$0 * count + $0].isFinite && lower[$0 * count + $0] > 0 })
      {
        self.count = count
        self.matrix = full
        self.lower = lower
        self.ridge = part
        return
      }
      part *= 10
    }
    throw PassError(
      "a covariance of activations has no Cholesky factor, whatever is added to its diagonal: use --method rtn"
    )
  }

  /// A matrix's diagonal with `ridge` times its mean added; with the ridge alone where it is zero.
  static func ridged(_ diagonal: [Double], _ ridge: Double) -> [Double] {
    let mean = diagonal.reduce(0, +) / Double(max(1, diagonal.count))
    return diagonal.map { $0 + ridge * (mean > 0 ? mean : 1) }
  }
}

/// How much errors in a layer's outputs matter: the G of tr G E H Eᵀ.
package enum OutputCost: Sendable {
  /// Independent outputs, each with a weight above zero.
  case rows([Double])
  /// Outputs whose errors add up or cancel.
  case full(LatticeFactor)

  /// The number of outputs.
  package var count: Int {
    switch self {
    case .rows(let weights): weights.count
    case .full(let factor): factor.count
    }
  }

  /// G_ii: the weight of each output by itself.
  var weights: [Double] {
    switch self {
    case .rows(let weights): weights
    case .full(let factor): (0..<factor.count).map { factor.matrix[$0 * factor.count + $0] }
    }
  }

  /// The weight of each output when those before it, in the order of rounding, have made up for it: M_ii with G = M·Mᵀ.
  package var diagonal: [Double] {
    switch self {
    case .rows(let weights): weights.map { $0.squareRoot() }
    case .full(let factor): (0..<factor.count).map { factor.lower[$0 * factor.count + $0] }
    }
  }

  /// G · X for a row-major matrix of ``count`` × `columns`.
  package func times(_ x: [Double], columns: Int) -> [Double] {
    switch self {
    case .rows(let weights):
      var result = x
      for (row, weight) in weights.enumerated() {
        for place in row * columns..<(row + 1) * columns { result[place] *= weight }
      }
      return result
    case .full(let factor):
      return LinearAlgebra.multiply(
        factor.matrix, x, rows: factor.count, inner: factor.count, columns: columns)
    }
  }
}
