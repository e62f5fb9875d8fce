import TensorCore
import Testing

@Suite struct MatrixGroupTests {
  private static let columns = 512

  private func matrix(_ format: TensorFormat, rows: Int, seed: UInt64, rounds: Bool = false) -> WeightMatrix {
    WeightMatrix(
      rows: rows, columns: Self.columns, format: format,
      bytes: ByteRegion(randomRows(format, rows: rows, columns: Self.columns, seed: seed)),
      roundsActivations: rounds)
  }

  /// Together or one by one, on any number of threads: the same bits. The last group shares nothing.
  @Test(
    arguments: [
      [TensorFormat.q4_k, .q6_k, .q8_0], [.q4_0, .iq4_nl], [.bf16, .f16, .f32], [.q8_0, .bf16, .uniform8],
    ], [1, 3, 13])
  func resultsAreThoseOfEachMatrix(formats: [TensorFormat], tokens: Int) {
    let matrices = formats.enumerated().map { matrix($1, rows: 100 + 45 * $0, seed: UInt64($0)) }
    var generator = SeededGenerator(seed: 10)
    let x = generator.floats(tokens * Self.columns)
    let expected = matrices.map { matrix in
      var y = [Float](repeating: 0, count: tokens * matrix.rows)
      matrix.multiply(x, tokens: tokens, into: &y)
      return y
    }
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let (group, scratch) = (MatrixGroup(matrices), ActivationScratch())
    for threads in [1, 2, 4] {
      Parallel.threadCount = threads
      var (a, b, c) = (expected[0].map { _ in Float.nan }, expected[1].map { _ in Float.nan }, [Float]())
      if formats.count == 3 { c = expected[2].map { _ in Float.nan } }
      a.withUnsafeMutableBufferPointer { a in
        b.withUnsafeMutableBufferPointer { b in
          c.withUnsafeMutableBufferPointer { c in
            guard let first = a.baseAddress else { return }
            group.multiply(
              x, tokens: tokens, into: .init(first, b.baseAddress, c.baseAddress), scratch: scratch)
          }
        }
      }
      #expect(a == expected[0] && b == expected[1])
      #expect(formats.count < 3 || c == expected[2])
    }
  }

  /// Activations rounded to bfloat16 against the definition; where the processor lacks it, nothing is rounded.
  @Test(arguments: [1, 4, 29], [512, 77])
  func roundedActivations(tokens: Int, columns: Int) {
    let rows = 45
    let bytes = ByteRegion(randomRows(.bf16, rows: rows, columns: columns, seed: 3))
    let exact = WeightMatrix(rows: rows, columns: columns, format: .bf16, bytes: bytes)
    let rounding = WeightMatrix(
      rows: rows, columns: columns, format: .bf16, bytes: bytes, roundsActivations: true)
    var generator = SeededGenerator(seed: 4)
    let x = generator.floats(tokens * columns)
    let rounded = x.map { value in
      let bits = value.bitPattern
      return Float(bitPattern: (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
    }
    var (y, same, weights) = (
      [Float](repeating: 0, count: tokens * rows), [Float](repeating: 0, count: tokens * rows),
      [Float](repeating: 0, count: columns)
    )
    rounding.multiply(x, tokens: tokens, into: &y)
    exact.multiply(x, tokens: tokens, into: &same)
    if y == same { return }
    #expect(tokens >= 4)
    for row in 0..<rows {
      exact.decodeRow(row, into: &weights)
      for token in 0..<tokens {
        let part = rounded[token * columns..<(token + 1) * columns]
        let sum = zip(part, weights).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        let size = zip(part, weights).reduce(0.0) { $0 + abs(Double($1.0) * Double($1.1)) }
        #expect(abs(Double(y[token * rows + row]) - sum) < 1e-5 * size)
      }
    }
  }
}
