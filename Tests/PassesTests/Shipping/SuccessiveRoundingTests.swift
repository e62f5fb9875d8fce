import Passes
import TensorCore
import Testing

@Suite(.serialized) struct SuccessiveRoundingTests {
  private struct Problem {
    let rows, columns: Int
    let target: Matrix
    let inputs: LatticeFactor
    let outputs: OutputCost
    let rowScales, columnScales: [Float]

    init(rows: Int, columns: Int, isFull: Bool, samples: Int = 40, seed: UInt64 = 1, step: Double = 0.1)
      throws
    {
      var generator = SeededGenerator(seed: seed)
      (self.rows, self.columns) = (rows, columns)
      target = Matrix(
        rows: rows, columns: columns,
        elements: NaiveLattice.random(rows * columns, &generator).map { Float($0) })
      inputs = try LatticeFactor(
        NaiveLattice.covariance(columns, samples: samples, &generator), count: columns, ridge: 0.01)
      outputs =
        isFull
        ? .full(
          try LatticeFactor(
            NaiveLattice.covariance(rows, samples: samples, &generator), count: rows, ridge: 0.01))
        : .rows((0..<rows).map { _ in 0.1 + generator.uniform() })
      rowScales = outputs.diagonal.map { ShortScale.rounded(Float(1 / $0), bits: 2) }
      let lower = inputs.lower
      columnScales = (0..<columns).map { Float(step / lower[$0 * columns + $0]) }
    }

    func codes() -> [Int32] {
      SuccessiveRounding(inputs: inputs, outputs: outputs, rowScales: rowScales).codes(
        of: target, columnScales: columnScales)
    }

    func loss(_ codes: [Int32], _ columnScales: [Float]) -> Double {
      let error = codes.indices.map {
        Double(target.elements[$0]) - Double(codes[$0]) * Double(rowScales[$0 / columns])
          * Double(columnScales[$0 % columns])
      }
      return NaiveLattice.loss(error, NaiveLattice.full(outputs), inputs.matrix, rows: rows, columns: columns)
    }
  }

  @Test(arguments: [(1, 1), (1, 7), (7, 1), (3, 5), (6, 4)], [false, true])
  func codesAreTheDefinitions(shape: (Int, Int), isFull: Bool) throws {
    for seed in UInt64(1)...5 {
      let problem = try Problem(rows: shape.0, columns: shape.1, isFull: isFull, seed: seed)
      let expected = NaiveLattice.codes(
        problem.target.elements.map { Double($0) }, problem.outputs, problem.inputs.matrix, rows: shape.0,
        columns: shape.1, rowScales: problem.rowScales, columnScales: problem.columnScales)
      #expect(problem.codes() == expected)
    }
  }

  /// Fewer tokens than inputs, one token, inputs that are always zero.
  @Test(arguments: [1, 3], [false, true]) func singularCovariances(samples: Int, isFull: Bool) throws {
    let problem = try Problem(rows: 5, columns: 6, isFull: isFull, samples: samples)
    let expected = NaiveLattice.codes(
      problem.target.elements.map { Double($0) }, problem.outputs, problem.inputs.matrix, rows: 5, columns: 6,
      rowScales: problem.rowScales, columnScales: problem.columnScales)
    #expect(problem.codes() == expected)
  }

  @Test func deadInputs() throws {
    let factor = try LatticeFactor([Double](repeating: 0, count: 9), count: 3, ridge: 0.01)
    #expect(factor.matrix == [0.01, 0, 0, 0, 0.01, 0, 0, 0, 0.01])
    let codes = SuccessiveRounding(inputs: factor, outputs: .rows([1]), rowScales: [1]).codes(
      of: Matrix(rows: 1, columns: 3, elements: [0.31, -0.24, 0.05]), columnScales: [0.1, 0.1, 0.1])
    #expect(codes == [3, -2, 0] || codes == [3, -2, 1])
  }

  @Test func notFinite() throws {
    #expect(throws: PassError.self) { try LatticeFactor([.nan, 0, 0, 1], count: 2, ridge: 0.01) }
  }

  /// Across the blocks of columns and the pieces of rows, the loss is what each coordinate's rounding leaves: step² / 12.
  @Test(arguments: [false, true]) func largeMatrices(isFull: Bool) throws {
    let problem = try Problem(rows: 150, columns: 140, isFull: isFull, samples: 400, step: 0.02)
    let codes = problem.codes()
    let error = Matrix(
      rows: 150, columns: 140,
      elements: codes.indices.map {
        problem.target.elements[$0] - Float(codes[$0]) * problem.rowScales[$0 / 140]
          * problem.columnScales[$0 % 140]
      })
    let weighed = problem.outputs.times(error.elements.map { Double($0) }, columns: 140)
    let product = LinearAlgebra.multiply(weighed, problem.inputs.matrix, rows: 150, inner: 140, columns: 140)
    let loss = zip(product, error.elements).reduce(0) { $0 + $1.0 * Double($1.1) }
    // Row scales are rounded to two bits, so the step is up to 1/8 off.
    let expected = 150 * 140 * 0.02 * 0.02 / 12
    #expect(loss > 0.85 * expected && loss < 1.15 * expected)
  }

  @Test(arguments: [false, true]) func threadsDoNotMatter(isFull: Bool) throws {
    let old = Parallel.threadCount
    defer { Parallel.threadCount = old }
    let problem = try Problem(rows: 200, columns: 150, isFull: isFull, samples: 300)
    let results = [1, 2, 4].map { threads in
      Parallel.threadCount = threads
      let codes = problem.codes()
      let scales = ColumnRescaling.scales(
        of: codes, target: problem.target, rowScales: problem.rowScales, columnScales: problem.columnScales,
        inputs: problem.inputs, outputs: problem.outputs)
      return (codes, scales)
    }
    #expect(results.allSatisfy { $0.0 == results[0].0 && $0.1 == results[0].1 })
  }

  // MARK: Column scales

  @Test(arguments: [false, true]) func rescalingIsLeastSquares(isFull: Bool) throws {
    let problem = try Problem(rows: 12, columns: 5, isFull: isFull, seed: 9, step: 0.4)
    let codes = problem.codes()
    let scales = ColumnRescaling.scales(
      of: codes, target: problem.target, rowScales: problem.rowScales, columnScales: problem.columnScales,
      inputs: problem.inputs, outputs: problem.outputs, limits: -10...10)
    let best = problem.loss(codes, scales)
    #expect(best <= problem.loss(codes, problem.columnScales))
    for column in 0..<5 {
      for factor in [0.99, 1.01] as [Float] {
        var other = scales
        other[column] *= factor
        #expect(problem.loss(codes, other) >= best)
      }
    }
  }

  @Test func columnsOfZerosKeepTheirScales() throws {
    let problem = try Problem(rows: 4, columns: 3, isFull: false)
    var codes = problem.codes()
    for row in 0..<4 { codes[row * 3 + 1] = 0 }
    let scales = ColumnRescaling.scales(
      of: codes, target: problem.target, rowScales: problem.rowScales, columnScales: problem.columnScales,
      inputs: problem.inputs, outputs: problem.outputs)
    #expect(scales[1] == problem.columnScales[1])
    #expect(
      ColumnRescaling.scales(
        of: [Int32](repeating: 0, count: 12), target: problem.target, rowScales: problem.rowScales,
        columnScales: problem.columnScales, inputs: problem.inputs, outputs: problem.outputs)
        == problem.columnScales)
  }
}
