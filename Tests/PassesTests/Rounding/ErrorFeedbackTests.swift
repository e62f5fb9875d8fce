import Foundation
import Passes
import TensorCore
import Testing
import WeightCodecs

/// Error feedback against its definition, and what it promises.
@Suite("Rounding with error feedback")
struct ErrorFeedbackTests {
  /// Every format whose codes can be chosen.
  static let formats = CodecList.all.compactMap { CodecList.gridCodec(for: $0.format)?.format }

  private struct Rounded {
    var codes: [UInt8]
    var values: Matrix
    var grids: RowGrids
    var factor: FeedbackFactor
  }

  private func rounded(_ format: TensorFormat, _ sample: RoundingCase, sweeps: Int) throws -> Rounded {
    let codec = try #require(CodecList.gridCodec(for: format))
    let (rows, columns) = (sample.weights.rows, sample.weights.columns)
    let factor = try FeedbackFactor(gram: sample.gram, count: columns)
    let plain = try TensorCoding.encode(sample.weights, format: format)
    let grids = RowGrids(of: plain, codec: codec, rows: rows, columns: columns)
    let codes = ErrorFeedback(factor: factor, grids: grids).round(sample.weights, sweeps: sweeps)
    var values = sample.weights
    grids.withView { view in
      for row in 0..<rows {
        for column in 0..<columns {
          let place = row * columns + column
          values.elements[place] = view.value(
            of: codes[place], at: view.place(row: row, column: column))
        }
      }
    }
    return Rounded(codes: codes, values: values, grids: grids, factor: factor)
  }

  private func error(_ a: Matrix, _ b: Matrix, _ gram: [[Double]]) -> Double {
    (0..<a.rows).reduce(0) { sum, row in
      sum + NaiveFeedback.error(zip(a.row(row), b.row(row)).map { Double($0) - Double($1) }, gram)
    }
  }

  @Test("codes are those of GPTQ by its definition", arguments: formats)
  func definition(_ format: TensorFormat) throws {
    let sample = RoundingCase(rows: 3, columns: 256, tokens: 600, seed: 5)
    let ours = try rounded(format, sample, sweeps: 0)
    let gram = sample.wide(ours.factor.ridge)
    var same = 0
    for row in 0..<3 {
      let naive = ours.grids.withView { view in
        NaiveFeedback.round(
          sample.weights.row(row).map { Double($0) }, gram: gram, order: ours.factor.order.reversed()
        ) { value, column in
          let place = view.place(row: row, column: column)
          return Double(view.value(of: view.code(of: Float(value), at: place), at: place))
        }
      }
      same += zip(naive, ours.values.row(row)).count { Float($0) == $1 }
      let mine = NaiveFeedback.error(
        zip(sample.weights.row(row), ours.values.row(row)).map { Double($0) - Double($1) }, gram)
      let theirs = NaiveFeedback.error(
        zip(sample.weights.row(row), naive).map { Double($0) - $1 }, gram)
      #expect(abs(mine / theirs - 1) < 0.05, "row \(row): \(mine) against \(theirs)")
    }
    // A tie that single precision decides otherwise changes what comes after it; ties are rare.
    #expect(Double(same) > 0.9 * 3 * 256, "\(same) of 768 codes are the same")
  }

  @Test("feedback beats plain rounding, and coordinate descent feedback", arguments: formats)
  func order(_ format: TensorFormat) throws {
    let sample = RoundingCase(rows: 16, columns: 256, tokens: 600, seed: 7)
    let (first, second) = (
      try rounded(format, sample, sweeps: 0), try rounded(format, sample, sweeps: 3)
    )
    let gram = sample.wide(first.factor.ridge)
    let bytes = try TensorCoding.encode(sample.weights, format: format)
    let plain = try TensorCoding.decode(bytes, format: format, rows: 16, columns: 256)
    let errors = [plain, first.values, second.values].map { error(sample.weights, $0, gram) }
    #expect(errors[1] < 0.9 * errors[0], "\(errors)")
    #expect(errors[2] <= errors[1] * 1.000001, "\(errors)")
  }

