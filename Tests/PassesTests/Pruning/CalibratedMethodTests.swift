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
    let problem = MaskedRefit(target: sample.weights, gram: MaskedRefit.Gram(gram, columns: 24))
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

  @Test("each step of a fit lowers the loss, products in half as many bits, too", arguments: [false, true])
  func stepsDown(isRounded: Bool) {
    let sample = RoundingCase(rows: 8, columns: 64, tokens: 300, seed: 57)
    let gram = sample.wide(0.01).flatMap { $0.map { Float($0) } }
    let mask = PruneMask(lowest: magnitudes(sample.weights), .share(0.5), scope: .tensor)
    let problem = MaskedRefit(
      target: sample.weights, gram: MaskedRefit.Gram(gram, columns: 64, isRounded: isRounded))
    let exact = MaskedRefit(target: sample.weights, gram: MaskedRefit.Gram(gram, columns: 64))
    let losses = [0, 1, 2, 3, 5, 10].map {
      exact.loss(of: problem.refit(from: sample.weights, mask: mask, iterations: $0))
    }
    for (before, after) in zip(losses, losses.dropFirst()) { #expect(after <= before * (1 + 1e-4)) }
    let best = exact.loss(of: exact.refit(from: sample.weights, mask: mask, iterations: 200))
    #expect(losses[5] - best < 0.02 * (losses[0] - best))
  }

  @Test("masks by alternating directions are those of the definition", arguments: [24, 64])
  func alternating(_ n: Int) throws {
    let sample = RoundingCase(rows: 6, columns: n, tokens: 8 * n, seed: 61)
    for pattern in [SparsityPattern.share(0.5), .groups(kept: 2, of: 4)] {
      let scope = PruneMask.Scope.tensor
      let (found, weights) = try AlternatingMask(gram: sample.gram, columns: n).solve(sample.weights) {
        PruneMask(lowest: $0, pattern, scope: scope)
      }
      let naive = NaivePruning.alternating(
        sample.weights, gram: sample.gram, penalty: AlternatingMask.penalty, steps: AlternatingMask.steps,
        ridge: AlternatingMask.ridge
      ) { scores in
        let matrix = Matrix(rows: 6, columns: n, elements: scores.flatMap { $0.map { Float($0) } })
        let mask = PruneMask(lowest: matrix, pattern, scope: scope)
        return (0..<6).map { row in (0..<n).map { mask.dropped[row * n + $0] } }
      }
      let same = zip(found.dropped, naive.mask.flatMap { $0 }).filter { $0 == $1 }.count
      // K is in bfloat16, or in 8 bits where rows have blocks of 32: a mask may differ where weights are worth the same.
      #expect(same >= 6 * n * 98 / 100, "\(same) of \(6 * n)")
      for row in 0..<6 {
        for column in 0..<n where !found.dropped[row * n + column] && !naive.mask[row][column] {
          #expect(abs(Double(weights[row, column]) - naive.weights[row][column]) < 0.01)
        }
      }
      // And better than the largest weights, each with its least squares.
      let gram = sample.wide(0.01).flatMap { $0.map { Float($0) } }
      let problem = MaskedRefit(target: sample.weights, gram: MaskedRefit.Gram(gram, columns: n))
      let plain = PruneMask(lowest: magnitudes(sample.weights), pattern, scope: scope)
      let (a, b) = (
        problem.loss(of: problem.refit(from: sample.weights, mask: found, iterations: 100)),
        problem.loss(of: problem.refit(from: sample.weights, mask: plain, iterations: 100))
      )
      #expect(a < b)
    }
  }

  @Test("what inputs pull by stands for the weights that it leads to")
  func pull() throws {
    let sample = RoundingCase(rows: 6, columns: 24, tokens: 300, seed: 71)
    var generator = SeededGenerator(seed: 72)
    var (wanted, gram) = (sample.weights, sample.gram)
    for place in 0..<24 { gram[place * 24 + place] *= 1 + Float(AlternatingMask.ridge) }
    let shift = wanted.elements.map { _ in 0.05 * (Float(generator.uniform()) - 0.5) }
    for place in shift.indices { wanted.elements[place] += shift[place] }
    var pull = [Float](repeating: 0, count: 6 * 24)
    for row in 0..<6 {
      for column in 0..<24 {
        for k in 0..<24 { pull[row * 24 + column] += shift[row * 24 + k] * gram[k * 24 + column] }
      }
    }
    let choose = { (scores: Matrix) in PruneMask(lowest: scores, .share(0.5), scope: .tensor) }
    let (mask, _) = try AlternatingMask(gram: sample.gram, columns: 24)
      .solve(sample.weights, pull: pull, choose: choose)
    let naive = NaivePruning.alternating(
      sample.weights, pull: pull, gram: sample.gram, penalty: AlternatingMask.penalty,
      steps: AlternatingMask.steps, ridge: AlternatingMask.ridge
    ) { scores in
      let matrix = Matrix(rows: 6, columns: 24, elements: scores.flatMap { $0.map { Float($0) } })
      return (0..<6).map { row in (0..<24).map { choose(matrix).dropped[row * 24 + $0] } }
    }
    #expect(zip(mask.dropped, naive.mask.flatMap { $0 }).count { $0 == $1 } >= 6 * 24 - 2)
    let shared = MaskedRefit.Gram(gram, columns: 24)
    let (a, b) = (
      MaskedRefit(target: wanted, gram: shared).refit(from: wanted, mask: mask, iterations: 200),
      MaskedRefit(target: sample.weights, pull: pull, gram: shared)
        .refit(from: sample.weights, mask: mask, iterations: 200)
    )
    for (a, b) in zip(a.elements, b.elements) { #expect((a - b).magnitude < 1e-4) }
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
