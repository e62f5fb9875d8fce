import TensorCore
import Testing

/// Sums of products of activations, on every instruction set, against sums in double precision.
@Suite("Moments of activations")
struct MomentRowsTests {
  private static let columns = 530, others = 37

  private func sums(_ tokens: [Int], _ x: [Float], _ z: [Float]) -> (gram: [Float], cross: [Float]) {
    let (columns, others) = (Self.columns, Self.others)
    var gram = [Float](repeating: 0, count: columns * columns)
    var cross = [Float](repeating: 0, count: others * columns)
    var start = 0
    for count in tokens {
      let (first, second) = (ActivationScratch(), ActivationScratch())
      x.withUnsafeBufferPointer { x in
        z.withUnsafeBufferPointer { z in
          guard let x = x.baseAddress, let z = z.baseAddress else { return }
          let a = MomentRows(x + start * columns, tokens: count, columns: columns, scratch: first)
          let b = MomentRows(z + start * others, tokens: count, columns: others, scratch: second)
          LinearAlgebra.addLowerGram(of: a, to: &gram)
          LinearAlgebra.addCross(of: b, a, to: &cross)
        }
      }
      start += count
    }
    LinearAlgebra.mirrorLower(&gram, count: columns)
    return (gram, cross)
  }

  @Test("Gram and cross products of batches of even and odd length", arguments: instructionSets)
  func products(_ set: String) {
    let (tokens, columns, others) = ([6, 1, 9], Self.columns, Self.others)
    let count = tokens.reduce(0, +)
    let x = LinearAlgebraTests.numbers(count * columns, seed: 5)
    let z = LinearAlgebraTests.numbers(count * others, seed: 6)
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    Parallel.threadCount = 1
    let (found, rounds) = withInstructionSet(set) { (sums(tokens, x, z), MomentRows.rounds) }
    let tolerance = (rounds ? 1.0 / 256 : 1e-6) * Double(count) / 4
    for (i, j) in [(0, 0), (5, 400), (400, 5), (529, 0), (511, 512), (529, 529), (300, 299)] {
      let sum = (0..<count).reduce(0.0) { $0 + Double(x[$1 * columns + i]) * Double(x[$1 * columns + j]) }
      #expect(abs(Double(found.gram[i * columns + j]) - sum) < tolerance)
      let row = i % others
      let other = (0..<count).reduce(0.0) { $0 + Double(z[$1 * others + row]) * Double(x[$1 * columns + j]) }
      #expect(abs(Double(found.cross[row * columns + j]) - other) < tolerance)
    }
  }

  @Test("rounded numbers are multiplied exactly")
  func exact() {
    // Integers below 256 are bfloat16 numbers, so that sums are exact whether activations are rounded or not.
    let columns = Self.columns
    let x = LinearAlgebraTests.numbers(5 * columns, seed: 7).map { ($0 * 200).rounded() }
    let z = LinearAlgebraTests.numbers(5 * Self.others, seed: 8).map { ($0 * 200).rounded() }
    let found = sums([5], x, z)
    for i in stride(from: 0, to: columns, by: 7) {
      for j in stride(from: 0, to: columns, by: 5) {
        let sum = (0..<5).reduce(Float(0)) { $0 + x[$1 * columns + i] * x[$1 * columns + j] }
        #expect(found.gram[i * columns + j] == sum)
      }
    }
  }

  @Test("the same bits on any number of threads")
  func threads() {
    let x = LinearAlgebraTests.numbers(40 * Self.columns, seed: 9)
    let z = LinearAlgebraTests.numbers(40 * Self.others, seed: 10)
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let all = [1, 2, 4].map { threads in
      Parallel.threadCount = threads
      let found = sums([40], x, z)
      return (found.gram + found.cross).map(\.bitPattern)
    }
    #expect(all[0] == all[1] && all[0] == all[2])
  }
}
