import TensorCore

/// What layers that share an input have seen: their inputs in the compressed model x′ and in the original one x.
package struct LayerObservation: Sendable {
  /// The length of an input.
  package let width: Int
  /// The number of tokens observed.
  package private(set) var tokens = 0
  /// E[x′ x′ᵀ], width × width.
  package private(set) var gram: [Float]
  /// E[x x′ᵀ], width × width, rows for the original's inputs.
  package private(set) var cross: [Float]
  /// max |x′| of each column.
  package private(set) var maxima: [Float]
  /// The inputs of held-out sequences, tokens × width: the original's and the compressed model's.
  package private(set) var heldOut: (original: [Float], compressed: [Float]) = ([], [])

  /// Nothing seen so far.
  package init(width: Int) {
    self.width = width
    gram = [Float](repeating: 0, count: width * width)
    cross = gram
    maxima = [Float](repeating: 0, count: width)
  }

  /// The number of held-out tokens.
  package var heldOutTokens: Int { heldOut.original.count / max(1, width) }

  /// E[x′²] of each column.
  package var diagonal: [Float] { (0..<width).map { gram[$0 * width + $0] } }

  /// Adds `tokens` inputs.
  package mutating func add(original: UnsafePointer<Float>, compressed: UnsafePointer<Float>, tokens: Int) {
    gram.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress {
        LinearAlgebra.addGram(of: compressed, rows: tokens, columns: width, to: base)
      }
    }
    cross.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress {
        LinearAlgebra.addCross(
          of: original, columnsA: width, compressed, columnsB: width, rows: tokens, to: base)
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

  /// Adds `tokens` held-out inputs.
  package mutating func addHeldOut(
    original: UnsafePointer<Float>, compressed: UnsafePointer<Float>, tokens: Int
  ) {
    heldOut.original += UnsafeBufferPointer(start: original, count: tokens * width)
    heldOut.compressed += UnsafeBufferPointer(start: compressed, count: tokens * width)
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
