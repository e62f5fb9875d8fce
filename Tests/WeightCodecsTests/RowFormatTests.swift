import TensorCore
import Testing
import WeightCodecs

/// What holds for the formats with a scale a row, beside what holds for all.
@Suite struct RowFormatTests {
  @Test func `int8 rows lie within half a step of their weights`() throws {
    for columns in [1, 5, 33, 500] {
      let row = normal(columns, seed: UInt64(columns), scale: 0.05)
      let bytes = array(
        try TensorCoding.encode(Matrix(rows: 1, columns: columns, elements: row), format: .int8_channel))
      let codes = bytes[2...].map { Int(Int8(bitPattern: $0)) }
      #expect(codes.allSatisfy { (-127...127).contains($0) })
      let scale = Float(Float16(bitPattern: UInt16(bytes[0]) | UInt16(bytes[1]) << 8))
      #expect(scale > 0)
      // The peak may be clipped a little where that helps the others.
      let inside = row.filter { abs($0) <= 127 * scale }
      #expect(inside.count >= columns - columns / 50 - 1)
      for (code, value) in zip(codes, row) where abs(value) <= 127 * scale {
        #expect(abs(Float(code) * scale - value) <= 0.5001 * scale)
      }
    }
  }

  @Test func `the search of int8 rows is no worse than the peak's scale`() throws {
    for seed in UInt64(1)...5 {
      let row = normal(300, seed: seed)
      let peak = row.reduce(0) { max($0, abs($1)) }
      let naive = row.map { ($0 * 127 / peak).rounded() * peak / 127 }
      // What is searched for is the error weighed by 1.5 a² + x².
      let mean = energy(row) / Double(row.count)
      let weight = { (place: Int) in 1.5 * mean + Double(row[place]) * Double(row[place]) }
      #expect(
        weightedError(try roundTrip(row, .int8_channel), row, weight) < 1.01
          * weightedError(naive, row, weight))
    }
  }

  @Test func `codes and scales of a uniform tensor come back`() throws {
    let (rows, columns) = (3, 5)
    let codes: [Int16] = (0..<15).map { Int16($0 * 17 - 119) }
    let (rowScales, columnScales) = UniformTensor.storedScales(
      rows: [0.01, 0.02, 0.5], columns: [1, 2, 0.3, 4, 100])
    let tensor = try UniformTensor(codes: codes, rowScales: rowScales, columnScales: columnScales)
    #expect(tensor.format == .uniform8)
    let matrix = try TensorCoding.decode(tensor.bytes, format: tensor.format, rows: rows, columns: columns)
    for row in 0..<rows {
      for column in 0..<columns {
        let expected = rowScales[row] * Float(codes[row * columns + column]) * columnScales[column]
        #expect(matrix[row, column] == expected)
      }
    }
  }

  @Test func `codes beyond a byte take two, and beyond 32639 are refused`() throws {
    let wide = try UniformTensor(codes: [128, -32639], rowScales: [1], columnScales: [1, 1])
    #expect(wide.format == .uniform16)
    let decoded = try TensorCoding.decode(wide.bytes, format: .uniform16, rows: 1, columns: 2)
    #expect(decoded.elements == [128, -32639])
    #expect(throws: CodingError.codeRange(format: .uniform16, row: 0, column: 1, code: 32640)) {
      try UniformTensor(codes: [0, 32640], rowScales: [1], columnScales: [1, 1])
    }
    #expect(throws: CodingError.codeRange(format: .uniform8, row: 0, column: 0, code: 128)) {
      try UniformTensor(codes: [128], rowScales: [1], columnScales: [1], format: .uniform8)
    }
  }

  @Test func `a power of two moves from columns to rows`() {
    let (rows, columns) = UniformTensor.storedScales(rows: [1e-3], columns: [3e6, 4e6, 5e6])
    #expect(columns.allSatisfy { $0 >= 0.5 && $0 < 4 })
    #expect(abs(rows[0] * columns[1] / 4e3 - 1) < 1e-3)
    let coarse = UniformTensor.storedScales(rows: [0.0123], columns: [1, 1.3], significantBits: 4)
    #expect(coarse.columns == [1, 1.25])
    #expect(coarse.rows == [0.0126953125])
  }

  @Test(arguments: [TensorFormat.int4_g32, .int4_g64, .int4_g128, .int8_channel, .w8a8])
  func `codes can be replaced, and scales read, as decoding uses them`(_ format: TensorFormat) throws {
    let columns = 256
    let codec = try #require(CodecList.gridCodec(for: format))
    let row = normal(columns, seed: 3, scale: 0.02)
    var bytes = array(
      try TensorCoding.encode(Matrix(rows: 1, columns: columns, elements: row), format: format))
    let levels = codec.grid.levels.count
    let codes = (0..<columns).map { UInt8(($0 * 37) % levels) }
    bytes.withUnsafeMutableBytes { codec.storeCodes(codes, columns: columns, into: $0) }
    let groups = max(1, columns / codec.grid.groupLength)
    var (scales, offsets) = ([Float](repeating: .nan, count: groups), [Float](repeating: .nan, count: groups))
    bytes.withUnsafeBytes { codec.readScales($0, columns: columns, scales: &scales, offsets: &offsets) }
    let decoded = try TensorCoding.decode(ByteRegion(bytes), format: format, rows: 1, columns: columns)
      .elements
    for column in 0..<columns {
      let group = column / codec.grid.groupLength
      #expect(decoded[column] == scales[group] * codec.grid.levels[Int(codes[column])] + offsets[group])
    }
  }
}
