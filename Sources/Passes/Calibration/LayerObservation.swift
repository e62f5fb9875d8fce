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
  /// Memory for rows as they are summed up, until there is nothing more to add.
  private var scratch: (first: ActivationScratch, second: ActivationScratch)? = (.init(), .init())

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
    add(z: original == compressed ? nil : original, width: width, compressed: compressed, tokens: tokens)
  }

  /// Adds `tokens` inputs beside the original layer's outputs, `count` for each token.
  package mutating func add(
    outputs: UnsafePointer<Float>, count: Int, compressed: UnsafePointer<Float>, tokens: Int
  ) {
    crossesOutputs = true
    add(z: outputs, width: count, compressed: compressed, tokens: tokens)
  }

  private mutating func add(
    z: UnsafePointer<Float>?, width rows: Int, compressed: UnsafePointer<Float>, tokens: Int
  ) {
    guard let scratch else { preconditionFailure("the observation is finished") }
    let inputs = MomentRows(compressed, tokens: tokens, columns: width, scratch: scratch.first)
    if let z {
      if cross.isEmpty { cross = [Float](repeating: 0, count: rows * width) }
      let others = MomentRows(z, tokens: tokens, columns: rows, scratch: scratch.second)
      cross.withUnsafeMutableBufferPointer {
        if let base = $0.baseAddress { LinearAlgebra.addCross(of: others, inputs, to: base) }
      }
    }
    gram.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress { LinearAlgebra.addLowerGram(of: inputs, to: base) }
    }
    maxima.withUnsafeMutableBufferPointer { maxima in
      for token in 0..<tokens {
        let row = compressed + token * width
        for column in 0..<width {
          let size = abs(row[column])
          if size > maxima[column] { maxima[column] = size }
        }
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

  /// Turns sums into means; nothing can be added any more.
  package mutating func finish() {
    scratch = nil
    let factor = 1 / Float(max(1, tokens))
    gram.withUnsafeMutableBufferPointer {
      guard let base = $0.baseAddress else { return }
      Kernels.scale(base, by: factor, count: $0.count)
      LinearAlgebra.mirrorLower(base, count: width)
    }
    cross.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress { Kernels.scale(base, by: factor, count: $0.count) }
    }
  }
}