  @Test("after coordinate descent no single code can be bettered")
  func localOptimum() throws {
    let sample = RoundingCase(rows: 2, columns: 32, tokens: 200, seed: 9)
    let result = try rounded(.q4_0, sample, sweeps: 50)
    let gram = sample.wide(result.factor.ridge)
    result.grids.withView { view in
      for row in 0..<2 {
        let e = zip(sample.weights.row(row), result.values.row(row)).map { Double($0) - Double($1) }
        let base = NaiveFeedback.error(e, gram)
        for column in 0..<32 {
          let place = view.place(row: row, column: column)
          for code in UInt8(0)..<16 {
            var changed = e
            changed[column] = Double(sample.weights[row, column]) - Double(view.value(of: code, at: place))
            #expect(NaiveFeedback.error(changed, gram) >= base * (1 - 1e-5))
          }
        }
      }
    }
  }

  @Test("the same codes on any number of threads")
  func threads() throws {
    let sample = RoundingCase(rows: 200, columns: 256, tokens: 300, seed: 11)
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let all = try [1, 2, 4].map { count in
      Parallel.threadCount = count
      return try rounded(.q4_k, sample, sweeps: 2).codes
    }
    #expect(all[0] == all[1] && all[0] == all[2])
  }

  @Test("columns that were never active are rounded plainly")
  func deadColumns() throws {
    var gram = RoundingCase(rows: 1, columns: 64, tokens: 100, seed: 3).gram
    for j in 0..<64 { (gram[5 * 64 + j], gram[j * 64 + 5]) = (0, 0) }
    let weights = RoundingCase(rows: 4, columns: 64, tokens: 1, seed: 4).weights
    let codec = try #require(CodecList.gridCodec(for: .q4_0))
    let plain = try TensorCoding.encode(weights, format: .q4_0)
    let grids = RowGrids(of: plain, codec: codec, rows: 4, columns: 64)
    let factor = try FeedbackFactor(gram: gram, count: 64)
    let codes = ErrorFeedback(factor: factor, grids: grids).round(weights, sweeps: 1)
    grids.withView { view in
      for row in 0..<4 {
        #expect(codes[row * 64 + 5] == view.code(of: weights[row, 5], at: view.place(row: row, column: 5)))
      }
    }
  }

  @Test("one token, none at all, one row, one column: a result all the same", arguments: [0, 1])
  func degenerate(_ tokens: Int) throws {
    for (rows, columns, format) in [
      (1, 1, TensorFormat.int8_channel), (1, 64, .q4_0), (5, 32, .q8_0), (3, 1, .int8_channel),
    ] {
      var sample = RoundingCase(rows: rows, columns: columns, tokens: 1, seed: 2)
      if tokens == 0 {
        sample = RoundingCase(rows: rows, columns: columns, tokens: 0, seed: 2)
        #expect(sample.gram.allSatisfy { $0 == 0 })
      }
      let result = try rounded(format, sample, sweeps: 2)
      let isFinite = result.values.elements.allSatisfy { $0.isFinite }
      #expect(isFinite)
    }
  }

