import TensorCore

/// What a block's attention reads: queries, keys and values of some tokens, a row each.
package struct AttentionRows<Number: TrainingNumber>: Sendable {
  package let queries, keys, values: NumberBuffer<Number>

  /// The three, queries first.
  var all: [NumberBuffer<Number>] { [queries, keys, values] }

  /// These rows.
  package init(queries: NumberBuffer<Number>, keys: NumberBuffer<Number>, values: NumberBuffer<Number>) {
    (self.queries, self.keys, self.values) = (queries, keys, values)
  }
}

/// How far a student's self-attention relations are from its teacher's (MiniLMv2, arXiv 2012.15828): within each document, and each of
/// some relation heads, softmax(X Xᵀ / √d) of queries, of keys and of values; the KL divergence of the student's rows from the
/// teacher's. Only the number of relation heads is common to both, so widths and numbers of heads may differ.
///
/// In a model whose tokens see what is before them alone, relations are to these, too.
package struct RelationLoss<Number: TrainingNumber>: Sendable {
  package let weight: Double
  /// The relation heads.
  package let heads: Int
  /// The block whose relations are compared, in both models.
  package let student, teacher: Int
  package let isCausal: Bool

  /// The queries of a tile: rows of relations that are held at a time.
  private static var tile: Int { 64 }

  /// A loss between a student's and a teacher's block.
  package init(weight: Double, heads: Int, student: Int, teacher: Int, isCausal: Bool) {
    (self.weight, self.heads, self.isCausal) = (weight, heads, isCausal)
    (self.student, self.teacher) = (student, teacher)
  }

  /// The loss that settings ask for; nil where they ask for none.
  ///
  /// - Parameters:
  ///   - student: its blocks, and the widths of queries and of keys.
  ///   - teacher: the same of the teacher.
  ///   - heads: the most relation heads where none are asked for.
  /// - Throws: ``TrainingError`` for a block that the teacher has not, or heads that do not divide a width.
  init?(
    _ settings: TrainingSettings, student: (blocks: Int, widths: [Int]),
    teacher: (blocks: Int, widths: [Int]), heads: Int, isCausal: Bool
  ) throws {
    guard settings.relationWeight > 0 else { return nil }
    let layer = settings.relationLayer ?? teacher.blocks
    guard (1...teacher.blocks).contains(layer) else {
      throw TrainingError("relation-layer \(layer): the teacher has \(teacher.blocks) blocks")
    }
    let widths = student.widths + teacher.widths
    let count = settings.relationHeads ?? Self.heads(dividing: widths, most: heads)
    guard widths.allSatisfy({ $0 % count == 0 }) else {
      throw TrainingError(
        "relation-heads \(count) does not divide all widths of queries and keys: \(widths)")
    }
    self.init(
      weight: settings.relationWeight, heads: count, student: student.blocks - 1, teacher: layer - 1,
      isCausal: isCausal)
  }

  /// The relation heads of models of these widths of queries and of keys, where none are asked for: the most up to `most` that divide
  /// all of them.
  package static func heads(dividing widths: [Int], most: Int) -> Int {
    (1...max(1, most)).last { count in widths.allSatisfy { $0 % count == 0 } } ?? 1
  }

  /// The sum of the tokens' losses, each the mean over heads and over queries, keys and values.
  ///
  /// - Parameter scale: what gradients are multiplied by: 1 / the tokens of the whole batch.
  /// - Returns: the loss, and its gradients by the student's rows.
  package func run(
    student: AttentionRows<Number>, teacher: AttentionRows<Number>?, documents: [Range<Int>], scale: Number
  ) -> (loss: Double, gradients: AttentionRows<Number>)? {
    guard let teacher else { return nil }
    let gradients = student.all.map { NumberBuffer<Number>($0.count) }
    let tokens = max(1, documents.map(\.upperBound).max() ?? 1)
    let (count, share) = (documents.count * heads, weight / Double(3 * heads))
    let losses = NumberBuffer<Double>(3 * count)
    let pairs = zip(student.all, teacher.all).map { ($0, $1) }
    let heads = heads
    Parallel.forEach(3 * count) { index in
      let (kind, rest) = (index / count, index % count)
      let (document, head) = (documents[rest / heads], rest % heads)
      let (own, goal) = pairs[kind]
      func part(_ rows: NumberBuffer<Number>) -> Part {
        let width = rows.count / tokens
        return Part(
          base: UnsafePointer(rows.base + document.lowerBound * width + head * (width / heads)), row: width,
          length: width / heads)
      }
      let (x, y) = (part(own), part(goal))
      losses.base[index] =
        share
        * self.compare(
          x, y, tokens: document.count, scale: scale * Number(share),
          gradient: gradients[kind].base + (x.base - UnsafePointer(own.base)))
    }
    return (
      losses.array.reduce(0, +),
      AttentionRows(queries: gradients[0], keys: gradients[1], values: gradients[2])
    )
  }

  /// One head's rows in one document.
  private struct Part {
    let base: UnsafePointer<Number>
    let row, length: Int
  }

  /// The sum of the rows' divergences; adds `scale` times their gradient.
  private func compare(
    _ x: Part, _ y: Part, tokens: Int, scale: Number, gradient: UnsafeMutablePointer<Number>
  ) -> Double {
    let size = Self.tile * tokens
    let (own, goal) = (
      NumberBuffer<Number>(size, isZeroed: false), NumberBuffer<Number>(size, isZeroed: false)
    )
    let unit = 1 / Number(x.length).squareRoot()
    var loss = 0.0
    for start in stride(from: 0, to: tokens, by: Self.tile) {
      let rows = min(Self.tile, tokens - start)
      let columns = isCausal ? start + rows : tokens
      scores(x, start, rows, columns, into: own)
      scores(y, start, rows, columns, into: goal)
      for row in 0..<rows {
        let seen = isCausal ? start + row + 1 : columns
        loss += difference(
          own.base + row * columns, goal.base + row * columns, seen: seen, columns: columns)
      }
      // S = X Xᵀ / √d: dX += dS X and dSᵀ X.
      let slopes = UnsafePointer(own.base)
      add(
        (slopes, columns, 1), (x.base, x.row, 1), rows, columns, x.length, scale * unit,
        gradient + start * x.row, x.row)
      add(
        (slopes, 1, columns), (x.base + start * x.row, x.row, 1), columns, rows, x.length, scale * unit,
        gradient, x.row)
    }
    return loss
  }

  /// The scores of some rows.
  private func scores(
    _ x: Part, _ start: Int, _ rows: Int, _ columns: Int, into result: NumberBuffer<Number>
  ) {
    result.base.update(repeating: 0, count: rows * columns)
    add(
      (x.base + start * x.row, x.row, 1), (x.base, 1, x.row), rows, x.length, columns,
      1 / Number(x.length).squareRoot(), result.base, columns)
  }

  /// KL(goal ‖ own) of two rows of scores; `own` becomes the gradient by its scores.
  private func difference(
    _ own: UnsafeMutablePointer<Number>, _ goal: UnsafeMutablePointer<Number>, seen: Int, columns: Int
  ) -> Double {
    let (a, b) = (sum(own, seen), sum(goal, seen))
    var loss = 0.0
    for place in 0..<seen {
      let (x, y) = (Double(own[place]) - a, Double(goal[place]) - b)
      let wanted = Double(Double.exponential(y))
      loss += wanted * (y - x)
      own[place] = Number(Double.exponential(x) - wanted)
    }
    (own + seen).update(repeating: 0, count: columns - seen)
    return loss
  }

  /// ln Σ eˣ.
  private func sum(_ x: UnsafePointer<Number>, _ count: Int) -> Double {
    var peak = -Number.infinity
    for place in 0..<count { peak = max(peak, x[place]) }
    var sum = 0.0
    for place in 0..<count { sum += Double.exponential(Double(x[place] - peak)) }
    return Double(peak) + Double.logarithm(sum)
  }

  private func add(
    _ a: TrainingProduct<Number>.Factor, _ b: TrainingProduct<Number>.Factor, _ rows: Int, _ inner: Int,
    _ columns: Int, _ alpha: Number, _ c: UnsafeMutablePointer<Number>, _ row: Int
  ) {
    Number.add(
      TrainingProduct(
        a: a, b: b, c: c, row: row, rows: rows, inner: inner, columns: columns, alpha: alpha, isAlone: true))
  }
}
