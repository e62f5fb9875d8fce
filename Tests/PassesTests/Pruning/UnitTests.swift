import Passes
import TensorCore
import Testing

/// Which units go, and how the others make up for them, against the definitions in double precision.
@Suite("Cut units")
struct UnitTests {
  /// The least error of W x by the columns `kept`, and the weights that have it: normal equations, solved plainly.
  private func leastSquares(_ weights: Matrix, _ gram: [[Double]], _ kept: [Int]) -> (
    v: [[Double]], error: Double
  ) {
    let inverse = NaiveFeedback.inverted(kept.map { i in kept.map { gram[i][$0] } })
    var (v, error) = ([[Double]](), 0.0)
    for row in 0..<weights.rows {
      let w = weights.row(row).map { Double($0) }
      let right = kept.map { column in w.indices.reduce(0.0) { $0 + w[$1] * gram[$1][column] } }
      let solution = inverse.map { line in zip(line, right).reduce(0.0) { $0 + $1.0 * $1.1 } }
      var e = w
      for (place, column) in kept.enumerated() { e[column] -= solution[place] }
      error += NaiveFeedback.error(e, gram)
      v.append(solution)
    }
    return (v, error)
  }

  @Test("units go one after the other, each where the others make up for most", arguments: [1, 4])
  func elimination(length: Int) throws {
    let sample = RoundingCase(rows: 6, columns: 24, tokens: 90, seed: 41)
    let gram = sample.wide(0.01)
    let units = 24 / length
    var alive = Array(0..<units)
    while alive.count > units / 2 {
      let costs = alive.map { gone in
        leastSquares(
          sample.weights, gram,
          alive.filter { $0 != gone }.flatMap { $0 * length..<($0 + 1) * length }
        ).error
      }
      alive.remove(at: costs.indices.min { costs[$0] < costs[$1] } ?? 0)
      let found = try UnitElimination(weights: sample.weights, gram: sample.gram, length: length).kept(
        alive.count, by: .loss)
      #expect(found == alive)
    }
  }

  @Test("by activations, the units with the largest stay")
  func activations() throws {
    let sample = RoundingCase(rows: 3, columns: 12, tokens: 50, seed: 43)
    let energy = (0..<6).map { unit in (0..<2).reduce(Float(0)) { $0 + sample.gram[(2 * unit + $1) * 13] } }
    let expected = Array((0..<6).sorted { energy[$0] > energy[$1] }.prefix(4)).sorted()
    let found = try UnitElimination(weights: sample.weights, gram: sample.gram, length: 2).kept(
      4, by: .activation)
    #expect(found == expected)
  }

  @Test("what is left is the least squares solution, with its ridge towards the old weights")
  func repair() throws {
    let sample = RoundingCase(rows: 5, columns: 20, tokens: 60, seed: 47)
    var generator = SeededGenerator(seed: 48)
    let x = (0..<60 * 20).map { _ in Float(generator.uniform() - 0.5) }
    let y = x.map { $0 + Float(generator.uniform() - 0.5) * 0.2 }
    var observation = LayerObservation(width: 20)
    x.withUnsafeBufferPointer { a in
      y.withUnsafeBufferPointer { b in
        if let a = a.baseAddress, let b = b.baseAddress {
          observation.add(original: a, compressed: b, tokens: 60)
        }
      }
    }
    observation.finish()
    let kept = (0..<20).filter { $0 % 3 != 0 }
    for choice in [
      InputRepair.Choice(blend: 0, ridge: 0.1), .init(blend: 1, ridge: 0.01), .init(blend: 0.5, ridge: 0.1),
    ] {
      let found = try InputRepair(sample.weights, observation: observation, kept: kept).solved(choice)
      let mean = (0..<20).reduce(0.0) { $0 + Double(observation.gram[$1 * 21]) } / 20
      let ridge = choice.ridge * mean
      let system = kept.map { i in
        kept.map { Double(observation.gram[i * 20 + $0]) + (i == $0 ? ridge : 0) }
      }
      let inverse = NaiveFeedback.inverted(system)
      for row in 0..<5 {
        let right = kept.map { column in
          (0..<20).reduce(ridge * Double(sample.weights[row, column])) { sum, i in
            let h = Double(observation.gram[i * 20 + column])
            let c = Double(observation.cross[i * 20 + column])
            return sum + Double(sample.weights[row, i]) * ((1 - choice.blend) * h + choice.blend * c)
          }
        }
        for (place, column) in kept.enumerated() {
          let expected = zip(inverse[place], right).reduce(0.0) { $0 + $1.0 * $1.1 }
          #expect(abs(Double(found[row, column]) - expected) < 1e-5)
        }
        for column in 0..<20 where !kept.contains(column) { #expect(found[row, column] == 0) }
      }
    }
  }

  @Test("sizes are near to what was asked for, and such that formats like them")
  func sizes() {
    for (wanted, units, expected) in [
      (576.0, 768, 576), (129, 172, 128), (2048, 8192, 2048), (7680, 8192, 7680), (8000.0, 11008, 7936),
      (5632 * 0.7, 5632, 3840), (7, 10, 7), (3.4, 5, 3),
    ] {
      #expect(StructureSizes.rounded(wanted, of: units) == expected, "\(wanted) of \(units)")
    }
  }

  @Test("shares are read from words")
  func words() {
    var expected = StructureShares()
    (expected.heads, expected.neurons, expected.layers, expected.width) = (0.25, 0.3, 2, 0.125)
    #expect(StructureShares("heads=0.25,ffn=30%,layers=2,width=0.125") == expected)
    for word in [
      "", "heads", "heads=1", "heads=0.1,heads=0.2", "layers=0.5", "depth=2", "ffn=-1", "layers=-1",
    ] {
      #expect(StructureShares(word) == nil, "\(word)")
    }
  }
}
