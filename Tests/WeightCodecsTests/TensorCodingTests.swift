import TensorCore
import TestSupport
import Testing
import WeightCodecs

@Suite(.serialized) struct TensorCodingTests {
  @Test(arguments: quantized)
  func `any number of threads and odd row counts give the same bytes`(_ format: TensorFormat) throws {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    for rows in [1, 3, 301] {
      let matrix = Matrix(rows: rows, columns: 512, elements: normal(rows * 512, seed: 81))
      Parallel.threadCount = 1
      let one = try TensorCoding.encode(matrix, format: format)
      Parallel.threadCount = 5
      let five = try TensorCoding.encode(matrix, format: format)
      #expect(array(one) == array(five))
      // A row's bytes do not depend on its neighbours.
      let last = Matrix(rows: 1, columns: 512, elements: Array(matrix.row(rows - 1)))
      let alone = try TensorCoding.encode(last, format: format)
      #expect(array(alone) == array(one).suffix(alone.count))
    }
  }

  @Test func `reencoding equals decoding and encoding`() throws {
    let matrix = Matrix(rows: 260, columns: 768, elements: normal(260 * 768, seed: 91))
    let importance = normal(768, seed: 92).map { $0 * $0 }
    let source = try TensorCoding.encode(matrix, format: .bf16)
    let floats = try TensorCoding.decode(source, format: .bf16, rows: 260, columns: 768)
    let direct = try TensorCoding.reencode(
      source, from: .bf16, to: .q4_k, rows: 260, columns: 768, importance: importance)
    let expected = try TensorCoding.encode(floats, format: .q4_k, importance: importance)
    #expect(array(direct) == array(expected))
    #expect(array(direct) != array(try TensorCoding.encode(floats, format: .q4_k)))
  }

  @Test(arguments: [TensorFormat.q4_k, .q4_1, .bf16, .uniform8, .f32])
  func `pieces are the whole`(_ format: TensorFormat) throws {
    let source = try TensorCoding.encode(
      Matrix(rows: 301, columns: 512, elements: normal(301 * 512, seed: 93)), format: .f32)
    let whole = try TensorCoding.reencode(source, from: .f32, to: format, rows: 301, columns: 512)
    let found = Locked([UInt8](repeating: 0, count: whole.count))
    let total = Locked(0)
    try TensorCoding.reencode(source, from: .f32, to: format, rows: 301, columns: 512) { place, bytes in
      let piece = Array(bytes)
      found.withLock { $0.replaceSubrange(place..<place + piece.count, with: piece) }
      total.withLock { $0 += piece.count }
    }
    #expect(total.withLock { $0 } == whole.count)
    #expect(found.withLock { $0 } == array(whole))
  }

  @Test func `reencoding into the same format is free`() throws {
    let bytes = ByteRegion([UInt8](repeating: 7, count: 144))
    #expect(try TensorCoding.reencode(bytes, from: .q4_k, to: .q4_k, rows: 1, columns: 256) === bytes)
  }

