import Models
package import TensorCore

/// What errors of each matrix cost, on one scale for the whole model, so that one step serves all of them.
package struct ShippingCosts: Sendable {
  /// Fisher information; nil where the model has no gradients here, or was not run.
  let sensitivity: PredictionSensitivity?

  /// What is added to the diagonal of E[x xᵀ], as a part of its mean: the covariance is a sample's.
  package static let inputRidge = 0.03
  /// The same for E[g gᵀ], which comes from fewer and noisier numbers.
  package static let outputRidge = 0.5
  /// Tokens rarer than this part of a uniform vocabulary count as if they were that frequent.
  package static let rareTokens = 0.5

  /// H of a layer's inputs.
  ///
  /// - Parameter isEmbedding: whether the matrix's rows are also what the first block gets.
  func inputs(gram: [Float], count: Int, isEmbedding: Bool) throws -> LatticeFactor {
    var matrix = gram.map { Double($0) }
    if isEmbedding, let own = sensitivity?.embeddingGram, own.count == matrix.count {
      for place in matrix.indices { matrix[place] += Double(own[place]) }
    }
    return try LatticeFactor(matrix, count: count, ridge: Self.inputRidge)
  }

  /// The matrix that ``inputs(gram:count:isEmbedding:)`` factors, for those who need no factor.
  func inputMatrix(gram: [Float], count: Int, isEmbedding: Bool) -> [Float] {
    var matrix = gram
    var diagonal = (0..<count).map { Double(gram[$0 * count + $0]) }
    if isEmbedding, let own = sensitivity?.embeddingGram, own.count == gram.count {
      for place in matrix.indices { matrix[place] = Float(Double(gram[place]) + Double(own[place])) }
      for place in diagonal.indices { diagonal[place] += Double(own[place * count + place]) }
    }
    for (place, value) in LatticeFactor.ridged(diagonal, Self.inputRidge).enumerated() {
      matrix[place * count + place] = Float(value)
    }
    return matrix
  }

  /// G of a layer's outputs, from gradients; without them, every output's error counts against the mean square of all.
  func outputs(of name: String, weights: Matrix, inputs: LatticeFactor) throws -> OutputCost {
    if case .full(let gram)? = sensitivity?.layers[name], gram.count == weights.rows {
      return .full(
        try LatticeFactor(try gram.load().map { Double($0) }, count: gram.count, ridge: Self.outputRidge))
    }
    return .rows(
      try outputWeights(of: name, weights: weights) { inputs.matrix.map { Float($0) } })
  }

  /// G_ii of a layer's outputs.
  ///
  /// - Parameter inputs: ``inputMatrix(gram:count:isEmbedding:)``, asked for where there are no gradients.
  func outputWeights(of name: String, weights: Matrix, inputs: () -> [Float]) throws -> [Double] {
    let rows = weights.rows
    switch sensitivity?.layers[name] {
    case .full(let gram) where gram.count == rows:
      return LatticeFactor.ridged(gram.diagonal.map { Double($0) }, Self.outputRidge)
    case .mean(let mean) where mean > 0:
      return [Double](repeating: mean, count: rows)
    default:
      let energy = weights.quadraticForm(inputs()) / Double(max(1, rows))
      return [Double](repeating: energy > 0 && energy.isFinite ? 1 / energy : 1, count: rows)
    }
  }

  /// G of the rows of the output matrix, or of a tied embedding: how much predictions depend on each token's logit.
  ///
  /// The square root of a token's weight stands for it: a text holds too few of the rarer tokens to say how rare they are, and
  /// other texts hold more of them.
  func vocabulary(rows: Int) -> [Double]? {
    guard let weights = sensitivity?.logits, weights.count == rows, rows > 0 else { return nil }
    return ShippingCosts.tempered(weights)
  }

  /// G of the rows of an embedding that is not the output: how often each is looked up.
  func lookups(rows: Int) -> [Double]? {
    guard let weights = sensitivity?.frequencies, weights.count == rows, rows > 0 else { return nil }
    return ShippingCosts.tempered(weights)
  }

  /// √(w·mean w), w being at least ``rareTokens`` of an even share.
  package static func tempered(_ weights: [Double]) -> [Double] {
    let raised = weights.map { max($0, rareTokens / Double(weights.count)) }
    let mean = raised.reduce(0, +) / Double(raised.count)
    return raised.map { ($0 * mean).squareRoot() }
  }
}
