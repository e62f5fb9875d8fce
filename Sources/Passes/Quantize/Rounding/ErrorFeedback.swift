package import TensorCore

/// Rounding of a matrix to given grids so that the *outputs* of a layer stay close, not the weights.
///
/// Rows are independent and are worked on in pieces of fixed size, so results do not depend on the number of threads.
package struct ErrorFeedback: Sendable {
  let factor: FeedbackFactor
  let grids: RowGrids

  /// Rounding to `grids` for inputs with the covariance in `factor`.
  package init(factor: FeedbackFactor, grids: RowGrids) {
    self.factor = factor
    self.grids = grids
  }

  /// Rows of a piece, and columns of a block between two products with the rest.
  private static let pieceRows = 64
  private static let blockColumns = 64

  /// The codes of `target`, rows × columns in the columns' own order.
  ///
  /// - Parameters:
  ///   - target: the weights to come close to, rows × columns.
  ///   - sweeps: the passes of coordinate descent afterwards, each of which can only lower the error.
  ///   - zeros: the weights that become zero, or the code nearest to it, whatever is fed back to them; row by row. Nil for none.
  package func round(_ target: Matrix, sweeps: Int, zeros: [Bool]? = nil) -> [UInt8] {
    let (rows, columns) = (target.rows, target.columns)
    precondition(zeros.map { $0.count == rows * columns } ?? true, "a mark for each weight")
    return [UInt8](unsafeUninitializedCapacity: rows * columns) { codes, count in
      guard let base = codes.baseAddress else { return }
      nonisolated(unsafe) let output = base
      target.elements.withUnsafeBufferPointer { weights in
        nonisolated(unsafe) let weights = weights
        grids.withView { view in
          factor.feedback.withUnsafeBufferPointer { feedback in
            factor.gram.withUnsafeBufferPointer { gram in
              nonisolated(unsafe) let (feedback, gram) = (feedback, gram)
              Parallel.forEach((rows + Self.pieceRows - 1) / Self.pieceRows) { piece in
                let first = piece * Self.pieceRows
                guard let w = weights.baseAddress, let m = feedback.baseAddress, let h = gram.baseAddress
                else { return }
                var work = Piece(
                  first: first, rows: min(Self.pieceRows, rows - first), columns: columns, view: view,
                  order: factor.order, zeros: zeros)
                work.load(w + first * columns)
                work.roundAll(m)
                for _ in 0..<sweeps { if work.descend(h) == 0 { break } }
                work.store(output + first * columns)
              }
            }
          }
        }
      }
      count = rows * columns
    }
  }

  /// The rows of one piece, columns in the order of rounding reversed.
  private struct Piece {
    let first, rows, columns: Int
    let view: RowGrids.View
    let order: [Int]
    /// Marks of the whole matrix.
    let zeros: [Bool]?
    /// The weights, the errors w − q, and the codes: rows × columns.
    private let weights, errors, scratch: UnsafeMutablePointer<Float>
    private let codes: UnsafeMutablePointer<UInt8>
    private let owner: Memory

    private final class Memory {
      let floats: UnsafeMutablePointer<Float>
      let bytes: UnsafeMutablePointer<UInt8>
      init(_ count: Int, scratch: Int) {
        floats = .allocate(capacity: 2 * count + scratch)
        floats.initialize(repeating: 0, count: 2 * count + scratch)
        bytes = .allocate(capacity: max(count, 1))
        bytes.initialize(repeating: 0, count: max(count, 1))
      }
      deinit {
        floats.deallocate()
        bytes.deallocate()
      }
    }

    init(first: Int, rows: Int, columns: Int, view: RowGrids.View, order: [Int], zeros: [Bool]?) {
      (self.first, self.rows, self.columns, self.view, self.order) = (first, rows, columns, view, order)
      self.zeros = zeros
      owner = Memory(rows * columns, scratch: rows * ErrorFeedback.blockColumns)
      weights = owner.floats
      errors = weights + rows * columns
      scratch = errors + rows * columns
      codes = owner.bytes
    }

    @inline(__always) private func isZero(_ row: Int, _ place: Int) -> Bool {
      zeros.map { $0[(first + row) * columns + order[place]] } ?? false
    }

    func load(_ source: UnsafePointer<Float>) {
      for row in 0..<rows {
        for place in 0..<columns {
          weights[row * columns + place] = source[row * columns + order[place]]
        }
      }
    }

    func store(_ target: UnsafeMutablePointer<UInt8>) {
      for row in 0..<rows {
        for place in 0..<columns {
          target[row * columns + order[place]] = codes[row * columns + place]
        }
      }
    }

    /// Every column once, from the last to the first, each to what is left of its own weight and of the errors before.
    mutating func roundAll(_ feedback: UnsafePointer<Float>) {
      let block = ErrorFeedback.blockColumns
      for start in stride(from: (columns - 1) / block * block, through: 0, by: -block) {
        let end = min(start + block, columns)
        let width = end - start
        LinearAlgebra.product(
          errors + end, columns, feedback + end * columns + start, columns, rows: rows, inner: columns - end,
          columns: width, into: scratch, block)
        for row in 0..<rows {
          let shift = scratch + row * block
          for place in stride(from: end - 1, through: start, by: -1) {
            let (index, grid) = (row * columns + place, view.place(row: first + row, column: order[place]))
            let weight = weights[index]
            let code = view.code(of: isZero(row, place) ? 0 : weight + shift[place - start], at: grid)
            let error = weight - view.value(of: code, at: grid)
            codes[index] = code
            errors[index] = error
            Kernels.addScaled(error, feedback + place * columns + start, to: shift, count: place - start)
          }
        }
      }
    }

    /// One pass of coordinate descent on e H eᵀ: each code to the best, all others fixed.
    ///
    /// - Returns: how many codes changed.
    mutating func descend(_ gram: UnsafePointer<Float>) -> Int {
      let block = ErrorFeedback.blockColumns
      var changes = 0
      for start in stride(from: (columns - 1) / block * block, through: 0, by: -block) {
        let end = min(start + block, columns)
        LinearAlgebra.product(
          errors, columns, gram + start, columns, rows: rows, inner: columns, columns: end - start,
          into: scratch, block)
        for row in 0..<rows {
          let slope = scratch + row * block
          for place in stride(from: end - 1, through: start, by: -1) where !isZero(row, place) {
            let (index, grid) = (row * columns + place, view.place(row: first + row, column: order[place]))
            let curvature = gram[place * columns + place]
            let now = weights[index] - errors[index]
            let code = view.code(of: now + slope[place - start] / curvature, at: grid)
            guard code != codes[index] else { continue }
            let error = weights[index] - view.value(of: code, at: grid)
            let change = error - errors[index]
            // Only if it pays in exact terms: rounding may land on a tie.
            guard change * (2 * slope[place - start] + change * curvature) < 0 else { continue }
            codes[index] = code
            errors[index] = error
            changes += 1
            Kernels.addScaled(change, gram + place * columns + start, to: slope, count: end - start)
          }
        }
      }
      return changes
    }
  }
}
