import TensorCore
import Testing

/// Products of formats with a scale a row (and a column), against sums in double precision by their definition.
@Suite struct RowScaleTests {
  /// Codes, row scales and column scales of stored rows.
  static func parts(
    _ bytes: [UInt8], _ format: TensorFormat, rows: Int, columns: Int
  ) -> (codes: [[Int]], rows: [Double], columns: [Double]) {
    func half(_ place: Int) -> Double {
      Double(Float16(bitPattern: UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8))
    }
    let width = format.bytesPerBlock
    let stride = 2 + columns * width
    let codes = (0..<rows).map { row in
      (0..<columns).map { column in
        let place = row * stride + 2 + column * width
        return width == 1
          ? Int(Int8(bitPattern: bytes[place]))
          : Int(Int16(bitPattern: UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8))
      }
    }
    let scales = (0..<columns).map { format.trailerBytesPerColumn == 0 ? 1 : half(rows * stride + 2 * $0) }
    return (codes, (0..<rows).map { half($0 * stride) }, scales)
  }

  @Test(arguments: [TensorFormat.int8_channel, .uniform8, .uniform16], [1, 31, 32, 33, 100, 288])
  func productsMatchTheDefinition(format: TensorFormat, columns: Int) {
    for (rows, tokens) in [(1, 1), (5, 3), (17, 4), (40, 9)] {
      let stored = randomRows(format, rows: rows, columns: columns, seed: UInt64(columns + rows))
      let (codes, r, c) = Self.parts(stored, format, rows: rows, columns: columns)
      // Off the alignment of halves, as in a file.
      let region = ByteRegion([0] + stored).slice(1..<stored.count + 1)
      let matrix = WeightMatrix(rows: rows, columns: columns, format: format, bytes: region)
      var generator = SeededGenerator(seed: 77)
      let x = generator.floats(tokens * columns)
      var y = [Float](repeating: .nan, count: tokens * rows)
      matrix.multiply(x, tokens: tokens, into: &y)
      for token in 0..<tokens {
        let padding = [Float](repeating: 0, count: (32 - columns % 32) % 32)
        let scaled = (0..<columns).map { x[token * columns + $0] * Float(c[$0]) }
        let inputs = WeightMatrixTests.quantized(scaled + padding)
        for row in 0..<rows {
          let products = (0..<columns).map { Double(codes[row][$0]) * inputs[$0] * r[row] }
          // Some instruction sets add an offset to codes and take its share off again, in floats.
          let offset = inputs.reduce(0) { $0 + abs($1) } * abs(r[row]) * (format == .uniform16 ? 32768 : 128)
          let size = products.reduce(offset) { $0 + abs($1) } + 1e-30
          #expect(abs(Double(y[token * rows + row]) - products.reduce(0, +)) < 2e-6 * size)
        }
      }
      var decoded = [Float](repeating: .nan, count: columns)
      for row in 0..<rows {
        matrix.decodeRow(row, into: &decoded)
        let expected = (0..<columns).map { Float(r[row]) * Float(codes[row][$0]) * Float(c[$0]) }
        #expect(decoded == expected)
      }
    }
  }

  @Test(arguments: [TensorFormat.int4_g64, .int4_g128, .int8_channel, .w8a8, .uniform8, .uniform16])
  func threadsDoNotChangeABit(format: TensorFormat) {
    let (rows, columns, tokens) = (333, 512, 5)
    let bytes = ByteRegion(randomRows(format, rows: rows, columns: columns, seed: 9))
    var generator = SeededGenerator(seed: 10)
    let x = generator.floats(tokens * columns)
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let results = [1, 2, 4].map { threads in
      Parallel.threadCount = threads
      let matrix = WeightMatrix(rows: rows, columns: columns, format: format, bytes: bytes)
      var y = [Float](repeating: 0, count: tokens * rows)
      matrix.multiply(x, tokens: tokens, into: &y)
      return y.map(\.bitPattern)
    }
    #expect(results.allSatisfy { $0 == results[0] })
  }
}
