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

  /// Activations rounded in batches of bfloat16 rows against the definition; where the processor lacks such products, nothing is rounded.
  @Test(arguments: [4, 29], [512, 77])
  func roundedActivations(tokens: Int, columns: Int) {
    var generator = SeededGenerator(seed: 4)
    let x = generator.floats(tokens * columns)
    let rounded = x.map { value in
      let bits = value.bitPattern
      return Double(Float(bitPattern: (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000))
    }
    let (exact, y) = products(.bf16, x, rounded, columns: columns)
    if y.results == exact { return }
    for (result, sum) in zip(y.results, y.expected) {
      #expect(abs(Double(result) - sum.value) < 1e-5 * sum.size)
    }
  }

  /// A few tokens of 16-bit rows: activations times a power of two, rounded to half precision, whatever their size.
  @Test(arguments: [TensorFormat.f16, .bf16], instructionSets)
  func halvedActivations(format: TensorFormat, instructionSet: String) {
    withInstructionSet(instructionSet) {
      for tokens in [1, 3] { expectHalvedActivations(format, tokens: tokens) }
    }
  }

  private func expectHalvedActivations(_ format: TensorFormat, tokens: Int) {
    for (columns, size) in [(512, Float(1)), (77, 1e20), (300, 1e-30), (31, 1e-43)] {
      var generator = SeededGenerator(seed: 5)
      let x = generator.floats(tokens * columns).map { $0 * size }
      let halved = (0..<tokens).flatMap { token -> [Double] in
        let own = x[token * columns..<(token + 1) * columns]
        let most = own.reduce(0) { max($0, abs($1)) }
        let power = min(14 - most.exponent, 126)
        return own.map { value in
          Double(Float16(Double(value) * Double(sign: .plus, exponent: Int(power), significand: 1)))
            * Double(sign: .plus, exponent: -Int(power), significand: 1)
        }
      }
      let (exact, y) = products(format, x, halved, columns: columns)
      #expect(y.results != exact || size < 1e-40)
      for (result, sum) in zip(y.results, y.expected) {
        #expect(abs(Double(result) - sum.value) <= 1e-5 * sum.size + Double(Float.leastNonzeroMagnitude))
      }
    }
  }

  /// What is not a number stays so, in its own token.
  @Test func halvedActivationsKeepWhatIsNotFinite() {
    let matrix = matrix(.f16, rows: 20, seed: 6, rounds: true)
    for bad in [Float.nan, .infinity] {
      var generator = SeededGenerator(seed: 7)
      var x = generator.floats(3 * Self.columns)
      x[Self.columns + 5] = bad
      var y = [Float](repeating: 0, count: 3 * 20)
      matrix.multiply(x, tokens: 3, into: &y)
      for place in y.indices { #expect(y[place].isFinite == (place / 20 != 1)) }
    }
    var y = [Float](repeating: 1, count: 20)
    matrix.multiply([Float](repeating: 0, count: Self.columns), tokens: 1, into: &y)
    #expect(y.allSatisfy { $0 == 0 })
  }

  /// Results without rounding, with it, and what these are by the definition: the sum and that of magnitudes.
  private func products(
    _ format: TensorFormat, _ x: [Float], _ rounded: [Double], columns: Int
  ) -> (exact: [Float], rounding: (results: [Float], expected: [(value: Double, size: Double)])) {
    let (rows, tokens) = (45, x.count / columns)
    let bytes = ByteRegion(randomRows(format, rows: rows, columns: columns, seed: 3))
    let exact = WeightMatrix(rows: rows, columns: columns, format: format, bytes: bytes)
    let rounding = WeightMatrix(
      rows: rows, columns: columns, format: format, bytes: bytes, roundsActivations: true)
    var (y, same) = ([Float](repeating: 0, count: tokens * rows), [Float](repeating: 0, count: tokens * rows))
    rounding.multiply(x, tokens: tokens, into: &y)
    exact.multiply(x, tokens: tokens, into: &same)
    var weights = [Float](repeating: 0, count: columns)
    var expected: [(value: Double, size: Double)] = []
    for token in 0..<tokens {
      for row in 0..<rows {
        exact.decodeRow(row, into: &weights)
        let terms = zip(rounded[token * columns..<(token + 1) * columns], weights).map { $0 * Double($1) }
        expected.append((terms.reduce(0, +), terms.reduce(0) { $0 + abs($1) }))
      }
    }
    return (same, (y, expected))
  }
}
