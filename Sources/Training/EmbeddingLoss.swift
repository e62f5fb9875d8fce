import TensorCore

/// How far a student's embeddings and states are from its teacher's: 1 − cosine of embeddings, the squared error of states, and the
/// squared error of the cosines between the texts of a part.
package struct EmbeddingLoss<Number: TrainingNumber> {
  /// Whether an embedding is the first token's state; else the mean of all.
  let takesFirst: Bool
  let width: Int
  package var stateWeight = 1.0
  package var relationWeight = 1.0

  /// A loss of embeddings of `width`.
  package init(takesFirst: Bool, width: Int) {
    self.takesFirst = takesFirst
    self.width = width
  }

  /// The embedding of each document, before it is normalised.
  func pooled(_ states: NumberBuffer<Number>, _ packed: PackedTokens) -> [[Double]] {
    packed.documents.map { document in
      let rows = takesFirst ? document.prefix(1) : document
      var sum = [Double](repeating: 0, count: width)
      for row in rows {
        for i in 0..<width { sum[i] += Double(states.base[row * width + i]) }
      }
      return sum.map { $0 / Double(rows.count) }
    }
  }

  static func length(_ x: [Double]) -> Double {
    max(x.reduce(0) { $0 + $1 * $1 }.squareRoot(), 1e-12)
  }

  static func dot(_ x: [Double], _ y: [Double]) -> Double { zip(x, y).reduce(0) { $0 + $1.0 * $1.1 } }

  static func directions(_ x: [[Double]]) -> [[Double]] {
    x.map { row in
      let size = length(row)
      return row.map { $0 / size }
    }
  }

  /// The sum of the documents' losses over `total`.
  ///
  /// - Parameters:
  ///   - total: the documents of the whole batch.
  ///   - gradient: becomes the gradient by the student's states.
  package func run(
    student: NumberBuffer<Number>, teacher: NumberBuffer<Number>, _ packed: PackedTokens, total: Int,
    gradient: NumberBuffer<Number>
  ) -> Double {
    let (own, goal) = (pooled(student, packed), pooled(teacher, packed))
    let (unit, wanted) = (Self.directions(own), Self.directions(goal))
    let count = own.count
    var loss = 0.0
    var slopes = [[Double]](repeating: [Double](repeating: 0, count: width), count: count)
    let pairs = relationWeight * Double(count) / Double(max(1, count * (count - 1)))
    for a in 0..<count {
      loss += 1 - Self.dot(unit[a], wanted[a])
      for i in 0..<width { slopes[a][i] -= wanted[a][i] }
      for b in 0..<count where b != a {
        let difference = Self.dot(unit[a], unit[b]) - Self.dot(wanted[a], wanted[b])
        loss += pairs * difference * difference
        for i in 0..<width { slopes[a][i] += 4 * pairs * difference * unit[b][i] }
      }
    }
    for (place, document) in packed.documents.enumerated() {
      let (size, along) = (Self.length(own[place]), Self.dot(slopes[place], unit[place]))
      let rows = takesFirst ? document.prefix(1) : document
      let each = 1 / (Double(total) * size * Double(rows.count))
      let states = stateWeight / Double(document.count * width)
      for row in document {
        let isPooled = rows.contains(row)
        for i in 0..<width {
          let index = row * width + i
          let difference = Double(student.base[index] - teacher.base[index])
          loss += states * difference * difference
          var slope = 2 * states * difference / Double(total)
          if isPooled { slope += each * (slopes[place][i] - along * unit[place][i]) }
          gradient.base[index] = Number(slope)
        }
      }
    }
    return loss / Double(total)
  }
}
