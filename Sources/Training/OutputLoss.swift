import TensorCore

/// The loss at a model's output and the gradients behind it, some rows of logits at a time: logits of a batch are never held all
/// at once.
package struct OutputLoss<Number: TrainingNumber> {
  /// A model's last states and the matrix that makes logits of them.
  package struct Side {
    package let states: UnsafePointer<Number>
    package let matrix: UnsafePointer<Number>
    package let width: Int

    package init(states: UnsafePointer<Number>, matrix: UnsafePointer<Number>, width: Int) {
      (self.states, self.matrix, self.width) = (states, matrix, width)
    }
  }

  let loss: DistillationLoss
  let vocabulary: Int
  /// The rows of logits that are held at a time.
  let rows: Int
  /// Whether products are of numbers rounded to bfloat16.
  package var rounds = false

  /// A loss over `vocabulary` logits.
  package init(_ loss: DistillationLoss, vocabulary: Int) {
    self.loss = loss
    self.vocabulary = vocabulary
    rows = max(32, min(256, (1 << 22) / max(1, vocabulary)))
  }

  /// The sum of the tokens' losses.
  ///
  /// - Parameters:
  ///   - likeliest: what was kept of a teacher's predictions, in place of `teacher`.
  ///   - targets: each token's successor, or −1.
  ///   - scale: what gradients are multiplied by: 1 / the tokens of the whole batch.
  ///   - gradient: becomes the gradient by the student's states.
  ///   - matrixGradient: where that by its matrix is added.
  package func run(
    student: Side, teacher: Side?, likeliest: [LikeliestRow]? = nil, targets: [Int], scale: Number,
    gradient: NumberBuffer<Number>, matrixGradient: UnsafeMutablePointer<Number>
  ) -> Double {
    let (tokens, count) = (targets.count, vocabulary)
    let held = min(rows, tokens)
    let logits = NumberBuffer<Number>(held * count, isZeroed: false)
    let goals = teacher.map { _ in NumberBuffer<Number>(held * count, isZeroed: false) }
    let losses = NumberBuffer<Double>(tokens)
    gradient.clear()
    let loss = loss
    for start in stride(from: 0, to: tokens, by: rows) {
      let height = min(rows, tokens - start)
      project(student, start, height, into: logits)
      if let teacher, let goals { project(teacher, start, height, into: goals) }
      let piece = 8
      Parallel.forEach((height + piece - 1) / piece) { index in
        let scratch = NumberBuffer<Number>(2 * count, isZeroed: false)
        for row in index * piece..<min(height, (index + 1) * piece) {
          let goal: DistillationLoss.Goal<Number> =
            goals.map { .logits($0.base + row * count) }
            ?? likeliest.map { .likeliest($0[start + row]) } ?? .text
          losses.base[start + row] = loss.row(
            teacher: goal, student: logits.base + row * count, count: count,
            target: targets[start + row], scale: scale, scratch: (scratch.base, scratch.base + count))
        }
      }
      Number.add(
        TrainingProduct(
          a: (UnsafePointer(logits.base), count, 1), b: (student.matrix, student.width, 1),
          c: gradient.base + start * student.width, row: student.width, rows: height, inner: count,
          columns: student.width, rounds: rounds))
      Number.add(
        TrainingProduct(
          a: (UnsafePointer(logits.base), 1, count),
          b: (student.states + start * student.width, student.width, 1),
          c: matrixGradient, row: student.width, rows: count, inner: height, columns: student.width,
          rounds: rounds))
    }
    return losses.array.reduce(0, +)
  }

  /// Logits of some rows.
  private func project(_ side: Side, _ start: Int, _ height: Int, into logits: NumberBuffer<Number>) {
    logits.clear()
    Number.add(
      TrainingProduct(
        a: (side.states + start * side.width, side.width, 1), b: (side.matrix, 1, side.width),
        c: logits.base, row: vocabulary, rows: height, inner: side.width, columns: vocabulary, rounds: rounds)
    )
  }
}
