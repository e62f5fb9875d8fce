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

  /// Rows that are worked on together.
  private static let pieceRows = 128

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
                guard let w = weights.baseAddress, let m = feedback.baseAddress,
                  let h = gram.baseAddress, let grids = view.grids(from: first)
                else { return }
                let height = min(Self.pieceRows, rows - first)
                let work = FeedbackPiece(
                  w + first * columns, rows: height, columns: columns, order: factor.order, grids: grids,
                  zeros: zeros?[first * columns..<(first + height) * columns])
                work.round(m)
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
}
