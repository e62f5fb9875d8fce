import TensorCore

/// A linear layer's place among the weights: y = W x + b, W of outputs × inputs.
struct DenseLayer: Sendable {
  let weight: Int
  let bias: Int?
  let outputs, inputs: Int

  /// y = W x + b, or y += W x + b, for each row of `x`.
  ///
  /// - Parameter rounds: whether products may be of numbers rounded to bfloat16.
  func apply<Number: TrainingNumber>(
    _ x: NumberBuffer<Number>, _ tokens: Int, _ weights: UnsafePointer<Number>, into y: NumberBuffer<Number>,
    adding: Bool = false, rounds: Bool
  ) {
    let outputs = outputs
    if !adding { y.clear() }
    if let bias {
      nonisolated(unsafe) let bias = weights + bias
      Parallel.forEach(tokens, work: tokens * outputs) {
        Number.addScaled(1, bias, to: y.base + $0 * outputs, count: outputs)
      }
    }
    Number.add(
      TrainingProduct(
        a: (UnsafePointer(x.base), inputs, 1), b: (weights + weight, 1, inputs), c: y.base, row: outputs,
        rows: tokens, inner: inputs, columns: outputs, rounds: rounds))
  }

  /// dW += dYᵀ · X, db += Σ dY.
  func addWeights<Number: TrainingNumber>(
    _ gradient: NumberBuffer<Number>, _ x: NumberBuffer<Number>, _ tokens: Int,
    _ gradients: UnsafeMutablePointer<Number>, rounds: Bool
  ) {
    Number.add(
      TrainingProduct(
        a: (UnsafePointer(gradient.base), 1, outputs), b: (UnsafePointer(x.base), inputs, 1),
        c: gradients + weight, row: inputs, rows: outputs, inner: tokens, columns: inputs, rounds: rounds))
    guard let bias else { return }
    for token in 0..<tokens {
      Number.addScaled(1, gradient.base + token * outputs, to: gradients + bias, count: outputs)
    }
  }

  /// dX = dY · W, or dX += dY · W.
  func goBack<Number: TrainingNumber>(
    _ gradient: NumberBuffer<Number>, _ tokens: Int, _ weights: UnsafePointer<Number>,
    into result: NumberBuffer<Number>, adding: Bool, rounds: Bool
  ) {
    if !adding { result.clear() }
    Number.add(
      TrainingProduct(
        a: (UnsafePointer(gradient.base), outputs, 1), b: (weights + weight, inputs, 1), c: result.base,
        row: inputs, rows: tokens, inner: outputs, columns: inputs, rounds: rounds))
  }
}

extension NumberBuffer {
  /// Adds a buffer of the same size.
  func add(_ other: NumberBuffer) {
    let (piece, count, base) = (8192, count, SendablePointer(base))
    Parallel.forEach((count + piece - 1) / piece) { index in
      let start = index * piece
      Number.addScaled(1, other.base + start, to: base.pointer + start, count: min(piece, count - start))
    }
  }

  /// Calls `body` with pieces of fixed size, over the threads.
  func forEachPiece(_ body: @Sendable (_ start: Int, _ count: Int) -> Void) {
    let (piece, count) = (4096, count)
    Parallel.forEach((count + piece - 1) / piece) { index in
      body(index * piece, min(piece, count - index * piece))
    }
  }
}

/// A pointer that loops over threads write through, to different places.
struct SendablePointer<Number>: @unchecked Sendable {
  let pointer: UnsafeMutablePointer<Number>
  init(_ pointer: UnsafeMutablePointer<Number>) { self.pointer = pointer }
}