  @Test("a covariance with NaN is refused")
  func notFinite() throws {
    #expect(throws: PassError.self) {
      try FeedbackFactor(gram: [Float](repeating: .nan, count: 16), count: 4)
    }
  }

  @Test("the shifted target is the least-squares fit to the original's outputs")
  func shift() throws {
    // x′ = x plus noise; V = W C (H + λI)⁻¹ with C = E[x x′ᵀ] by the normal equations.
    let count = 6
    var generator = SeededGenerator(seed: 17)
    var (h, c) = ([Float](repeating: 0, count: 36), [Float](repeating: 0, count: 36))
    for _ in 0..<50 {
      let x = (0..<count).map { _ in Float(generator.uniform() - 0.5) }
      let y = x.map { $0 + 0.2 * Float(generator.uniform() - 0.5) }
      for i in 0..<count {
        for j in 0..<count {
          h[i * count + j] += y[i] * y[j] / 50
          c[i * count + j] += x[i] * y[j] / 50
        }
      }
    }
    let factor = try FeedbackFactor(gram: h, count: count)
    var shift = zip(c, h).map { $0 - $1 }
    shift.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress { factor.solve(base, rows: count) }
    }
    let mean = (0..<count).reduce(0.0) { $0 + Double(h[$1 * count + $1]) } / Double(count)
    let inverse = NaiveFeedback.inverted(
      (0..<count).map { i in
        (0..<count).map { j in Double(h[i * count + j]) + (i == j ? factor.ridge * mean : 0) }
      })
    for i in 0..<count {
      for j in 0..<count {
        let expected = (0..<count).reduce(0.0) {
          $0 + (Double(c[i * count + $1]) - Double(h[i * count + $1])) * inverse[$1][j]
        }
        #expect(abs(Double(shift[i * count + j]) - expected) < 1e-4)
      }
    }
  }

  @Test(
    "weights that are to be zero are, and their errors are fed on", arguments: formats.filter(\.holdsZero))
  func zeros(_ format: TensorFormat) throws {
    let sample = RoundingCase(rows: 3, columns: 256, tokens: 600, seed: 9)
    let codec = try #require(CodecList.gridCodec(for: format))
    let factor = try FeedbackFactor(gram: sample.gram, count: 256)
    let grids = RowGrids(
      of: try TensorCoding.encode(sample.weights, format: format), codec: codec, rows: 3, columns: 256)
    let zeros = (0..<3 * 256).map { $0 % 3 == 1 }
    for sweeps in [0, 2] {
      let codes = ErrorFeedback(factor: factor, grids: grids).round(
        sample.weights, sweeps: sweeps, zeros: zeros)
      let gram = sample.wide(factor.ridge)
      for row in 0..<3 {
        let (values, naive) = grids.withView { view in
          let place = { view.place(row: row, column: $0) }
          let values = (0..<256).map { Double(view.value(of: codes[row * 256 + $0], at: place($0))) }
          let naive = NaiveFeedback.round(
            sample.weights.row(row).map { Double($0) }, gram: gram, order: factor.order.reversed()
          ) { value, column in
            zeros[row * 256 + column]
              ? 0 : Double(view.value(of: view.code(of: Float(value), at: place(column)), at: place(column)))
          }
          return (values, naive)
        }
        for column in 0..<256 where zeros[row * 256 + column] { #expect(values[column] == 0) }
        let same = zip(values, naive).filter { abs($0 - $1) < 1e-6 }.count
        if sweeps == 0 { #expect(same > 240, "\(format): \(same) of 256 as by the definition") }
      }
    }
  }

  @Test("rows are solved for in single precision as in double, over several blocks of columns")
  func solve() throws {
    let count = 300
    let sample = RoundingCase(rows: 140, columns: count, tokens: 900, seed: 19)
    let factor = try FeedbackFactor(gram: sample.gram, count: count)
    var found = sample.weights
    found.elements.withUnsafeMutableBufferPointer {
      if let base = $0.baseAddress { factor.solve(base, rows: 140) }
    }
    let mean = (0..<count).reduce(0.0) { $0 + Double(sample.gram[$1 * count + $1]) } / Double(count)
    for row in [0, 77, 139] {
      // y (H + λI) is the row that it was solved for.
      for column in 0..<count {
        let sum = (0..<count).reduce(factor.ridge * mean * Double(found[row, column])) {
          $0 + Double(found[row, $1]) * Double(sample.gram[$1 * count + column])
        }
        #expect(abs(sum - Double(sample.weights[row, column])) < 1e-3, "row \(row), column \(column)")
      }
    }
  }
}