  @Test(arguments: [TensorFormat.bf16, .f16, .q8_0, .q4_0, .q4_1, .q2_k, .q3_k, .q4_k, .q6_k, .iq4_xs])
  func `stretches of stored bytes tell whether weights are finite`(_ format: TensorFormat) throws {
    let bits = try #require(FiniteBits(format))
    let (rows, columns) = (3, 512)
    let matrix = Matrix(rows: rows, columns: columns, elements: normal(rows * columns, seed: 94))
    let good = array(try TensorCoding.encode(matrix, format: format))
    func areFinite(_ bytes: [UInt8], step: Int) -> Bool {
      bytes.withUnsafeBytes { buffer in
        stride(from: 0, to: bytes.count, by: step).allSatisfy {
          bits.areFinite(buffer, $0..<min($0 + step, bytes.count))
        }
      }
    }
    let steps = [1, 7, 18, 100, 1 << 20]
    for step in steps { #expect(areFinite(good, step: step)) }
    var found = 0
    for place in 0..<min(300, good.count - 1) {
      var bad = good
      (bad[place], bad[place + 1]) = (0xFF, 0x7F)
      let decoded = try TensorCoding.decode(ByteRegion(bad), format: format, rows: rows, columns: columns)
      guard !decoded.elements.allSatisfy(\.isFinite) else { continue }
      found += 1
      for step in steps { #expect(!areFinite(bad, step: step), "\(place), \(step)") }
    }
    #expect(found > 0)
    #expect(FiniteBits(.f32) == nil)
  }

  @Test func `empty tensors pass`() throws {
    #expect(try TensorCoding.encode(Matrix(rows: 0, columns: 256), format: .q4_k).count == 0)
    #expect(try TensorCoding.decode(ByteRegion([]), format: .q8_0, rows: 3, columns: 0).elements.isEmpty)
    #expect(try TensorCoding.firstNonFinite(ByteRegion([]), format: .f32, rows: 0, columns: 9) == nil)
    #expect(try TensorCoding.firstNonFinite(ByteRegion([]), format: .f32, rows: .max, columns: 0) == nil)
  }

  @Test(arguments: [TensorFormat.f32, .f16, .bf16, .f64])
  func `the first non-finite weight is named`(_ format: TensorFormat) throws {
    let (rows, columns) = (400, 300)
    let bytes = array(
      try TensorCoding.encode(
        Matrix(rows: rows, columns: columns, elements: normal(rows * columns, seed: 3)), format: format))
    #expect(
      try TensorCoding.firstNonFinite(ByteRegion(bytes), format: format, rows: rows, columns: columns) == nil)
    for (row, column) in [(0, 0), (7, 299), (399, 299)] {
      var broken = bytes
      let size = format.bytesPerBlock
      for index in [row * columns + column, rows * columns - 1] {  // all bits set: NaN in each of them
        for byte in 0..<size { broken[index * size + byte] = 0xFF }
      }
      let found = try TensorCoding.firstNonFinite(
        ByteRegion(broken), format: format, rows: rows, columns: columns)
      #expect(found?.row == row && found?.column == column)
    }
  }

  @Test func `infinite block scales are found`() throws {
    var bytes = [UInt8](repeating: 0, count: 34 * 4)
    (bytes[34 * 2], bytes[34 * 2 + 1], bytes[34 * 2 + 5]) = (0, 0x7C, 1)
    let found = try TensorCoding.firstNonFinite(ByteRegion(bytes), format: .q8_0, rows: 2, columns: 64)
    #expect(found?.row == 1 && found?.column == 0)  // 0 · ∞
  }

  @Test func `squared error agrees with its definition`() throws {
    let a = normal(33 * 70, seed: 13)
    let b = normal(33 * 70, seed: 14)
    let left = try TensorCoding.encode(Matrix(rows: 33, columns: 70, elements: a), format: .f32)
    let right = try TensorCoding.encode(Matrix(rows: 33, columns: 70, elements: b), format: .f32)
    let result = try TensorCoding.squaredError(of: left, .f32, against: right, .f32, rows: 33, columns: 70)
    #expect(abs(result.error / weightedError(a, b) - 1) < 1e-12)
    #expect(abs(result.signal / energy(b) - 1) < 1e-12)
    #expect(result.count == 33 * 70)
    #expect(abs(result.relative - result.error / result.signal) < 1e-15)
    #expect(
      try TensorCoding.squaredError(of: left, .f32, against: left, .f32, rows: 33, columns: 70).error == 0)
  }
}

/// Everything that is refused, with its message.
@Suite struct CodingErrorTests {
  private let row = Matrix(rows: 1, columns: 32)

