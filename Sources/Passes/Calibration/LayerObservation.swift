import TensorCore

/// What layers that share an input have seen: their inputs in the compressed model x′ and in the original one x.
struct LayerObservation: Sendable {
  /// The length of an input.
  let width: Int
  /// The number of tokens observed.
  var tokens = 0
  /// E[x′ x′ᵀ], width × width.
  var gram: [Float]
  /// E[x x′ᵀ], width × width, rows for the original's inputs.
  var cross: [Float]
  /// The inputs of held-out sequences, tokens × width: the original's and the compressed model's.
  var heldOut: (original: [Float], compressed: [Float]) = ([], [])

  /// Nothing seen so far.
  init(width: Int) {
    self.width = width
    gram = [Float](repeating: 0, count: width * width)
    cross = gram
  }

  /// The number of held-out tokens.
  var heldOutTokens: Int { heldOut.original.count / max(1, width) }

  /// E[x′²] of each column.
  var diagonal: [Float] { (0..<width).map { gram[$0 * width + $0] } }

  /// Adds `tokens` inputs.
  mutating func add(original: UnsafePointer<Float>, compressed: UnsafePointer<Float>, tokens: Int) {
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
    self.tokens += tokens
  }

  /// Adds `tokens` held-out inputs.
  mutating func addHeldOut(
    original: UnsafePointer<Float>, compressed: UnsafePointer<Float>, tokens: Int
  ) {
    heldOut.original += UnsafeBufferPointer(start: original, count: tokens * width)
    heldOut.compressed += UnsafeBufferPointer(start: compressed, count: tokens * width)
  }

  /// Turns sums into means.
  mutating func finish() {
    let factor = 1 / Float(max(1, tokens))
    gram.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress { Kernels.scale(base, by: factor, count: $0.count) }
    }
    cross.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress { Kernels.scale(base, by: factor, count: $0.count) }
    }
  }
}
