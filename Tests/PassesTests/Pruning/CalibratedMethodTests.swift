import Foundation
import Passes
import TensorCore
import Testing

/// Methods that look at inputs, against naive references in double precision.
@Suite("Pruning by what inputs are")
struct CalibratedMethodTests {
  private func gram(_ sample: RoundingCase, ridge: Double) -> [Double] { sample.wide(ridge).flatMap { $0 } }

  @Test("SparseGPT is that of the paper, in one block and in several", arguments: [40, 300])
  func sparseGPT(columns: Int) throws {
    let sample = RoundingCase(rows: 5, columns: columns, tokens: 2 * columns, seed: 51)
    let wide = sample.wide(0.01)
    for pattern in [
      SparsityPattern.share(0.5), .share(0.3), .groups(kept: 2, of: 4), .groups(kept: 4, of: 8),
    ] {
      let found = try SparseGPT.pruned(sample.weights, gram: gram(sample, ridge: 0.01), pattern: pattern)
      let naive: [[Double]]
      switch pattern {
      case .share(let share): naive = NaivePruning.sparseGPT(sample.weights, gram: wide, share: share)
      case .groups(let kept, let length):
        naive = NaivePruning.sparseGPT(
          sample.weights, gram: wide, share: nil, dropsPerGroup: length - kept, length: length)
      }
      for row in 0..<5 {
        for column in 0..<columns {
          #expect((found[row, column] == 0) == (naive[row][column] == 0))
          #expect(abs(Double(found[row, column]) - naive[row][column]) < 1e-5)
        }
      }
    }
  }

