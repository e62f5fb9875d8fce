import TensorCore

/// What layers that share an input have seen: their inputs in the compressed model x′, and what the original had in their place.
package struct LayerObservation: Sendable {
  /// The length of an input.
  package let width: Int
  /// The number of tokens observed.
  package private(set) var tokens = 0
  /// E[x′ x′ᵀ], width × width.
  package private(set) var gram: [Float]
  /// E[z x′ᵀ], a row for each number of z: the original's inputs x, or the original layer's outputs where these are fewer. Empty
  /// where the compressed model's inputs are the original's.
  package private(set) var cross: [Float] = []
  /// Whether z is the layer's outputs.
  package private(set) var crossesOutputs = false
  /// max |x′| of each column.
  package private(set) var maxima: [Float]
  /// The inputs of some held-out tokens, tokens × width: the original's and the compressed model's.
  package private(set) var heldOut: (original: [Float], compressed: [Float]) = ([], [])

  /// Nothing seen so far.
  package init(width: Int) {
    self.width = width
    gram = [Float](repeating: 0, count: width * width)
    maxima = [Float](repeating: 0, count: width)
  }

  /// The number of held-out tokens.
  package var heldOutTokens: Int { heldOut.original.count / max(1, width) }

  /// E[x′²] of each column.
  package var diagonal: [Float] { (0..<width).map { gram[$0 * width + $0] } }

  /// Adds `tokens` inputs.
  ///
  /// - Parameter original: the original's inputs; the same pointer as `compressed` where there is no difference.
  package mutating func add(original: UnsafePointer<Float>, compressed: UnsafePointer<Float>, tokens: Int) {
    if original != compressed { addCross(original, width: width, compressed: compressed, tokens: tokens) }
    add(compressed, tokens: tokens)
  }

  /// Adds `tokens` inputs beside the original layer's outputs, `count` for each token.
  package mutating func add(
    outputs: UnsafePointer<Float>, count: Int, compressed: UnsafePointer<Float>, tokens: Int
  ) {
    crossesOutputs = true
    addCross(outputs, width: count, compressed: compressed, tokens: tokens)
    add(compressed, tokens: tokens)
  }

  private mutating func addCross(
    _ original: UnsafePointer<Float>, width rows: Int, compressed: UnsafePointer<Float>, tokens: Int
  ) {
    if cross.isEmpty { cross = [Float](repeating: 0, count: rows * width) }
    cross.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress {
        LinearAlgebra.addCross(
          of: original, columnsA: rows, compressed, columnsB: width, rows: tokens, to: base)
      }
    }
  }

  private mutating func add(_ compressed: UnsafePointer<Float>, tokens: Int) {
    gram.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress {
        LinearAlgebra.addGram(of: compressed, rows: tokens, columns: width, to: base)
      }
    }
    maxima.withUnsafeMutableBufferPointer { maxima in
      for token in 0..<tokens {
        let row = compressed + token * width
        for column in 0..<width { maxima[column] = max(maxima[column], abs(row[column])) }
      }
    }
    self.tokens += tokens
  }

  /// Adds every `stride`-th of `tokens` held-out inputs.
  package mutating func addHeldOut(
    original: UnsafePointer<Float>, compressed: UnsafePointer<Float>, tokens: Int, stride: Int = 1
  ) {
    for token in Swift.stride(from: 0, to: tokens, by: max(1, stride)) {
      heldOut.original += UnsafeBufferPointer(start: original + token * width, count: width)
      heldOut.compressed += UnsafeBufferPointer(start: compressed + token * width, count: width)
    }
  }

  /// Turns sums into means.
  package mutating func finish() {
    let factor = 1 / Float(max(1, tokens))
    gram.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress { Kernels.scale(base, by: factor, count: $0.count) }
    }
    cross.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress { Kernels.scale(base, by: factor, count: $0.count) }
    }
  }
}
