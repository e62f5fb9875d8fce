import TensorCore
import TestSupport
import Testing
import WeightCodecs

/// Counts of weights and codes, against plain loops and codes that were put there.
@Suite("Histograms of tensors")
struct TensorHistogramTests {
  private static let (rows, columns) = (6, 512)

  private static func weights(seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return (0..<rows * columns).map { _ in
      let sum = (0..<6).reduce(0.0) { sum, _ in sum + generator.uniform() }
      return Float(sum - 3)
    }
  }

  private static func floats(_ values: [Float]) -> ByteRegion {
    ByteRegion(count: values.count * 4) { target in
      for (place, value) in values.enumerated() {
        target.storeBytes(of: value, toByteOffset: 4 * place, as: Float.self)
      }
    }
  }

  @Test("codes are those that were stored", arguments: TensorFormat.allCases)
  func codes(format: TensorFormat) throws {
    guard let codec = CodecList.gridCodec(for: format), let size = format.byteCount(of: Self.columns) else {
      return
    }
    let values = Self.weights(seed: 3)
    let levels = codec.grid.levels.count
    var generator = SeededGenerator(seed: 9)
    var wanted = [Int](repeating: 0, count: levels)
    let bytes = ByteRegion(count: size * Self.rows) { target in
      for row in 0..<Self.rows {
        let part = UnsafeMutableRawBufferPointer(rebasing: target[row * size..<(row + 1) * size])
        let codes = (0..<Self.columns).map { _ in UInt8(generator.uniform() * Double(levels)) }
        for code in codes { wanted[Int(code)] += 1 }
        values.withUnsafeBufferPointer {
          codec.encode(
            UnsafeBufferPointer(rebasing: $0[row * Self.columns..<(row + 1) * Self.columns]),
            importance: nil, into: part)
        }
        codes.withUnsafeBufferPointer { codes in
          if let base = codes.baseAddress { codec.storeCodes(base, columns: Self.columns, into: part) }
        }
      }
    }
    let found = try #require(
      try TensorHistogram(
        of: bytes, format, against: Self.floats(values), .f32, rows: Self.rows, columns: Self.columns))
    let codes = try #require(found.codes)
    #expect(codes.lowest == (codec.grid.isUniform ? Int(codec.grid.levels[0]) : 0))
    let sums = stride(from: 0, to: levels, by: codes.step).map { start in
      wanted[start..<min(start + codes.step, levels)].reduce(0, +)
    }
    #expect(codes.counts == sums && codes.counts.count <= TensorHistogram.codeClassCount, "\(format)")
    #expect(found.weights == values.count)
  }

  @Test("weights are counted in classes of one width, what lies beyond in the last ones")
  func classes() throws {
    var values = Self.weights(seed: 5)
    values[7] = 900
    values[8] = -900
    let stored = values.map { ($0 * 8).rounded() / 8 }
    let found = try #require(
      try TensorHistogram(
        of: Self.floats(stored), .f32, against: Self.floats(values), .f32, rows: Self.rows,
        columns: Self.columns))
    let square = values.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(values.count)
    #expect(abs(found.bound - 6 * square.squareRoot()) < 1e-9 * found.bound)
    #expect(found.codes == nil)
    for (mine, all) in [(found.original, values), (found.stored, stored)] {
      var counts = [Int](repeating: 0, count: TensorHistogram.classCount)
      for value in all {
        let place = (Double(value) + found.bound) / (2 * found.bound) * Double(counts.count)
        counts[min(max(Int(place), 0), counts.count - 1)] += 1
      }
      #expect(mine == counts)
    }
  }

  @Test("uniform codes are counted from the least to the largest that is used")
  func uniform() throws {
    let codes = (0..<Self.rows * Self.columns).map { Int16($0 % 301 - 100) }
    let tensor = try UniformTensor(
      codes: codes, rowScales: [Float](repeating: 0.5, count: Self.rows),
      columnScales: [Float](repeating: 1, count: Self.columns))
    let found = try #require(
      try TensorHistogram(
        of: tensor.bytes, tensor.format, against: Self.floats(Self.weights(seed: 1)), .f32, rows: Self.rows,
        columns: Self.columns))
    let counted = try #require(found.codes)
    #expect(counted.lowest == -100 && counted.step == 5 && counted.counts.reduce(0, +) == codes.count)
    #expect(counted.counts[0] == codes.count { $0 < -95 })
  }

  @Test("nothing is said of tensors of zeros, and other shapes are refused")
  func nothing() throws {
    let zeros = Self.floats([Float](repeating: 0, count: 8))
    #expect(try TensorHistogram(of: zeros, .f32, against: zeros, .f32, rows: 2, columns: 4) == nil)
    #expect(throws: CodingError.self) {
      try TensorHistogram(of: zeros, .f32, against: zeros, .f32, rows: 3, columns: 4)
    }
  }
}