  @Test("kept weights come to the least squares solution of each row")
  func refit() {
    let sample = RoundingCase(rows: 4, columns: 24, tokens: 300, seed: 53)
    let wide = sample.wide(0.01)
    let gram = wide.flatMap { $0.map { Float($0) } }
    let mask = PruneMask(lowest: magnitudes(sample.weights), .share(0.5), scope: .row)
    let problem = MaskedRefit(target: sample.weights, gram: gram)
    let found = problem.refit(from: sample.weights, mask: mask, iterations: 200)
    for row in 0..<4 {
      let kept = (0..<24).filter { !mask.dropped[row * 24 + $0] }
      let inverse = NaiveFeedback.inverted(kept.map { i in kept.map { wide[i][$0] } })
      let right = kept.map { c in (0..<24).reduce(0.0) { $0 + Double(sample.weights[row, $1]) * wide[$1][c] }
      }
      for (place, column) in kept.enumerated() {
        let expected = zip(inverse[place], right).reduce(0.0) { $0 + $1.0 * $1.1 }
        #expect(abs(Double(found[row, column]) - expected) < 1e-4)
      }
      for column in 0..<24 where mask.dropped[row * 24 + column] { #expect(found[row, column] == 0) }
    }
  }

  @Test(
    "outputs that depend on each other: the gradient vanishes on the kept weights, and each step lowers the loss"
  )
  func refitTogether() {
    let sample = RoundingCase(rows: 6, columns: 20, tokens: 200, seed: 57)
    let outputs = RoundingCase(rows: 1, columns: 6, tokens: 50, seed: 58).wide(0.1)
    let wide = sample.wide(0.01)
    let mask = PruneMask(lowest: magnitudes(sample.weights), .share(0.5), scope: .tensor)
    let problem = MaskedRefit(
      target: sample.weights, gram: wide.flatMap { $0.map { Float($0) } },
      outputs: outputs.flatMap { $0.map { Float($0) } })
    var losses: [Double] = []
    for count in [0, 1, 2, 5, 10, 300] {
      losses.append(problem.loss(of: problem.refit(from: sample.weights, mask: mask, iterations: count)))
    }
    for (before, after) in zip(losses, losses.dropFirst()) { #expect(after <= before * (1 + 1e-6)) }
    let q = problem.refit(from: sample.weights, mask: mask, iterations: 300)
    var largest = 0.0
    for row in 0..<6 {
      for column in 0..<20 where !mask.dropped[row * 20 + column] {
        var slope = 0.0
        for i in 0..<6 {
          for j in 0..<20 {
            slope += outputs[row][i] * Double(sample.weights[i, j] - q[i, j]) * wide[j][column]
          }
        }
        largest = max(largest, abs(slope))
      }
    }
    #expect(largest < 1e-3 * losses[0].squareRoot())
  }

  @Test("masks by alternating directions are those of the definition")
  func alternating() throws {
    let sample = RoundingCase(rows: 6, columns: 24, tokens: 200, seed: 61)
    for pattern in [SparsityPattern.share(0.5), .groups(kept: 2, of: 4)] {
      let scope = PruneMask.Scope.tensor
      let found = try AlternatingMask.mask(of: sample.weights, gram: sample.gram) {
        PruneMask(lowest: $0, pattern, scope: scope)
      }
      let naive = NaivePruning.alternating(sample.weights, gram: sample.gram, steps: 120) { scores in
        let matrix = Matrix(rows: 6, columns: 24, elements: scores.flatMap { $0.map { Float($0) } })
        let mask = PruneMask(lowest: matrix, pattern, scope: scope)
        return (0..<6).map { row in (0..<24).map { mask.dropped[row * 24 + $0] } }
      }
      let same = zip(found.dropped, naive.flatMap { $0 }).filter { $0 == $1 }.count
      #expect(same >= 6 * 24 - 4, "\(same) of \(6 * 24)")
      // And better than the largest weights, each with its least squares.
      let gram = sample.wide(0.01).flatMap { $0.map { Float($0) } }
      let problem = MaskedRefit(target: sample.weights, gram: gram)
      let plain = PruneMask(lowest: magnitudes(sample.weights), pattern, scope: scope)
      let (a, b) = (
        problem.loss(of: problem.refit(from: sample.weights, mask: found, iterations: 100)),
        problem.loss(of: problem.refit(from: sample.weights, mask: plain, iterations: 100))
      )
      #expect(a < b)
    }
  }

  @Test("shares by loss: one threshold for all matrices, as many in all as asked for")
  func allocation() {
    var generator = SeededGenerator(seed: 67)
    var (all, allocation) = ([(name: String, loss: Float)](), SparsityAllocation())
    for (name, scale) in [("a", Float(1)), ("b", 3), ("c", 10)] {
      let matrix = Matrix(
        rows: 10, columns: 50, elements: (0..<500).map { _ in scale * Float(generator.uniform()) })
      allocation.add(name, losses: matrix)
      all += matrix.elements.map { (name, $0) }
    }
    for share in [0.1, 0.5, 0.9] {
      let counts = allocation.counts(share, spread: 1)
      #expect(counts.values.reduce(0, +) == Int((share * 1500).rounded()))
      let order = all.sorted { $0.loss < $1.loss }.prefix(Int((share * 1500).rounded()))
      for name in ["a", "b", "c"] {
        // A step of the scale is 4 %.
        #expect(abs((counts[name] ?? 0) - order.count { $0.name == name }) < 25)
      }
      let near = allocation.counts(share, spread: 0.05)
      #expect(near.values.reduce(0, +) == Int((share * 1500).rounded()))
      for count in near.values { #expect(abs(Double(count) / 500 - share) <= 0.0501) }
    }
    #expect(SparsityAllocation().counts(0.5, spread: 0.1).isEmpty)
  }

  @Test("OWL's shares: the mean is kept, outliers keep more")
  func owl() {
    let shares = SparsityAllocation.owl(outliers: [0.01, 0.03, 0.02], share: 0.5, spread: 0.08)
    #expect(abs(shares.reduce(0, +) / 3 - 0.5) < 1e-12)
    #expect(abs(shares[0] - 0.58) < 1e-12 && abs(shares[1] - 0.42) < 1e-12 && abs(shares[2] - 0.5) < 1e-12)
    #expect(SparsityAllocation.owl(outliers: [0.1, 0.1], share: 0.5, spread: 0.08) == [0.5, 0.5])
  }

  private func magnitudes(_ matrix: Matrix) -> Matrix {
    Matrix(rows: matrix.rows, columns: matrix.columns, elements: matrix.elements.map { abs($0) })
  }
}
