package import TensorCore

/// Which weights of a matrix become zero.
package struct PruneMask: Sendable, Equatable {
  /// The number of rows.
  package let rows: Int
  /// The number of columns.
  package let columns: Int
  /// Whether each weight is dropped, row by row.
  package var dropped: [Bool]

  /// Where scores compete.
  package enum Scope: String, Sendable, CaseIterable {
    /// Over the whole matrix.
    case tensor
    /// In each row by itself: all rows lose as many.
    case row
  }

  /// Nothing dropped.
  package init(rows: Int, columns: Int) {
    self.rows = rows
    self.columns = columns
    dropped = [Bool](repeating: false, count: rows * columns)
  }

  /// The weights with the lowest scores, as many as `pattern` asks for; of equal scores those that come first, row by row.
  ///
  /// - Parameters:
  ///   - scores: rows × columns, none negative.
  ///   - scope: where a share is taken; groups compete within themselves.
  package init(lowest scores: Matrix, _ pattern: SparsityPattern, scope: Scope) {
    self.init(rows: scores.rows, columns: scores.columns)
    let (rows, columns) = (rows, columns)
    scores.elements.withUnsafeBufferPointer { scores in
      dropped.withUnsafeMutableBufferPointer { dropped in
        guard let base = dropped.baseAddress else { return }
        if case .share(let share) = pattern, scope == .tensor {
          LowestScores.drop(SparsityPattern.dropped(share, of: scores.count), of: scores, into: base)
          return
        }
        nonisolated(unsafe) let (target, source) = (base, scores)
        Parallel.forEach(rows) { row in
          let line = UnsafeBufferPointer(rebasing: source[row * columns..<(row + 1) * columns])
          switch pattern {
          case .share(let share):
            LowestScores.drop(
              SparsityPattern.dropped(share, of: columns), of: line, into: target + row * columns)
          case .groups(let kept, let length):
            LowestScores.dropInGroups(keeping: kept, of: length, line, into: target + row * columns)
          }
        }
      }
    }
  }

  /// How many weights of a matrix stay.
  package static func kept(rows: Int, columns: Int, _ pattern: SparsityPattern, scope: Scope) -> Int {
    switch pattern {
    case .share(let share) where scope == .tensor:
      return rows * columns - SparsityPattern.dropped(share, of: rows * columns)
    case .share(let share): return rows * (columns - SparsityPattern.dropped(share, of: columns))
    case .groups(let kept, let length):
      let rest = columns % length
      return rows * (columns / length * kept + (rest * kept + length - 1) / length)
    }
  }

  /// The number of weights that are dropped.
  package var count: Int { dropped.reduce(0) { $0 + ($1 ? 1 : 0) } }

  /// `matrix` with zeros where weights are dropped.
  package func applied(to matrix: Matrix) -> Matrix {
    var result = matrix
    clear(&result.elements)
    return result
  }

  /// Sets what is dropped of rows × columns numbers to zero.
  func clear(_ numbers: inout [Float]) {
    numbers.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { clear(base) } }
  }

  /// Sets what is dropped of rows × columns numbers to zero.
  func clear(_ values: UnsafeMutablePointer<Float>) {
    let columns = columns
    withMarks { marks in
      nonisolated(unsafe) let (bits, marks) = (
        UnsafeMutableRawPointer(values).assumingMemoryBound(to: UInt32.self), marks
      )
      Parallel.forEach(rows) { row in
        for place in row * columns..<(row + 1) * columns { bits[place] &= UInt32(marks[place]) &- 1 }
      }
    }
  }

  /// Calls `body` with the marks of each row, on several threads.
  func forEachRow(_ body: @Sendable (_ row: Int, _ marks: UnsafePointer<UInt8>) -> Void) {
    withMarks { marks in
      nonisolated(unsafe) let marks = marks
      Parallel.forEach(rows) { row in body(row, marks + row * columns) }
    }
  }

  /// The marks as numbers, 1 for what is dropped: arithmetic on them is done many at a time, where a Bool is a jump.
  func withMarks(_ body: (UnsafePointer<UInt8>) -> Void) {
    dropped.withUnsafeBufferPointer { dropped in
      guard let base = dropped.baseAddress else { return }
      body(UnsafeRawPointer(base).assumingMemoryBound(to: UInt8.self))
    }
  }
}

extension Matrix {
  /// Whether so many weights are exactly zero that it is no chance: a sixteenth or more.
  var isPruned: Bool {
    let zeros = elements.count { $0 == 0 }
    return zeros > 0 && zeros * 16 >= elements.count
  }

  /// Which weights are exactly zero, where they are too many for chance: a sixteenth or more. Nil for a dense matrix.
  var prunedWeights: [Bool]? {
    isPruned ? elements.map { $0 == 0 } : nil
  }
}