  @Test func `integers are no weights`() {
    let bytes = ByteRegion([1, 2, 3, 4])
    #expect(throws: CodingError.notWeights(.i8)) {
      try TensorCoding.decode(bytes, format: .i8, rows: 1, columns: 4)
    }
  }

  @Test func `formats that are only read`() {
    #expect(throws: CodingError.notEncodable(.f8_e4m3)) { try TensorCoding.encode(row, format: .f8_e4m3) }
    #expect("\(CodingError.notEncodable(.f8_e5m2))".contains("f8_e5m2"))
  }

  @Test func `rows that do not divide`() {
    #expect(throws: CodingError.rowLength(format: .q4_k, rows: 1, columns: 32)) {
      try TensorCoding.encode(row, format: .q4_k)
    }
    #expect("\(CodingError.rowLength(format: .q4_k, rows: 1, columns: 32))".contains("multiple of 256"))
  }

  @Test func `bytes that are too few or too many, and sizes that overflow`() {
    for count in [0, 33, 35, 68] {
      let bytes = ByteRegion([UInt8](repeating: 0, count: count))
      let expected = CodingError.byteCount(format: .q8_0, rows: 1, columns: 32, expected: 34, actual: count)
      #expect(throws: expected) { try TensorCoding.decode(bytes, format: .q8_0, rows: 1, columns: 32) }
    }
    #expect(throws: CodingError.rowLength(format: .f32, rows: .max, columns: 1 << 40)) {
      try TensorCoding.decode(ByteRegion([]), format: .f32, rows: .max, columns: 1 << 40)
    }
    #expect(throws: CodingError.rowLength(format: .f32, rows: -1, columns: 4)) {
      try TensorCoding.decode(ByteRegion([]), format: .f32, rows: -1, columns: 4)
    }
  }

  @Test func `unusable importance`() {
    #expect(throws: CodingError.importanceCount(expected: 32, actual: 31)) {
      try TensorCoding.encode(row, format: .q4_0, importance: [Float](repeating: 1, count: 31))
    }
    var importance = [Float](repeating: 1, count: 32)
    importance[9] = -1
    #expect(throws: CodingError.importanceValue(column: 9, value: -1)) {
      try TensorCoding.encode(row, format: .q4_0, importance: importance)
    }
    importance[9] = .infinity
    #expect(throws: CodingError.importanceValue(column: 9, value: .infinity)) {
      try TensorCoding.encode(row, format: .q4_0, importance: importance)
    }
  }

  @Test func `weights that are not finite cannot be quantized, the lowest is named`() {
    var matrix = Matrix(rows: 900, columns: 256)
    matrix[800, 3] = .infinity
    matrix[700, 255] = -.infinity
    #expect(throws: CodingError.nonFinite(row: 700, column: 255, value: -.infinity)) {
      try TensorCoding.encode(matrix, format: .q4_k)
    }
    #expect(throws: Never.self) { try TensorCoding.encode(matrix, format: .f16) }
  }

  @Test(
    "a scale that is no number is found in every block format",
    arguments: [
      TensorFormat.q8_0, .q4_0, .q4_1, .q5_0, .q5_1, .iq4_nl, .q4_k, .q5_k, .q6_k, .q2_k, .q3_k, .iq4_xs,
    ])
  func scales(format: TensorFormat) throws {
    let matrix = Matrix(rows: 3, columns: 512, elements: normal(3 * 512, seed: 9))
    let good = array(try TensorCoding.encode(matrix, format: format))
    #expect(try TensorCoding.firstNonFinite(ByteRegion(good), format: format, rows: 3, columns: 512) == nil)
    let places: [TensorFormat: Int] = [.q2_k: 80, .q3_k: 108, .q6_k: 208]
    var bad = good
    let block = 2 * good.count / 3 + (places[format] ?? 0)  // the first of the last row
    (bad[block], bad[block + 1]) = (0, 0x7E)
    let found = try TensorCoding.firstNonFinite(ByteRegion(bad), format: format, rows: 3, columns: 512)
    #expect(found?.row == 2)
  }
}
