import Foundation
import Passes
import TensorCore
import Testing

@Suite("What pruned layers are rounded towards")
struct PrunedTargetTests {
  private let rows = 6
  private let columns = 24
  private let tokens = 400

  @Test("kept weights come near to those that fit the original's outputs best; zeros stay")
  func leastSquares() throws {
    var generator = SeededGenerator(seed: 83)
    func numbers(_ count: Int, _ size: Float) -> [Float] {
      (0..<count).map { _ in size * (Float(generator.uniform()) - 0.5) }
    }
    let original = Matrix(rows: rows, columns: columns, elements: numbers(rows * columns, 1))
    let base = numbers(tokens, 2)
    // Inputs have much in common, so that kept weights can make up for the others.
    let x = numbers(tokens * columns, 1).enumerated().map { $1 + base[$0 / columns] }
    let moved = zip(x, numbers(x.count, 0.2)).map { $0 + $1 }
    let scores = Matrix(rows: rows, columns: columns, elements: original.elements.map { abs($0) })
    let mask = PruneMask(lowest: scores, .share(0.5), scope: .row)
    let pruned = mask.applied(to: original)

    var observation = LayerObservation(width: columns)
    observation.add(original: x, compressed: moved, tokens: tokens)
    observation.finish()
    var step = CalibrationSweep.Step(block: 0, layers: [.init("a", pruned)], observation: observation)
    #expect(try PrunedTarget(step, ridge: 0.001) == nil)
    step.originals = [.init("a", original)]
    let found = try #require(try PrunedTarget(step, ridge: 0.001))
      .target(pruned, "a", at: 0..<rows, blend: 1)
    for (value, isDropped) in zip(found.elements, mask.dropped) where isDropped { #expect(value == 0) }

    let best = leastSquares(original, mask, x, moved)
    let losses = [pruned, found, best].map { loss(original, $0, x, moved) }
    #expect(losses[1] - losses[2] < 0.05 * (losses[0] - losses[2]), "\(losses)")
    // Nothing is dropped of another layer: nothing to aim at.
    step = CalibrationSweep.Step(block: 0, layers: [.init("a", original)], observation: observation)
    step.originals = [.init("a", original)]
    #expect(try PrunedTarget(step, ridge: 0.001) == nil)
  }

  /// Σ ‖W x − Q x′‖².
  private func loss(_ w: Matrix, _ q: Matrix, _ x: [Float], _ y: [Float]) -> Double {
    var sum = 0.0
    for token in 0..<tokens {
      for row in 0..<rows {
        var difference = 0.0
        for column in 0..<columns {
          difference += Double(w[row, column]) * Double(x[token * columns + column])
          difference -= Double(q[row, column]) * Double(y[token * columns + column])
        }
        sum += difference * difference
      }
    }
    return sum
  }

  /// The kept weights by normal equations, in double precision.
  private func leastSquares(_ w: Matrix, _ mask: PruneMask, _ x: [Float], _ y: [Float]) -> Matrix {
    var result = Matrix(rows: rows, columns: columns)
    for row in 0..<rows {
      let kept = (0..<columns).filter { !mask.dropped[row * columns + $0] }
      var (gram, right) = (kept.map { _ in kept.map { _ in 0.0 } }, kept.map { _ in 0.0 })
      for token in 0..<tokens {
        let line = kept.map { Double(y[token * columns + $0]) }
        var output = 0.0
        for column in 0..<columns { output += Double(w[row, column]) * Double(x[token * columns + column]) }
        for i in kept.indices {
          right[i] += output * line[i]
          for j in kept.indices { gram[i][j] += line[i] * line[j] }
        }
      }
      let inverse = NaiveFeedback.inverted(gram)
      for i in kept.indices {
        result[row, kept[i]] = Float(zip(inverse[i], right).reduce(0.0) { $0 + $1.0 * $1.1 })
      }
    }
    return result
  }
}
