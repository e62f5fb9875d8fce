import TensorCore

/// How the inputs of a model's matrices are rounded to 8 bits before they are multiplied, as products of stored matrices do it.
///
/// Numbers lie in blocks of 32 (or a token is one block); a block's numbers are whole multiples of its largest over 127, the nearest.
/// Where a matrix has scales of its columns, they are multiplied in before. What is given back is what these codes stand for, so that
/// products with the matrix's weights are those that ship. Gradients go straight through; those by weights are of rounded inputs.
package struct ActivationRounding: Sendable {
  /// How the inputs of one matrix are rounded.
  struct Form: Sendable {
    /// The numbers that share a scale; nil for all of a token.
    var block: Int?
    /// What columns are multiplied by before they are rounded; what it holds changes as the matrix is trained.
    var columnScales: NumberBuffer<Float>?
  }

  /// The forms of matrices, by where they begin among the weights. Others read what they are given.
  var forms: [Int: Form] = [:]
  /// The codes on either side of 0.
  package var levels = 127.0

  /// Nothing that is rounded yet.
  package init() {}

  /// Adds a matrix in blocks, or with one scale a token.
  package mutating func add(
    matrixAt place: Int, isToken: Bool = false, columnScales: NumberBuffer<Float>? = nil
  ) {
    forms[place] = Form(block: isToken ? nil : 32, columnScales: columnScales)
  }

  /// The rows that the matrix at a place among the weights reads in place of `x`.
  package func read<Number: TrainingNumber>(
    _ x: NumberBuffer<Number>, matrixAt place: Int, width: Int
  ) -> NumberBuffer<Number> {
    guard let form = forms[place] else { return x }
    let result = NumberBuffer<Number>(x.count, isZeroed: false)
    let levels = Number(levels)
    Parallel.forEach(x.count / max(1, width), work: 4 * x.count) { row in
      form.round(x.base + row * width, into: result.base + row * width, count: width, levels: levels)
    }
    return result
  }
}

extension ActivationRounding.Form {
  /// The largest number of a block that counts as zero, as in the kernels.
  private static let vanishing = Float(sign: .plus, exponent: -120, significand: 1)

  /// Rounds one row.
  func round<Number: TrainingNumber>(
    _ x: UnsafePointer<Number>, into y: UnsafeMutablePointer<Number>, count: Int, levels: Number
  ) {
    let length = block ?? max(1, count)
    // Adding and taking away 1.5 · 2ᵐ, m being the bits behind the first, leaves the nearest whole number.
    let shift = Number(sign: .plus, exponent: Number.Exponent(Number.significandBitCount), significand: 1.5)
    for start in stride(from: 0, to: count, by: length) {
      let range = start..<min(count, start + length)
      var most = Number(0)
      for place in range {
        y[place] = columnScales.map { x[place] * Number($0.base[place]) } ?? x[place]
        most = max(most, abs(y[place]))
      }
      guard most > Number(Self.vanishing) else {
        for place in range { y[place] = 0 }
        continue
      }
      let (scale, inverse) = (most / levels, levels / most)
      for place in range { y[place] = scale * ((y[place] * inverse + shift) - shift) }
      guard let scales = columnScales else { continue }
      for place in range {
        let scale = Number(scales.base[place])
        y[place] = scale == 0 ? 0 : y[place] / scale
      }
    }
  }
}
