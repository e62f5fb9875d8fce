import TensorCore
import Testing

/// Rounding with error feedback on every instruction set, against the loops that define it.
@Suite("Blocks of error feedback")
struct FeedbackPieceTests {
  private static let (rows, columns, length) = (19, 300, 30)
  private static let levels: [Float] = [-7, -4, -2.5, -1, 0, 1.5, 3, 4, 8]

  private struct Case {
    var weights, matrix, scales, inverses, offsets: [Float]
    var order: [Int]

    init() {
      let (rows, columns) = (FeedbackPieceTests.rows, FeedbackPieceTests.columns)
      weights = LinearAlgebraTests.numbers(rows * columns, seed: 1)
      // Diagonally dominant, so that coordinate descent means something; its lower part is the feedback.
      matrix = LinearAlgebraTests.numbers(columns * columns, seed: 2).map { $0 * 0.02 }
      for i in 0..<columns {
        for j in 0..<i { matrix[j * columns + i] = matrix[i * columns + j] }
        matrix[i * columns + i] = 1 + 0.01 * Float(i % 7)
      }
      scales = LinearAlgebraTests.numbers(rows * columns / 30, seed: 3).map { 0.08 + abs($0) * 0.1 }
      scales[3] = 0
      inverses = scales.map { $0 == 0 ? 0 : 1 / $0 }
      offsets = LinearAlgebraTests.numbers(rows * columns / 30, seed: 4).map { $0 * 0.05 }
      order = (0..<columns).map { ($0 * 7 + 3) % columns }
    }
  }

  /// The definition, one row after the other.
  private struct Naive {
    let sample: Case
    let levels: [Float]
    var codes: [UInt8]
    var errors: [Float]

    init(_ sample: Case, _ levels: [Float]) {
      (self.sample, self.levels) = (sample, levels)
      codes = [UInt8](repeating: 0, count: FeedbackPieceTests.rows * FeedbackPieceTests.columns)
      errors = [Float](repeating: 0, count: codes.count)
    }

    func nearest(_ x: Float, _ grid: Int) -> (code: Int, value: Float) {
      let t = (x - sample.offsets[grid]) * sample.inverses[grid]
      var code = 0
      while code + 1 < levels.count, t > (levels[code] + levels[code + 1]) / 2 { code += 1 }
      return (code, sample.scales[grid] * levels[code] + sample.offsets[grid])
    }

    /// `sums` gives what the errors come to at a place.
    mutating func pass(
      _ matrix: [Float], descends: Bool
    ) {
      let (rows, columns) = (FeedbackPieceTests.rows, FeedbackPieceTests.columns)
      for row in 0..<rows {
        for place in (0..<columns).reversed() {
          let column = sample.order[place]
          let grid = row * (columns / FeedbackPieceTests.length) + column / FeedbackPieceTests.length
          let index = row * columns + place
          let w = sample.weights[row * columns + column]
          let others = descends ? 0..<columns : place + 1..<columns
          let sum = others.reduce(0.0) {
            $0 + Double(errors[row * columns + $1]) * Double(matrix[$1 * columns + place])
          }
          guard descends else {
            let found = nearest(w + Float(sum), grid)
            (codes[index], errors[index]) = (UInt8(found.code), w - found.value)
            continue
          }
          let curvature = Double(matrix[place * columns + place])
          let found = nearest(w - errors[index] + Float(sum / curvature), grid)
          let change = Double(w - found.value - errors[index])
          guard found.code != Int(codes[index]), change * (2 * sum + change * curvature) < 0 else { continue }
          (codes[index], errors[index]) = (UInt8(found.code), w - found.value)
        }
      }
    }
  }

  @Test("codes and descents are those of the definition", arguments: instructionSets, [true, false])
  func definition(_ set: String, isUniform: Bool) {
    let sample = Case()
    let levels = isUniform ? (-5...6).map { Float($0) } : Self.levels
    let (rows, columns) = (Self.rows, Self.columns)
    var naive = Naive(sample, levels)
    var found = [[UInt8]](repeating: [UInt8](repeating: 0, count: rows * columns), count: 2)
    let changes = withInstructionSet(set) {
      sample.weights.withUnsafeBufferPointer { weights in
        sample.scales.withUnsafeBufferPointer { scales in
          sample.inverses.withUnsafeBufferPointer { inverses in
            sample.offsets.withUnsafeBufferPointer { offsets in
              levels.withUnsafeBufferPointer { levels in
                sample.matrix.withUnsafeBufferPointer { matrix -> Int in
                  guard let w = weights.baseAddress, let s = scales.baseAddress, let m = matrix.baseAddress,
                    let i = inverses.baseAddress, let o = offsets.baseAddress
                  else { return -1 }
                  let piece = FeedbackPiece(
                    w, rows: rows, columns: columns, order: sample.order,
                    grids: .init(
                      scales: s, inverses: i, offsets: o, groups: columns / Self.length,
                      groupLength: Self.length, levels: levels, isUniform: isUniform))
                  piece.round(m)
                  found[0].withUnsafeMutableBufferPointer { $0.baseAddress.map { piece.store($0) } }
                  let changes = piece.descend(m)
                  found[1].withUnsafeMutableBufferPointer { $0.baseAddress.map { piece.store($0) } }
                  return changes
                }
              }
            }
          }
        }
      }
    }
    naive.pass(sample.matrix, descends: false)
    #expect(share(found[0], naive, sample) > 0.98)
    naive.pass(sample.matrix, descends: true)
    #expect(share(found[1], naive, sample) > 0.97)
    #expect(changes == zip(found[0], found[1]).count { $0 != $1 } && changes > 0)
  }

  /// A tie that single precision decides otherwise changes what comes after it.
  private func share(_ found: [UInt8], _ naive: Naive, _ sample: Case) -> Double {
    var same = 0
    for row in 0..<Self.rows {
      for place in 0..<Self.columns {
        let mine = found[row * Self.columns + sample.order[place]]
        same += mine == naive.codes[row * Self.columns + place] ? 1 : 0
      }
    }
    return Double(same) / Double(found.count)
  }
}
