import TensorCore

/// How far a student's states inside the model are from its teacher's, through matrices that are learned along, so that widths may
/// differ (FitNets, arXiv 1412.6550): at a quarter, half and three quarters of the depth and behind the last block.
package struct HiddenLoss<Number: TrainingNumber>: Sendable {
  /// A place in both models: the number of blocks before it.
  package struct Pair: Sendable, Equatable {
    package let student, teacher: Int
  }

  /// States by the number of blocks before them, a row a token.
  package typealias States = [Int: NumberBuffer<Number>]

  package let kind: HiddenLossKind
  package let weight: Double
  package let studentWidth, teacherWidth: Int
  package let pairs: [Pair]

  /// The numbers of one matrix, teacher's × student's width.
  package var projectionCount: Int { teacherWidth * studentWidth }

  /// A loss between models of these numbers of blocks and widths.
  package init(
    _ kind: HiddenLossKind, weight: Double, student: (blocks: Int, width: Int),
    teacher: (blocks: Int, width: Int)
  ) {
    (self.kind, self.weight) = (kind, weight)
    (studentWidth, teacherWidth) = (student.width, teacher.width)
    var pairs: [Pair] = []
    for part in 1...4 {
      func place(_ blocks: Int) -> Int { max(1, (blocks * part + 2) / 4) }
      let pair = Pair(student: place(student.blocks), teacher: place(teacher.blocks))
      if pairs.last?.student != pair.student { pairs.append(pair) }
    }
    self.pairs = pairs
  }

  /// The sum of the tokens' losses.
  ///
  /// - Parameters:
  ///   - projections: the pairs' matrices, one behind the other.
  ///   - scale: what gradients are multiplied by: 1 / the tokens of the whole batch.
  ///   - projectionGradients: where those by the matrices are added.
  /// - Returns: the loss, and its gradients by the student's states.
  package func run(
    student: States, teacher: States, tokens: Int, projections: UnsafePointer<Number>, scale: Number,
    projectionGradients: UnsafeMutablePointer<Number>
  ) -> (loss: Double, gradients: States) {
    var (loss, gradients) = (0.0, States())
    for (place, pair) in pairs.enumerated() {
      guard let s = student[pair.student], let t = teacher[pair.teacher] else { continue }
      let matrix = projections + place * projectionCount
      let y = NumberBuffer<Number>(tokens * teacherWidth)
      Number.add(
        TrainingProduct(
          a: (UnsafePointer(s.base), studentWidth, 1), b: (matrix, 1, studentWidth), c: y.base,
          row: teacherWidth, rows: tokens, inner: studentWidth, columns: teacherWidth))
      loss += compare(y, t, tokens, scale: scale)
      Number.add(
        TrainingProduct(
          a: (UnsafePointer(y.base), 1, teacherWidth), b: (UnsafePointer(s.base), studentWidth, 1),
          c: projectionGradients + place * projectionCount, row: studentWidth, rows: teacherWidth,
          inner: tokens, columns: studentWidth))
      let back = NumberBuffer<Number>(tokens * studentWidth)
      Number.add(
        TrainingProduct(
          a: (UnsafePointer(y.base), teacherWidth, 1), b: (matrix, studentWidth, 1), c: back.base,
          row: studentWidth, rows: tokens, inner: teacherWidth, columns: studentWidth))
      gradients[pair.student] = back
    }
    return (loss, gradients)
  }

  /// The loss of a pair; `y` becomes `scale` times the gradient by it.
  private func compare(
    _ y: NumberBuffer<Number>, _ t: NumberBuffer<Number>, _ tokens: Int, scale: Number
  ) -> Double {
    let (width, share) = (teacherWidth, weight / Double(pairs.count))
    let losses = NumberBuffer<Double>(tokens)
    // Errors count by the teacher's mean square, so that all depths count alike.
    let squares = NumberBuffer<Double>(tokens)
    Parallel.forEach(tokens, work: tokens * width) { token in
      let row = t.base + token * width
      squares.base[token] = Double(Number.dot(row, row, count: width))
    }
    let mean = max(squares.array.reduce(0, +) / Double(tokens * width), 1e-30)
    let kind = kind
    Parallel.forEach(tokens, work: 4 * tokens * width) { token in
      let (own, goal) = (y.base + token * width, t.base + token * width)
      switch kind {
      case .squaredError:
        Number.addScaled(-1, goal, to: own, count: width)
        let unit = share / (Double(width) * mean)
        losses.base[token] = unit * Double(Number.dot(own, own, count: width))
        Number.scale(own, by: scale * Number(2 * unit), count: width)
      case .cosine:
        let length = Double(Number.dot(own, own, count: width)).squareRoot()
        let other = squares.base[token].squareRoot()
        guard length > 1e-12, other > 1e-12 else {
          own.update(repeating: 0, count: width)
          return
        }
        let cosine = Double(Number.dot(own, goal, count: width)) / (length * other)
        losses.base[token] = share * (1 - cosine)
        Number.scale(own, by: scale * Number(share * cosine / (length * length)), count: width)
        Number.addScaled(-scale * Number(share / (length * other)), goal, to: own, count: width)
      }
    }
    return losses.array.reduce(0, +)
  }
}

/// How hidden states are compared.
package enum HiddenLossKind: String, Sendable, CaseIterable {
  /// The squared error, over the teacher's mean square.
  case squaredError = "mse"
  /// 1 − cosine.
  case cosine
}
